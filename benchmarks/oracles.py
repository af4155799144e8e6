"""python -m benchmarks.oracles: what those who know a simulated market's truth can find, and what its log is like.

Each oracle ranks the catalogue for the searches of the last three days: by BM25 over titles; by the words as sellers
and searchers mean them, unsaid things unknown; by the true leaf and attributes that the words name; by these and what
everybody clicked before, at all and after the same words; by these and the brands and price bands of what the user did
before; by these and the user's own true taste instead. Recall@10 of ordered and of clicked items and the share of
relevant items are means over searches; ties are broken at random. If taste does not lead the best that knows nothing of
the user by 30 %, the market is too easy to tell models apart. Below stand figures of the log beside those of real ones;
docs/data.md has their sources. The last line of stdout is one JSON object.

examples:
  python -m benchmarks.oracles
  python -m benchmarks.oracles --raw out/raw
"""

from __future__ import annotations

import collections
import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import bm25s
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.log_figures import TARGETS, Log, log_figures, read_log
from preprocessing.command.console import UserError, progress, run_command
from preprocessing.command.flags import Flags
from preprocessing.marketplace.engine import words_of
from preprocessing.marketplace.lexicon import ATTRIBUTES
from preprocessing.marketplace.profiles import PROFILES
from preprocessing.marketplace.taste import FIT, appeal
from preprocessing.marketplace.truth import GOOD, grades_of
from preprocessing.marketplace.world import World, make_world
from preprocessing.simulate import simulate

logging.getLogger("bm25s").setLevel(logging.WARNING)  # it speaks at DEBUG by itself

K, LEAD = 10, 0.3
_CLICKED = 0.5  # what a click after any words says beside one after the same words


class Search(NamedTuple):
    """A search of the last days with something clicked, and what it was after."""

    query: str
    user: int
    past: np.ndarray  # what the user acted on before these days
    same_words: np.ndarray  # what was clicked after the same words before these days, click by click
    clicks: np.ndarray  # [items], how often each was clicked before these days, after whatever words
    leaf: int
    asked: np.ndarray  # [attributes], -1 where the words do not say
    ordered: np.ndarray
    clicked: np.ndarray  # and not ordered


Oracle = Callable[[World, Search], np.ndarray]


def by_words(world: World, search: Search) -> np.ndarray:
    """Titles that say what is asked, in every leaf that a noun of the query may mean; mistyped words are understood."""
    leaves = _leaves_meant(world, search.query) or [search.leaf]
    minds = search.asked >= 0
    says = (world.catalog.values[:, minds] == search.asked[minds]) & world.catalog.said[:, minds]
    return np.isin(world.catalog.leaf, leaves) * (1.0 + says.sum(axis=1))


def by_leaf(world: World, search: Search) -> np.ndarray:
    """The true leaf with what is asked, whether titles say it or not."""
    minds = search.asked >= 0
    same = (world.catalog.values[:, minds] == search.asked[minds]).mean(axis=1) if minds.any() else 1.0
    return FIT * (world.catalog.leaf == search.leaf) * (0.45 + 0.55 * same)


def by_clicks(world: World, search: Search) -> np.ndarray:
    """The same, with titles that say it before those that do not, as engines have it, and what everybody clicked."""
    after_these = np.bincount(search.same_words, minlength=len(search.clicks))
    clicked = _CLICKED * np.log1p(search.clicks) + np.log1p(after_these)
    return by_leaf(world, search) + by_words(world, search) + clicked


def by_past(world: World, search: Search) -> np.ndarray:
    """The same, and what the log tells of the user's taste: the brands and the price bands of the past."""
    catalog, past = world.catalog, search.past
    brands = np.bincount(catalog.brand[past], minlength=len(catalog.brands.names))
    bands = np.bincount(catalog.band[past], minlength=3) / max(len(past), 1)
    return by_clicks(world, search) + np.log1p(brands)[catalog.brand] + bands[catalog.band]


def by_taste(world: World, search: Search) -> np.ndarray:
    """The same, and what this user likes: the brands, the prices, the style, the colour and the use of the day."""
    catalog, users = world.catalog, world.users
    return by_clicks(world, search) + appeal(catalog, users, np.array([search.user]), _everything(world))[0]


PAST = "words, leaf, clicks and past"
TASTE = "words, leaf, clicks and taste"
ORACLES: dict[str, Oracle] = {
    "words": by_words,
    "words and leaf": by_leaf,
    "words, leaf and clicks": by_clicks,
    PAST: by_past,
    TASTE: by_taste,
}


def searches_of(world: World, log: Log) -> list[Search]:
    """The searches of the last days that got a click on something still for sale."""
    row = {item_id: index for index, item_id in enumerate(world.catalog.item_ids)}
    user = {user_id: index for index, user_id in enumerate(world.users.user_ids)}
    leaf = {name: index for index, name in enumerate(world.lexicon.leaves)}
    past, same_words, clicks = _before(log, row)
    found = []
    for one in log.searches:
        truth, acted = log.truth.get(one["request_id"]), log.acted.get(one["request_id"])
        if truth is None or acted is None:
            continue
        ordered = {row[item] for item, actions in acted.items() if "order" in actions}
        clicked = {row[item] for item in acted} - ordered
        live = [
            np.array([item for item in sorted(part) if world.catalog.in_stock[item]]) for part in (ordered, clicked)
        ]
        asked = np.array(_asked(world, truth["asked"]))
        before = past[one["user_id"]], same_words[one["query"]], clicks
        found.append(Search(one["query"], user[one["user_id"]], *before, leaf[truth["leaf"]], asked, *live))
    return found


def figures(ranked: list[np.ndarray], searches: list[Search], world: World) -> dict[str, float]:
    """Recall of ordered, of clicked, their mean, and the share of what was found that is relevant."""
    found: dict[str, list[float]] = {"ordered": [], "clicked": [], "good": []}
    for rows, search in zip(ranked, searches, strict=True):
        for name in ("ordered", "clicked"):
            wanted = getattr(search, name)
            if len(wanted):
                found[name].append(float(np.isin(wanted, rows).mean()))
        found["good"].append(float((grades_of(world, search.leaf, search.asked)[rows] >= GOOD).mean()))
    means = {name: round(float(np.mean(values)), 4) if values else float("nan") for name, values in found.items()}
    return {
        "recall_ordered": means["ordered"],
        "recall_clicked": means["clicked"],
        "recall": round((means["ordered"] + means["clicked"]) / 2, 4),
        "p_good": means["good"],
    }


def best(scores: np.ndarray, world: World, random: np.random.Generator) -> np.ndarray:
    """The K best that are for sale; ties at random."""
    scores = np.where(world.catalog.in_stock, scores, -np.inf)
    floor = np.partition(scores, len(scores) - K)[len(scores) - K]
    candidates = random.permutation(np.flatnonzero(scores >= floor))
    return candidates[np.argsort(-scores[candidates], kind="stable")[:K]]


def ask(world: World, searches: list[Search], seed: int) -> dict[str, dict[str, float]]:
    """The figures of BM25 and of every oracle."""
    random = np.random.default_rng(seed)
    index = bm25s.BM25()
    index.index([words_of(title) for title in world.catalog.titles], show_progress=False)
    ranked: dict[str, list[np.ndarray]] = {"BM25": [], **{name: [] for name in ORACLES}}
    with progress("oracles", total=len(searches)) as bar:
        for search in searches:
            words = words_of(search.query)
            ranked["BM25"].append(best(index.get_scores(words), world, random))
            for name, oracle in ORACLES.items():
                ranked[name].append(best(oracle(world, search), world, random))
            bar.advance()
    return {name: figures(rows, searches, world) for name, rows in ranked.items()}


def _before(log: Log, row: dict[str, int]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """What was acted on before the last days: by user, by the words of the search, and each item's clicks."""
    since = min(one["ts"] for one in log.searches if one["request_id"] in log.truth)
    by_user: dict[str, list[int]] = collections.defaultdict(list)
    by_query: dict[str, list[int]] = collections.defaultdict(list)
    clicks = np.zeros(len(row))
    for one in log.actions:
        if one["ts"] < since:
            by_user[one["user_id"]].append(row[one["item_id"]])
            clicks[row[one["item_id"]]] += one["action"] == "click"
    for one in log.searches:
        if one["ts"] < since:
            by_query[one["query"]] += [row[item_id] for item_id in log.acted.get(one["request_id"], ())]
    return _arrays(by_user), _arrays(by_query), clicks


def _arrays(lists: dict[str, list[int]]) -> dict[str, np.ndarray]:
    nothing = np.zeros(0, np.int64)
    return collections.defaultdict(lambda: nothing, {name: np.array(items, np.int64) for name, items in lists.items()})


def _leaves_meant(world: World, query: str) -> list[int]:
    """The leaves of the longest noun in the query."""
    nouns = [
        (len(noun), leaf)
        for leaf, names in enumerate(world.lexicon.leaf_names)
        for noun in (*names.query, names.chinese)
        if f" {noun} " in f" {query} " or (not noun.isascii() and noun in query)
    ]
    return [leaf for length, leaf in nouns if length == max(nouns)[0]]


def _asked(world: World, asked: dict[str, str]) -> list[int]:
    values = zip(ATTRIBUTES, world.lexicon.values, strict=True)
    return [[one.title[0] for one in known].index(asked[name]) if name in asked else -1 for name, known in values]


def _everything(world: World) -> np.ndarray:
    return np.arange(len(world.catalog.item_ids))[None]


def lead(found: dict[str, dict[str, float]]) -> float:
    """How far taste leads the best of those that know nothing of the user, in their recall."""
    best_without = max(one["recall"] for name, one in found.items() if name not in (PAST, TASTE))
    return found[TASTE]["recall"] / best_without - 1


def show(found: dict[str, dict[str, float]], measured: dict[str, float], profile: str, console: Console) -> None:
    """Both tables."""
    table = Table("knows", f"Recall@{K} ordered", f"Recall@{K} clicked", "mean", f"P_good@{K}")
    for name, one in found.items():
        table.add_row(name, *(f"{value:.3f}" for value in one.values()))
    console.print(table)
    table = Table("of the log", "measured", f"aim, {profile}", "because")
    for name, target in TARGETS.items():
        low, high = target.ranges[profile]
        table.add_row(target.says, f"{measured[name]:.3g}", f"{low:g} to {high:g}", target.because)
    console.print(table)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = Flags(prog="python -m benchmarks.oracles", description=__doc__)
    flags.add_argument("--raw", type=Path, help="folder of preprocessing.simulate (default: simulated for this)")
    flags.add_argument("--profile", choices=PROFILES, default="marketplace", help="of that (default %(default)s)")
    flags.add_argument("--searches", type=int, default=2_000, help="at most, drawn by the seed (default %(default)s)")
    flags.add_argument("--seed", type=int, default=17, help="of draws and ties (default %(default)s)")
    given = flags.parse_args(argv)
    with tempfile.TemporaryDirectory() as aside:
        if given.raw is None:
            kind = PROFILES[given.profile]
            simulate(aside, kind.items, kind.users, profile=given.profile)
        elif not (given.raw / "simulation.json").is_file():
            raise UserError(f"--raw {given.raw}: not a folder that preprocessing.simulate wrote")
        raw = given.raw or Path(aside)
        made = json.loads((raw / "simulation.json").read_text())
        log = read_log(raw)
    world = make_world(*(made[name] for name in ("items", "users", "days", "seed", "profile")))
    searches = searches_of(world, log)
    chosen = np.random.default_rng(given.seed).permutation(len(searches))[: given.searches]
    found, measured = ask(world, [searches[one] for one in chosen], given.seed), log_figures(world, log)
    show(found, measured, made["profile"], Console())
    result = {"profile": made["profile"], "searches": len(chosen), "oracles": found, "log": measured}
    print(json.dumps({**result, "lead_of_taste": lead(found), "hard_enough": lead(found) >= LEAD}))
    return 0


if __name__ == "__main__":
    run_command(main)
