"""python -m benchmarks.conditions: what each condition of a request costs, on one thread.

Items, their words, leaves, brands and prices are made; the version is what serving.export writes of them, without
towers: its signature `search_filtered` takes a vector and conditions. Each case is called with one request after
another, and all cases take turns; the figures are medians in milliseconds of CPU. `rows512` is one call of 512
requests of the worst case. With --beside another version of the same items is timed in the same turns, in the cases
whose conditions it has. The last line of stdout is one JSON object.

examples:
  python -m benchmarks.conditions --items 1000000 --output out/benchmarks/conditions
  python -m benchmarks.conditions --items 1000000 --output out/benchmarks/conditions --beside out/before/conditions
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from benchmarks.index_vectors import clusters
from benchmarks.made_items import BRANDS, LEAVES, in_graph, market
from preprocessing.command.console import run_command
from preprocessing.command.flags import Flags
from preprocessing.words.config import FieldsConfig
from preprocessing.words.word_lists import build_word_lists
from serving.catalogue.postings import build_postings
from serving.config import ServingConfig, TuningConfig, WidthsConfig
from serving.graph.over_retrieval import OverRetrieval, growing_efforts
from serving.graph.saved_model import ServedModel
from serving.graph.signatures import Searcher, save
from serving.index.ground_truth import exact_rows
from serving.inputs import FILTER_LISTS, PRICE_RANGE
from serving.release.build_model import build_index
from serving.release.tune_effort import served_effort, tune

_DIM, _K, _TUNED_BY, _MANY = 64, 100, 200, 512
_WORST = {"required_terms": ["w0", "w1", "w2", "w3"]}  # long lists, of which few items are in all
CASES: dict[str, dict[str, Any]] = {
    "none": {},
    "term_of_none": {"required_terms": ["unheard"]},
    "rare_term": {"required_terms": ["w10000"]},
    "two_frequent_terms": {"required_terms": ["w1", "w2"]},
    "four_frequent_terms": _WORST,
    "leaf_1_percent": {"allowed_leaves": [f"leaf{LEAVES // 2}"]},
    "term_and_leaf": {"required_terms": ["w2"], "allowed_leaves": [f"leaf{LEAVES // 2}"]},
    "brand_11_percent": {"allowed_brands": ["brand0"]},
    "rare_brand": {"allowed_brands": [f"brand{BRANDS // 4}"]},
    "price": {PRICE_RANGE: (20.0, 20.5)},
    "excluded_20": {"excluded_items": 20},  # the best ones
}


def write_model(path: Path, items: int, kind: str) -> dict[str, Any]:
    """Writes a version of so many items; returns what is to be said of it."""
    vectors, queries = clusters(items, _DIM)
    table = market(items)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".making-") as making:
        aside = Path(making)
        index = build_index(vectors, ServingConfig.model_validate({"index": kind}), f"conditions/{items}")
        tuned = tune(index, queries[:_TUNED_BY], exact_rows([vectors], queries[:_TUNED_BY], _K), TuningConfig())
        filters = in_graph(table, aside)
        retrieval = OverRetrieval(index, filters, growing_efforts(served_effort(tuned), items), ServingConfig().max_k)
        searcher = Searcher(filters.items, retrieval, WidthsConfig().model_dump())
        save(searcher, str(aside / "model"), searcher.signatures(filtered=True))
        os.rename(aside / "model", path)
    begun = time.process_time()
    postings = build_postings(table, build_word_lists(table.words, FieldsConfig().boosts))
    seconds = round(time.process_time() - begun, 2)
    count = int(postings.lists.offsets[-1]) + len(postings.sorted_prices)
    return {"postings": count, "bytes_a_posting": round(postings.bytes / count, 2), "postings_cpu_s": seconds}


class Timed:
    """A version under the clock."""

    def __init__(self, path: Path, kind: str) -> None:
        self._model = ServedModel(str(path), kind == "scann", threads=1, inter_op=-1)
        self._names = list(self._model.signatures["search_filtered"].inputs)
        self._call = self._model.callable("search_filtered", self._names, ["item_ids", "scores"])

    def takes(self, case: Mapping[str, Any]) -> bool:
        """Whether it has these conditions."""
        return case.keys() <= set(self._names)

    def milliseconds(self, inputs: Mapping[str, np.ndarray]) -> float:
        """CPU of one call."""
        arrays = [inputs[name] for name in self._names]
        begun = time.process_time()
        self._call(*arrays)
        return (time.process_time() - begun) * 1e3

    def best(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The ids `[B, k]` that it answers by."""
        return self._call(*(inputs[name] for name in self._names))[0]


def inputs_of(queries: np.ndarray, case: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Requests `[B, dim]` with the conditions of a case."""
    count = len(queries)
    inputs: dict[str, np.ndarray] = {"embedding": queries, "k": np.full(count, _K, np.int32)}
    for name in FILTER_LISTS:
        values = case.get(name, ())
        inputs[name] = np.full((count, getattr(WidthsConfig(), name)), b"", object)
        inputs[name][:, : len(values)] = [value.encode() if isinstance(value, str) else value for value in values]
    inputs[PRICE_RANGE] = np.tile(np.array(case.get(PRICE_RANGE, (np.nan, np.nan)), np.float32), (count, 1))
    return inputs


def measure(versions: Mapping[str, Timed], queries: np.ndarray, rounds: int) -> dict[str, dict[str, float]]:
    """Medians by version and case."""
    taken: dict[str, dict[str, list[float]]] = {name: {} for name in versions}
    for turn in range(rounds + 1):
        query = queries[turn % len(queries)][None]
        for case, given in CASES.items():
            for name, version in versions.items():
                if not version.takes(given):
                    continue
                asked = dict(given)
                if case == "excluded_20":
                    asked["excluded_items"] = version.best(inputs_of(query, {}))[0, : given["excluded_items"]].tolist()
                spent = version.milliseconds(inputs_of(query, asked))
                if turn:  # the first call of a shape pays for more
                    taken[name].setdefault(case, []).append(spent)
    found = {
        name: {case: round(statistics.median(times), 3) for case, times in of_case.items()}
        for name, of_case in taken.items()
    }
    many = inputs_of(np.resize(queries, (_MANY, queries.shape[1])), _WORST)
    for name, version in versions.items():
        found[name]["rows512"] = round(version.milliseconds(many), 1)
    return found


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = Flags(prog="python -m benchmarks.conditions", description=__doc__)
    flags.add_argument("--items", type=int, default=1_000_000, help="default %(default)s")
    flags.add_argument("--index", choices=("scann", "portable", "brute_force"), default="scann")
    flags.add_argument("--output", type=Path, required=True, help="where the version is written; one there is taken")
    flags.add_argument("--beside", type=Path, help="another version of the same items")
    flags.add_argument("--rounds", type=int, default=20)
    given = flags.parse_args(argv)
    described: dict[str, Any] = {"items": given.items, "index": given.index, "cores": os.cpu_count()}
    if not given.output.exists():
        described |= write_model(given.output, given.items, given.index)
    versions = {"this": Timed(given.output, given.index)}
    if given.beside:
        versions["beside"] = Timed(given.beside, given.index)
    queries = clusters(given.items, _DIM)[1][_TUNED_BY:]
    print(json.dumps(described | {"cpu_ms": measure(versions, queries, given.rounds)}))
    return 0


if __name__ == "__main__":
    run_command(main)
