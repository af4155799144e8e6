"""python -m benchmarks.judge: how well judgments from clicks rank items as a simulated market's truth does.

Of each query whose truth is known, the items that were shown often enough are ranked by how often they were shown, by
their clicks a showing, by COEC and by the position-based model. Figures are means over queries of Spearman's rank correlation with the true grades,
with bootstrap intervals over queries, also of what each model has beyond the click rate. Queries with fewer than five
such items, or with one grade alone, say nothing and are left out. The last line of stdout is one JSON object.

examples:
  python -m benchmarks.judge
  python -m benchmarks.judge --raw out/raw --least-shown 10
"""

from __future__ import annotations

import collections
import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from preprocessing.command.console import UserError, run_command
from preprocessing.command.flags import Flags
from preprocessing.config import PreprocessingConfig
from preprocessing.judging.click_models import expected_clicks, scores
from preprocessing.judging.count_logs import count_logs
from preprocessing.simulate import simulate

_FEWEST, _RESAMPLES = 5, 2_000
_ITEMS, _USERS = 20_000, 5_000  # the default market's
# How often an item was shown is what the shop's ranking of then thought of it: no judgment, but what one is up against.
SHOWN, RATE, COEC, PBM = ROWS = ("times shown", "clicks a showing", "COEC", "position-based model")


def compare(raw: str, least_shown: int) -> dict[str, Any]:
    """By row the mean correlation with its interval, and the same of its lead over the click rate."""
    with tempfile.TemporaryDirectory() as folder:
        pairs, counts, _ = count_logs(PreprocessingConfig(), raw, f"{folder}/counts", [], [])
    shown = counts.of_pairs(counts.shown)
    ranked = {
        SHOWN: shown,
        RATE: counts.of_pairs(counts.clicked) / np.maximum(shown, 1.0),
        COEC: scores(counts, expected_clicks(counts, "coec")),
        PBM: scores(counts, expected_clicks(counts, "pbm")),
    }
    grades, by_query = _truth(Path(raw)), collections.defaultdict(list)
    for number in np.flatnonzero(shown >= least_shown).tolist():
        by_query[pairs[number][0]].append(number)
    judged = {
        query: (numbers, np.array([grades[query].get(pairs[number][1], 0) for number in numbers]))
        for query, numbers in by_query.items()
        if query in grades and len(numbers) >= _FEWEST
    }
    told = [(numbers, truth) for numbers, truth in judged.values() if len(set(truth.tolist())) > 1]
    if not told:
        raise UserError(f"--raw {raw}: no query of its truth has items shown {least_shown} times")
    found = {
        name: np.array([spearman(score[numbers], truth) for numbers, truth in told]) for name, score in ranked.items()
    }
    drawn = np.random.default_rng(17).integers(0, len(told), (_RESAMPLES, len(told)))
    rows = {
        name: {"mean": _estimate(values, drawn), "lead": _estimate(values - found[RATE], drawn)}
        for name, values in found.items()
    }
    return {"queries": len(told), "items": sum(len(numbers) for numbers, _ in told), "rows": rows}


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation of two lists, 0 where one is all ties.

    >>> spearman(np.array([1, 2, 3]), np.array([10, 20, 15]))
    0.5
    """
    ranks = [_ranks(values) for values in (one, other)]
    centred = [values - values.mean() for values in ranks]
    spread = np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    return float((centred[0] * centred[1]).sum() / spread) if spread else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ties share their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def _estimate(values: np.ndarray, drawn: np.ndarray) -> list[float]:
    """Mean, and the ends of its 95 % interval."""
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return [round(float(one), 4) for one in (values.mean(), low, high)]


def _truth(raw: Path) -> dict[str, dict[str, int]]:
    """The grades above 0 by query and item."""
    path = raw / "truth" / "judgments.jsonl.gz"
    if not path.exists():
        raise UserError(f"--raw {raw}: no truth/judgments.jsonl.gz in it; preprocessing.simulate writes it")
    grades: dict[str, dict[str, int]] = collections.defaultdict(dict)
    with gzip.open(path) as lines:
        for line in map(json.loads, lines):
            grades[line["query"]][line["item_id"]] = line["grade"]
    return dict(grades)


def main(argv: list[str] | None = None) -> None:
    """The command."""
    flags = Flags(prog="python -m benchmarks.judge", description=__doc__)
    flags.add_argument("--raw", help="a folder of preprocessing.simulate; without it the default market is made")
    flags.add_argument("--least-shown", type=int, default=5, help="(%(default)s)")
    given = flags.parse_args(argv)
    with tempfile.TemporaryDirectory() as made:
        if given.raw is None:
            simulate(made, items=_ITEMS, users=_USERS)
        result = compare(given.raw or made, given.least_shown)
    title = f"Spearman's correlation with the truth: {result['queries']} queries, {result['items']:,} items of them"
    table = Table("ranked by", "mean", "95 %", "beyond the click rate", "95 %", title=title)
    for name, row in result["rows"].items():
        cells = [f"{row[what][0]:.3f}|{row[what][1]:.3f} to {row[what][2]:.3f}" for what in ("mean", "lead")]
        table.add_row(name, *(part for cell in cells for part in cell.split("|")))
    Console().print(table)
    print(json.dumps(result))


if __name__ == "__main__":
    run_command(main)
