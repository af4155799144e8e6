"""python -m benchmarks.judged: a real catalogue, queries rated by people, and what a served version finds of them.

The rated queries are cut into folds, and each is asked by models that never saw a label of it. In each fold a share of
the other queries (`--validation-share`) is to validate by: whatever is chosen, the weights of the channels above all,
is chosen by these. Each row is trained by configs/first_day.yaml on the labels that are left and on the catalogue's own
words, exported as any job is (`python -m serving.export`), and the version asked once a query: `retrieve`, k = 1000.

Rows are models, with variants behind a plus: `mgdspr+wordllama+wide`. For each there is what its vectors find alone, by
exact search, and what is served; beside them the version's channel of words, and BM25 by its own library: of titles and
brands, and of descriptions behind them. Recall@K is the share of a query's items of label 2 and more (the mean of its
raters) that are among the K retrieved of the whole catalogue; of several seeds the mean. Intervals are of a bootstrap
over queries, differences to BM25 are paired. What is done is not done again, so that folds may be run one by one. The
last line of stdout is one JSON object.

examples:
  python -m benchmarks.judged --data chorus --output out/judged
  python -m benchmarks.judged --data chorus --output out/judged --folds 0 --rows mmse,mmse+labels
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from benchmarks.ablation import Steps
from preprocessing.command.console import UserError, nearest, run_command
from preprocessing.command.flags import Flags

CONFIG = "configs/first_day.yaml"
BASELINES = ("BM25", "BM25 with descriptions")
_STAGES = "ordered>=3,clicked>=2"
_KS = (10, 100, 1000)
_MEMORY = 512 << 20
MODELS: dict[str, tuple[str, ...]] = {
    "dnn": (),
    "mgdspr": (),
    "mmse": ("loss.temperature=0.2", "loss.ranking.weight=0.5"),
    "tfrs": ("loss.kind=tfrs", "loss.correction=false", "loss.mask_accidental_hits=false"),
}
# What a row changes of its model; `{model}` is the model's own section.
VARIANTS: dict[str, tuple[str, ...]] = {
    "wordllama": ("{model}.tables.word.vectors=wordllama",),
    "wide": ("{model}.dim=128",),
    "labels": ("data.catalog_requests=0",),
    "mixed": ("loss.hard_negatives.count=200",),
    "unranked": ("loss.ranking.weight=0",),
}
# The last checkpoint counts: a dozen queries cannot tell which one is best.
_TRAINING = ("training.histograms=false", "validation.every_steps=0")


class Row(NamedTuple):
    """A model as one of the rows has it."""

    name: str  # as in "mgdspr+wordllama"

    @property
    def keys(self) -> list[str]:
        """Of the trainer's section."""
        model, *variants = self.name.split("+")
        own = [key.format(model=model) for one in variants for key in VARIANTS[one]]
        return [f"model={model}", *MODELS[model], *own]

    @classmethod
    def checked(cls, text: str) -> Row:
        """From a part of --rows."""
        model, *variants = text.split("+")
        for part, known in ((model, MODELS), *((one, VARIANTS) for one in variants)):
            if part not in known:
                raise UserError(f"--rows {text}: unknown {part!r}{nearest(part, known)}")
        return cls(text)


class Fold:
    """One fold's folder: its streams and records, and a job and a version for each row and seed."""

    def __init__(self, steps: Steps, folder: Path, number: int, given: argparse.Namespace) -> None:
        self._steps, self._given, self.number = steps, given, number
        made = f"fold-{number}-of-{given.test_share:g}-validation-{given.validation_share:g}"
        self.folder = folder / made
        self.data = str(self.folder / "data")

    def records(self) -> None:
        """Streams and records."""
        source, given = self._given.data.absolute(), self._given
        files = ("--products", str(source / "catalog.jsonl.gz"), "--judgments", str(source / "judgments.jsonl"))
        raw, shares = f"{self.folder}/raw", {"test": given.test_share, "validation": given.validation_share}
        split = (part for name, share in shares.items() for part in (f"--{name}-share", f"{share:g}"))
        cut = (*split, "--fold", str(self.number), "--stages", _STAGES)
        self._run("streams", "preprocessing.adapt", "judged", *files, *cut, raw)
        self._run("records", "preprocessing.pipeline", "--config", CONFIG, "--input", raw, "--output", self.data)

    def job(self, row: Row, seed: int) -> Path:
        """A row's job, trained."""
        steps = self._given.steps
        job = self.folder / f"{row.name}-steps-{steps}-seed-{seed}"
        keys = (*row.keys, *_TRAINING, f"training.steps={steps}", f"seed={seed}")
        sets = [part for key in keys for part in ("--set", f"trainer.{key}")]
        place = ("--data", self.data, "--job-dir", str(job))
        self._run(job.name, "trainer.task", "--config", CONFIG, *place, *sets)
        return job

    def version(self, job: Path) -> Path:
        """A job's version, exported."""
        models = job / f"models-{self._given.index}"
        place = ("--data", self.data, "--job-dir", str(job), "--output", str(models))
        index = ("--set", f"serving.index={self._given.index}")
        self._run(f"{job.name} in {models.name}", "serving.export", "--config", CONFIG, *place, *index)
        return models / str(max(int(one.name) for one in models.iterdir() if one.name.isdigit()))

    def _run(self, name: str, module: str, *arguments: str) -> None:
        self._steps.run(f"{self.folder.name}: {name}", module, *arguments)

    def asked(self, row: Row, seed: int) -> dict[str, Any]:
        """The fold's queries; by what answers, Recall `[queries, Ks]`; and what the manifest says of the channels."""
        job = self.job(row, seed)
        version = self.version(job)
        path = version.parent / f"asked-{version.name}.json"
        if not path.exists():
            aside = path.with_suffix(".part")
            aside.write_text(json.dumps(ask(self.data, job, version)))
            aside.rename(path)
        return json.loads(path.read_text())


def ask(data: str, job: Path, version: Path) -> dict[str, Any]:
    """Asks everything that answers."""
    from preprocessing.words.config import WordsConfig
    from trainer.evaluation.catalogue import Catalogue
    from trainer.evaluation.eval_requests import EvalRequests
    from trainer.evaluation.retrievers import Setting, ask_bm25, ask_job
    from trainer.evaluation.words_channel import WordsChannel

    catalogue = Catalogue(data)
    requests = EvalRequests(data, catalogue, None)
    setting = Setting(data, catalogue, requests, None, min(max(_KS), len(catalogue)), _MEMORY)
    by_library = (ask_bm25(setting), ask_bm25(setting, described=True))
    alone = (*by_library, WordsChannel(setting, WordsConfig()).alone(), ask_job("vectors", str(job), setting))
    chosen = [requests.stages[stage] for stage in ("ordered", "clicked")]
    relevant = [np.concatenate([stage.of(number) for stage in chosen]) for number in range(len(requests))]
    queries = requests.queries.tolist()
    rows = {one.name: one.ranking.rows for one in alone} | {"served": served(version, queries, catalogue, setting.k)}
    manifest = json.loads((version.parent / f"manifest-{version.name}.json").read_text())
    return {
        "queries": [query.decode() for query in queries],
        "recalls": {name: recall(found, relevant).tolist() for name, found in rows.items()},
        "channels": manifest.get("channels"),
    }


def served(version: Path, queries: Sequence[bytes], catalogue: Any, k: int) -> np.ndarray:
    """Rows `[queries, k]` of what a version's `retrieve` gives, one call a query; -1 behind the last."""
    from serving.graph.saved_model import ServedModel

    with ServedModel(str(version), with_scann=version.parent.name.endswith("scann")) as model:
        found = [model.call("retrieve", only(model, query, k))["item_ids"][0] for query in queries]
    return np.stack([np.where(ids != b"", catalogue.rows(ids.tolist()), -1) for ids in found])


def only(model: Any, query: bytes, k: int) -> dict[str, np.ndarray]:
    """The inputs of `retrieve` for one query of nobody in particular, without conditions."""
    import tensorflow as tf

    inputs = {}
    for name, one in model.signatures["retrieve"].inputs.items():
        kind = tf.as_dtype(one.dtype)
        nothing = b"" if kind == tf.string else np.nan if kind == tf.float32 else 0
        shape = [1, *(size.size for size in one.tensor_shape.dim[1:])]
        inputs[name] = np.full(shape, nothing, kind.as_numpy_dtype)
    return inputs | {"query": np.array([query], object), "k": np.array([k], np.int32)}


def recall(rows: np.ndarray, relevant: Sequence[np.ndarray]) -> np.ndarray:
    """Of each query's relevant rows the share among the first K: `[queries, Ks]`."""
    return np.array(
        [[np.isin(own, found[:k]).sum() / len(own) for k in _KS] for found, own in zip(rows, relevant, strict=True)]
    )


def together(asked: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> dict[str, np.ndarray]:
    """Recall `[queries of all folds, Ks]` of every line of the table, from each row's folds and their seeds.

    BM25 and the words hang on no training; the others are means over seeds.
    """
    lines: dict[str, np.ndarray] = {}
    for row, folds in asked.items():
        names = {**{one: one for one in (*BASELINES, "words")}, row: "vectors", f"{row}, served": "served"}
        for line, name in names.items():
            of_folds = [np.mean([one["recalls"][name] for one in seeds], axis=0) for seeds in folds]
            lines[line] = np.concatenate(of_folds)
    return lines


def figures(queries: Sequence[str], recalls: Mapping[str, np.ndarray], seed: int) -> dict[str, Any]:
    """Means with intervals by line, and each one's paired differences to the baselines."""
    from preprocessing.words.bootstrap import Bootstrap

    by_query = Bootstrap(np.array(queries), seed)

    def at_each(values: np.ndarray) -> dict[str, Any]:
        estimates = {f"recall@{k}": by_query.estimate(values[:, place]) for place, k in enumerate(_KS)}
        return {name: one.json() for name, one in estimates.items() if one is not None}

    return {
        "rows": {name: at_each(values) for name, values in recalls.items()},
        "minus": {
            baseline: {
                name: at_each(values - recalls[baseline]) for name, values in recalls.items() if name != baseline
            }
            for baseline in BASELINES
        },
    }


def numbers(flag: str, text: str) -> list[int]:
    """Whole numbers with commas between them."""
    try:
        return [int(one) for one in text.split(",")]
    except ValueError:
        raise UserError(f"{flag} {text!r}: whole numbers with commas between them, like 17,18") from None


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command's flags, checked."""
    flags = Flags(prog="python -m benchmarks.judged", description=__doc__)
    flags.add_argument("--data", type=Path, required=True, help="folder of catalog.jsonl.gz and judgments.jsonl")
    flags.add_argument("--output", default="out/judged", help="folder of records, jobs, versions (default %(default)s)")
    flags.add_argument("--rows", default="dnn,mgdspr,mmse", help="of the table (default %(default)s)")
    flags.add_argument("--seeds", default="17", help="of the models, as in 17,18,19 (default %(default)s)")
    flags.add_argument("--folds", help="which of them (default: all that --test-share makes)")
    flags.add_argument("--test-share", type=float, default=0.2, help="of the queries in a fold (default %(default)s)")
    flags.add_argument("--validation-share", type=float, default=0.25, help="of the others (default %(default)s)")
    flags.add_argument("--index", default="brute_force", help="of the versions (default %(default)s)")
    flags.add_argument("--steps", type=int, default=1000, help="of each training (default %(default)s)")
    given = flags.parse_args(argv)
    if not (given.data / "catalog.jsonl.gz").is_file() or not (given.data / "judgments.jsonl").is_file():
        raise UserError(f"--data {given.data}: it has to hold catalog.jsonl.gz and judgments.jsonl")
    if not 0 < given.test_share <= 0.5:
        raise UserError(f"--test-share {given.test_share:g}: above 0, and at most 0.5")
    if given.steps < 1:
        raise UserError(f"--steps {given.steps}: at least 1")
    count = int(1 / given.test_share + 1e-9)
    given.folds = numbers("--folds", given.folds) if given.folds else list(range(count))
    if not set(given.folds) <= set(range(count)):
        raise UserError(f"--folds {given.folds}: with --test-share {given.test_share:g} there are 0 to {count - 1}")
    given.seeds = numbers("--seeds", given.seeds)
    given.rows = [Row.checked(one) for one in given.rows.split(",")]
    return given


def main(argv: list[str] | None = None) -> int:
    """The command."""
    given = arguments(argv)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # a tower traced for each model is no mistake
    folder = Path(given.output).absolute()
    steps = Steps(folder)
    folds = [Fold(steps, folder, number, given) for number in given.folds]
    asked: dict[str, list[list[dict[str, Any]]]] = {row.name: [] for row in given.rows}
    for fold in folds:
        fold.records()
        for row in given.rows:
            asked[row.name].append([fold.asked(row, seed) for seed in given.seeds])
    queries = [query for seeds in asked[given.rows[0].name] for query in seeds[0]["queries"]]
    channels = {row: [[one["channels"] for one in seeds] for seeds in found] for row, found in asked.items()}
    asking = {"queries": len(queries), "folds": given.folds, "seeds": given.seeds, "steps": given.steps}
    print(json.dumps({**asking, "channels": channels, **figures(queries, together(asked), given.seeds[0])}))
    return 0


if __name__ == "__main__":
    run_command(main)
