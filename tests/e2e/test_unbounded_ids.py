"""More ids than any table has rows: an item that no vocabulary knows is itself from the records to the served graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from preprocessing.between_days.sample_records import read_words, sample
from preprocessing.command.experiment import load_section
from preprocessing.config import PreprocessingConfig
from preprocessing.data.features import HORIZONS, ITEM_IDS
from preprocessing.data.spec import read_spec
from preprocessing.pipeline import run
from serving.catalogue.data_records import held_out_requests
from serving.config import ServingConfig
from serving.graph.query_encoder import QueryEncoder
from serving.inputs import VECTOR_LISTS
from serving.release.build_model import Builder
from tests.serving.experiment import ROOT, untrained_job, write_experiment
from trainer.data.dataset import catalog, requests
from trainer.job.restore import TrainedTowers, restore

WORDS, BUCKETS = 50, 2**30
SCALARS = ("request_id", "user_id", "query", "ts")
WIDTHS = dict.fromkeys(VECTOR_LISTS, 30)


@pytest.fixture(scope="module")
def unbounded(market: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The market's records, of whose items the vocabulary knows the 50 most frequent alone."""
    folder = str(tmp_path_factory.mktemp("unbounded") / "data")
    item = f"preprocessing.vocabularies.item={{max_size: {WORDS}, hash_buckets: {BUCKETS}}}"
    config = load_section(str(ROOT / "configs/demo.yaml"), "preprocessing", PreprocessingConfig, [item])
    run(config, str(market / "raw"), folder, ())
    return folder


def test_every_item_has_an_id_of_its_own(unbounded: str) -> None:
    ids = np.concatenate([batch["item"] for batch in catalog(unbounded, 100, {"item"})])
    assert len(np.unique(ids)) == len(ids) and ids.max() < 2**31
    assert (ids > BUCKETS).sum() <= WORDS < (ids <= BUCKETS).sum()


class Served(NamedTuple):
    """A job's towers as trained, and the served query side."""

    trained: TrainedTowers
    encoder: QueryEncoder
    vectors: np.ndarray

    def vector(self, inputs: dict[str, Any]) -> np.ndarray:
        """What the served graph gives."""
        return self.encoder({name: tf.constant(values) for name, values in inputs.items()})[0].numpy()


@pytest.fixture(scope="module")
def served(unbounded: str, tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tmp_path_factory.mktemp("served")
    model = {"dim": 16, "grains": {"sequence_hidden": 16}, "tables": {"item": {"hashed_rows": 64}}}
    job = untrained_job(write_experiment(folder, model="mgdspr", mgdspr=model), unbounded, folder / "job")
    builder = Builder(ServingConfig(index="brute_force"), job, unbounded, read_spec(unbounded))
    table, vectors = builder.embed(folder)
    encoder = builder.embedder(builder.items(table, folder), table, WIDTHS).query_encoder
    return Served(restore(job, unbounded), encoder, np.array(vectors))


def test_items_are_embedded_as_they_were_trained(served: Served, unbounded: str) -> None:
    found = [served.trained.item(batch).numpy() for batch in catalog(unbounded, 1_000, served.trained.item_columns)]
    assert served.vectors == pytest.approx(np.concatenate(found), abs=1e-5)


def test_pasts_are_served_as_they_were_trained(served: Served, unbounded: str) -> None:
    """The ids of the records are found again as strings, and the strings give the records' vectors."""
    asked = held_out_requests(unbounded, "eval", 40, WIDTHS)
    batch = next(iter(requests(unbounded, "eval", 40)))
    live = np.concatenate([one["item"] for one in catalog(unbounded, 1_000, {"item"})])
    unknown = 0
    for horizon in HORIZONS:
        items = batch[f"{horizon}_item"]
        there = np.isin(items.values, live)
        unknown += (there & (items.values.numpy() <= BUCKETS)).sum()
        kept = tf.ragged.boolean_mask(items, items.with_values(there | (items.values > BUCKETS)))
        assert (asked.inputs[f"{horizon}_items"] != b"").sum(axis=1).tolist() == kept.row_lengths().numpy().tolist()
        for name in ITEM_IDS:  # of what the catalogue has no more, the id alone is known, if it is
            column = batch[f"{horizon}_{name}"]
            column = column if name == "item" else column.with_values(tf.where(there, column.values, 0))
            batch[f"{horizon}_{name}"] = tf.ragged.boolean_mask(
                column, items.with_values(there | (items.values > BUCKETS))
            )
    assert unknown > 100
    batch["history_word"] = batch["history_word"][:, :0]  # whose unknown words cannot be told from their buckets
    asked.inputs["history_queries"][:] = b""
    assert served.vector(asked.inputs) == pytest.approx(served.trained.query(batch).numpy(), abs=1e-5)


def test_an_item_that_nobody_ever_saw_has_its_own_rows(served: Served, unbounded: str) -> None:
    """Of two in one's past that no record holds, each changes the vector in its own way, as training would have it."""
    blank = {
        name: np.full_like(one, b"" if one.dtype == object else 0)
        for name, one in held_out_requests(unbounded, "eval", 2, WIDTHS).inputs.items()
    }
    fresh = np.full_like(blank["realtime_items"], b"")
    fresh[:, 0] = [b"never seen", b"nor this one"]
    found = served.vector(blank | {"query": np.array([b"red", b"red"], object), "realtime_items": fresh})
    assert np.abs(found[0] - found[1]).max() > 1e-4
    record = {n: one[:, :0] for n, one in next(iter(requests(unbounded, "eval", 2))).items() if n not in SCALARS}
    words = served.encoder.past.vocabularies.encoded(tf.constant(["red", "red"]), ["char", "bigram", "word"])
    record |= {f"query_{name}": tf.cast(ids, tf.int64) for name, ids in words.items()}
    buckets = 1 + tf.strings.to_hash_bucket_fast(fresh[:, :1], BUCKETS)
    nothing = tf.zeros_like(buckets)
    record |= {f"realtime_{n}": tf.RaggedTensor.from_tensor(buckets if n == "item" else nothing) for n in ITEM_IDS}
    assert found == pytest.approx(served.trained.query(record).numpy(), abs=1e-5)


def test_days_are_compared_though_buckets_are_too_many_to_name(unbounded: str) -> None:
    spec = read_spec(unbounded)
    words = read_words(unbounded, spec)
    found = sample(unbounded, "train", spec, words, 200, 17).uses["item"]
    assert len(found) == len(words["item"].labels) == 1 + 10_000 + WORDS
    assert found[1 : words["item"].first].sum() > 0 and found[words["item"].first :].sum() > 0
