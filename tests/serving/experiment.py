"""A small market and towers trained on it, for every test that exports a real model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from preprocessing.command.experiment import load_section
from preprocessing.config import PreprocessingConfig

ROOT = Path(__file__).parents[2]

TRAINER: dict[str, Any] = {
    "model": "dnn",
    "dnn": {
        "dim": 16,
        "hidden": [16],
        "attributes": ["item", "brand", "shop", "leaf", "top", "price"],
        "behaviours": True,  # vectors that depend on everything a client can send
    },
    "data": {"batch": 64, "shuffle": 200, "readers": 2, "prefetch": 2},
    "loss": {"catalog_negatives": 128},
    "optimizer": {"warmup_steps": 4},
    "training": {"steps": 24, "steps_per_call": 4, "checkpoint_every_steps": 24},
    "validation": {"every_steps": 24, "requests": 32, "k": 20},
}
SERVING: dict[str, Any] = {
    "default_k": 10,
    "channels": {"words": {"on": False}},  # what vectors find can be worked out by hand
    "widths": {
        "history_queries": 3,
        "required_terms": 3,
        "allowed_leaves": 4,
        "allowed_brands": 3,
        "excluded_items": 8,
    },
    "scann": {"exact_below": 100},
    "tuning": {"k": 10, "queries": 64},
    "gate": {"k": 10, "requests": 64},
}


def make_data(folder: Path) -> str:
    """Records of a market of 400 items."""
    from preprocessing.pipeline import run
    from preprocessing.simulate import simulate

    simulate(folder / "raw", items=400, users=120, days=20, seed=17)
    config = load_section(str(ROOT / "configs" / "demo.yaml"), "preprocessing", PreprocessingConfig)
    run(config, str(folder / "raw"), str(folder / "data"), ())
    return str(folder / "data")


def write_experiment(folder: Path, **trainer: Any) -> str:
    """The small experiment's YAML, with other keys of `trainer`."""
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump({"trainer": TRAINER | trainer, "serving": SERVING}))
    return str(path)


def train_job(config_file: str, data: str, folder: Path) -> str:
    """Trains in `folder`; returns it."""
    from trainer.config import TrainerConfig
    from trainer.task import train

    train(load_section(config_file, "trainer", TrainerConfig), data, str(folder))
    return str(folder)


def untrained_job(config_file: str, data: str, folder: Path) -> str:
    """A job whose model was never trained, but saved and exported as one; returns `folder`."""
    import tensorflow as tf

    from trainer.config import TrainerConfig
    from trainer.job.job_folder import Job
    from trainer.job.served_towers import write_towers
    from trainer.models.build import build_model

    job = Job(str(folder))
    config = load_section(config_file, "trainer", TrainerConfig)
    job.begin(config, data)
    model = build_model(config, json.loads(Path(data, "spec.json").read_text()))
    tf.train.CheckpointManager(tf.train.Checkpoint(model=model), job.best_checkpoints, 1).save()
    write_towers(job, data)
    return job.path


def query_vector(job: str, query: str, history: str, item: dict[str, Any]) -> Any:
    """What a job's query tower gives whom one item was in every list: by its strings and its price, not by its id."""
    import tensorflow as tf

    from preprocessing.data.features import HORIZONS
    from serving.graph.towers import load_towers
    from serving.inputs import ATTRIBUTE_INPUTS

    towers = load_towers(job)
    grains = sorted({"char", "bigram", "word"} & towers.vocabularies.names)
    encoded = towers.vocabularies.encoded(tf.constant([query, history]), grains)
    features = {f"query_{name}": ids[:1] for name, ids in encoded.items()}
    features["history_word"] = encoded["word"][None, 1:]
    for name, column in ATTRIBUTE_INPUTS.items():
        ids = tf.cast(towers.vocabularies.ids(name, tf.constant([[item[column]]])), tf.int32)
        features |= {f"{horizon}_{name}": ids for horizon in HORIZONS}
    priced = (tf.constant([item[name]]) for name in ("price", "category_leaf", "category_top"))
    band = tf.cast(towers.vocabularies.price_bands(*priced), tf.int32)
    features |= {f"{horizon}_price": band[:, None] for horizon in HORIZONS}
    return towers.query({name: features[name] for name in towers.query.columns}).numpy()
