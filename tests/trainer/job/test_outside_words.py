"""A job with word vectors from elsewhere: trained, resumed, evaluated and exported, the file long gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from preprocessing.command.console import UserError
from preprocessing.data.spec import read_spec
from trainer.config import TrainerConfig
from trainer.data.dataset import catalog
from trainer.job.job_folder import Job
from trainer.job.outside_words import kept_words
from trainer.job.restore import restore
from trainer.models.build import build_model
from trainer.task import train
from trainer.training.distribution import placement_of
from trainer.training.loop import Trainer


@pytest.mark.parametrize("model", ["mgdspr", "mmse", "dnn"])
def test_a_job_needs_the_file_once(
    model: str, data: str, config: Callable[..., TrainerConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = Path(data, "vocab", "word.txt").read_text().splitlines()
    file = tmp_path / "vectors.txt"
    rows = np.random.default_rng(7).normal(size=(len(words), 5))
    file.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in zip(words, rows, strict=True)))
    settings = config(model, f"{model}.tables.word.vectors={file}", "training.steps=8")
    job_dir = str(tmp_path / "job")
    train(settings, data, job_dir)
    assert "found 100.0% of the vocabulary" in capsys.readouterr().out
    said = json.loads((tmp_path / "job" / "word_vectors.json").read_text())
    assert said == {
        "vectors": str(file),
        "width": 5,
        "found": {"of_words": 1.0, "of_occurrences": pytest.approx(1, abs=0.2)},
    }
    file.unlink()
    train(settings, data, job_dir)  # goes on where it was: at its end, and writes the towers again
    towers = restore(job_dir, data)
    batch = next(iter(catalog(data, 64, towers.item_columns)))
    served = tf.saved_model.load(f"{job_dir}/towers/item")
    dense = {
        name: tf.cast(one.to_tensor() if isinstance(one, tf.RaggedTensor) else one, tf.int32)
        for name, one in batch.items()
    }
    np.testing.assert_allclose(served.signatures["embed"](**dense)["embedding"], towers.item(batch), atol=1e-5)
    shapes = [tuple(one.shape) for one in served.parameters]
    assert not [shape for shape in shapes if 5 in shape[:2]], "the projection is folded into the table"
    checkpoint = tf.train.load_checkpoint(Job(job_dir).best_checkpoint())
    stored = checkpoint.get_variable_to_shape_map().values()
    assert list(kept_words(Job(job_dir)).shape) not in list(stored), "vectors are kept once, not in each checkpoint"


def test_resumed_in_the_middle_it_ends_in_the_same_weights(
    data: str, config: Callable[..., TrainerConfig], tmp_path: Path
) -> None:
    words = Path(data, "vocab", "word.txt").read_text().splitlines()
    file = tmp_path / "vectors.txt"
    file.write_text("".join(f"{word} {number % 3} 1 {-number % 5}\n" for number, word in enumerate(words)))
    sets = (f"dnn.tables.word.vectors={file}", "training.checkpoint_every_steps=4")
    train(config("dnn", *sets, "training.steps=8"), data, str(tmp_path / "whole"))

    settings = config("dnn", *sets, "training.steps=8")
    tf.keras.utils.set_random_seed(settings.seed)
    job = Job(str(tmp_path / "cut"))
    job.begin(settings, data)
    first = Trainer(settings, data, job, placement_of(settings.distribution), read_spec(data))
    first.train(first.batches(0), tf.constant(4))
    first.checkpoints.save(4)
    del first
    file.unlink()
    train(settings, data, job.path)
    items = [restore(str(tmp_path / name), data) for name in ("whole", "cut")]
    batch = next(iter(catalog(data, 64, items[0].item_columns)))
    np.testing.assert_allclose(items[0].item(batch), items[1].item(batch), atol=1e-5)


def test_a_model_of_such_a_config_wants_its_vectors(spec: dict, config: Callable[..., TrainerConfig]) -> None:
    with pytest.raises(UserError, match=r"trainer\.dnn\.tables\.word\.vectors"):
        build_model(config("dnn", "dnn.tables.word.vectors=wordllama"), spec)
