"""One thing that trains, in a process of its own, measured when it is told to: JSON lines in, JSON lines out."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)

Figures = dict[str, Any]


class Subject(Protocol):
    """What can be asked of it; each answers with figures of one round."""

    def train(self) -> Figures:
        """Examples and seconds of a stretch of training."""
        ...

    def wait(self) -> Figures:
        """Seconds spent for the next batch, and in all."""
        ...

    def products(self) -> Figures:
        """Seconds of a step on a batch at hand, and of its matrix products alone."""
        ...


class Model:
    """A model of this project, by the loop of `trainer.task`."""

    def __init__(
        self, name: str, data_dir: str, batch: int, steps: int, training: dict[str, bool] | None = None
    ) -> None:
        import tensorflow as tf

        from preprocessing.data.spec import read_spec
        from trainer.config import TrainerConfig
        from trainer.job.job_folder import Job
        from trainer.training.distribution import placement_of
        from trainer.training.loop import Trainer

        self._tf = tf
        config = TrainerConfig.model_validate({"model": name, "data": {"batch": batch}, "training": training or {}})
        tf.keras.utils.set_random_seed(config.seed)
        self._folder = tempfile.TemporaryDirectory()
        placement = placement_of(config.distribution)
        self._trainer = Trainer(config, data_dir, Job(self._folder.name), placement, read_spec(data_dir))
        self._steps, self._batch, self._drained = steps, batch, config.data.prefetch + 1
        self._batches = self._trainer.batches(0)
        self._step = tf.function(self._trainer.replica_step, reduce_retracing=True)
        self._alone: Any = None

    def train(self) -> Figures:
        """`steps` steps as the task makes them, once what was read ahead is used up."""
        tf = self._tf
        self._trainer.train(self._batches, tf.constant(self._drained))[1]["loss"].numpy()
        begun = time.perf_counter()
        self._trainer.train(self._batches, tf.constant(self._steps))[1]["loss"].numpy()
        seconds = time.perf_counter() - begun
        return {"examples": self._steps * self._batch, "seconds": seconds, "step": seconds / self._steps}

    def wait(self) -> Figures:
        """The same, step by step: the time until the next batch is there apart from the rest."""
        waited, begun = 0.0, 0.0
        for number in range(self._drained + self._steps):
            if number == self._drained:
                waited, begun = 0.0, time.perf_counter()
            asked = time.perf_counter()
            batch = next(self._batches)
            waited += time.perf_counter() - asked
            self._step(batch)[1].numpy()
        return {"waited": waited, "seconds": time.perf_counter() - begun}

    def products(self) -> Figures:
        """A step on one batch, again and again, and in turn with it the products that it makes."""
        from benchmarks.products import alone, largest, record

        if self._alone is None:
            self._held = next(self._batches)
            self._found = record(self._trainer.replica_step, self._held)
            self._alone = alone(self._found)
            for _ in range(3):
                self._step(self._held)[1].numpy()
                self._alone()
        held, products = [], []
        for _ in range(self._steps):
            held.append(_timed(lambda: self._step(self._held)[1].numpy()))
            products.append(_timed(self._alone))
        medians = [[statistics.median(kind) for kind in zip(*times, strict=True)] for times in (held, products)]
        return {
            **dict(zip(("step_held", "step_held_cpu"), medians[0], strict=True)),
            **dict(zip(("products", "products_cpu"), medians[1], strict=True)),
            "count": len(self._found),
            "giga_multiplications": round(sum(p.multiplications for p in self._found) / 1e9, 2),
            "largest": largest(self._found, 5),
        }


class Tutorial:
    """TFRS's basic retrieval tutorial, its code path: Keras `fit` over cached batches of (query, item) strings."""

    def __init__(self, data_dir: str, batch: int, dim: int = 32) -> None:
        import tensorflow as tf
        import tensorflow_recommenders as tfrs

        queries, items = _pairs(data_dir)

        def tower(strings: np.ndarray) -> tf.keras.Model:
            known = np.unique(strings)
            lookup = tf.keras.layers.StringLookup(vocabulary=known, mask_token=None)
            return tf.keras.Sequential([lookup, tf.keras.layers.Embedding(len(known) + 1, dim)])

        class Retrieval(tfrs.Model):
            """The tutorial's two towers."""

            def __init__(self) -> None:
                super().__init__()
                self.query_model, self.item_model = tower(queries), tower(items)
                self.task = tfrs.tasks.Retrieval()

            def compute_loss(self, features: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
                found = self.query_model(features["query"]), self.item_model(features["item"])
                return self.task(*found, compute_metrics=not training)

        self._model = Retrieval()
        self._model.compile(optimizer=tf.keras.optimizers.Adagrad(learning_rate=0.1))
        pairs = tf.data.Dataset.from_tensor_slices({"query": queries, "item": items})
        self._batches = pairs.shuffle(100_000).batch(batch, drop_remainder=True).cache()
        self._examples = len(queries) // batch * batch
        self._fixed = {"dim": dim}

    def train(self) -> Figures:
        """One epoch."""
        begun = time.perf_counter()
        self._model.fit(self._batches, epochs=1, verbose=0)
        return {"examples": self._examples, "seconds": time.perf_counter() - begun, **self._fixed}

    def wait(self) -> Figures:
        """Not asked of it."""
        raise NotImplementedError

    def products(self) -> Figures:
        """Not asked of it."""
        raise NotImplementedError


def _timed(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds on the clock, and of this process on all cores: the latter stand still while others have the cores."""
    begun, worked = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - begun, time.process_time() - worked


def _pairs(data_dir: str) -> tuple[np.ndarray, np.ndarray]:
    """Each (query, positive item) of the training requests, as strings."""
    from trainer.data.dataset import requests

    queries, items = [], []
    for batch in requests(data_dir, "train", 4096, {"query", "ordered_item_id", "clicked_item_id"}):
        for stage in ("ordered_item_id", "clicked_item_id"):
            chosen = batch[stage]
            queries.append(batch["query"].numpy()[chosen.value_rowids().numpy()])
            items.append(chosen.values.numpy())
    return np.concatenate(queries), np.concatenate(items)


def main() -> None:
    """Answers on stdout until stdin ends: `train`, `wait` or `products`, one a line."""
    name, data_dir, batch, steps = sys.argv[1:]
    subject: Subject
    if name == "tfrs_tutorial":
        subject = Tutorial(data_dir, int(batch))
    else:
        subject = Model(name, data_dir, int(batch), int(steps))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(getattr(subject, line.strip())()), flush=True)


if __name__ == "__main__":
    main()
