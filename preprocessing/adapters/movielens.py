"""MovieLens-100k and RecBole's atomic files: behaviours without queries."""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from preprocessing.adapters import labels
from preprocessing.adapters.products import write_catalog
from preprocessing.adapters.raw_folder import ACTIONS, SEARCHES, RawFolder
from preprocessing.adapters.read_table import Row, delimited, open_text
from preprocessing.command.console import UserError
from preprocessing.logs.records import Rejected, parse_time

CONFIG = "configs/movielens.yaml"
SUMMARY = "MovieLens-100k, or RecBole's atomic files: behaviours without queries"
HELP = """\
Reads u.data and u.item of MovieLens-100k, or RecBole's atomic files (NAME.inter, NAME.item; tab separated, typed
headers such as item_id:token), from their folder. Each rating becomes a request with an empty query that showed the
one item, and an action on it; the pipeline keeps such requests with preprocessing.input.keep_empty_queries. There is
no query to judge, so no judgments.jsonl.gz comes out. An interaction file without ratings counts each line as 1.

  rating           stage     action
  1 to 5           clicked   click      every rating is a positive, as in the TFRS tutorial
  by --stages 'ordered>=5,clicked>=3':  5 is ordered, 3 and 4 are clicked, below was shown

--split time keeps the published times (set preprocessing.split.eval_share=0.2 in the pipeline). --split random draws
--test-share of all ratings, as the TFRS tutorial does: they are asked at one last moment, so that none is another's
past, and each user's other ratings end one hour before it, gaps and order as published (configs/movielens.yaml cuts
there).

examples:
  python -m preprocessing.adapt movielens --split random ml-100k out/raw
  python -m preprocessing.adapt movielens recbole/dataset_example/ml-100k out/raw
"""
TEST_AT, _GAP = 1_706_702_400_000, 3_600_000  # noon of 2024-01-31; an hour
# The flags of u.item in order, as in u.genre.
_GENRES: tuple[str, ...] = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
)
_GENRES += ("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western")
_ITEM_FIELDS = 5 + len(_GENRES)
_ITEM_ID, _TITLE, _CLASSES = ("item_id", "movie_id"), ("movie_title", "title", "name"), ("class", "categories", "genre")
_BATCH = 5_000


class Rating(NamedTuple):
    """One behaviour."""

    user_id: str
    item_id: str
    label: float
    ts: int


def add_flags(flags: argparse.ArgumentParser) -> None:
    """The adapter's flags."""
    flags.add_argument("folder", type=Path, metavar="path/", help="the folder with u.data or NAME.inter")
    flags.add_argument("--stages", default="clicked>=1", help="what a rating means (default '%(default)s')")
    flags.add_argument("--split", default="time", choices=["time", "random"], help="default %(default)s")
    flags.add_argument("--test-share", type=float, default=0.2, help="of --split random (default %(default)s)")
    flags.add_argument("--seed", type=int, default=42, help="of --split random (default %(default)s)")


def adapt(given: argparse.Namespace, raw: RawFolder) -> None:
    """Writes the raw folder."""
    meaning = labels.Labels({}, labels.thresholds("--stages", given.stages, labels.STAGES), ())
    if not 0 < given.test_share < 1:
        raise UserError(f"--test-share {given.test_share:g}: a share between 0 and 1, like 0.2")
    items, behaviours = _files(given.folder)
    known = write_catalog(items, raw)
    raw.count("ratings", 0)
    ratings = [rating for rating in behaviours if _is_known(rating, known, raw)]
    raw.count("users", len({rating.user_id for rating in ratings}))
    if given.split == "random":
        ratings = _at_random(ratings, given.test_share, given.seed, raw)
    ratings.sort(key=lambda one: (one.ts, one.user_id, one.item_id))
    for first in range(0, len(ratings), _BATCH):
        _write(list(enumerate(ratings[first : first + _BATCH], first)), meaning, raw)


def _is_known(rating: Rating, known: set[str], raw: RawFolder) -> bool:
    raw.count("ratings")
    if rating.item_id not in known:
        raw.count("left out: ratings of items that are not in the catalogue")
    return rating.item_id in known


def _at_random(ratings: list[Rating], share: float, seed: int, raw: RawFolder) -> list[Rating]:
    """The drawn ones at `TEST_AT`; the others of each user moved so that the last is an hour before."""
    drawn = set(random.Random(seed).sample(range(len(ratings)), round(len(ratings) * share)))
    last: dict[str, int] = {}
    for place, rating in enumerate(ratings):
        if place not in drawn:
            last[rating.user_id] = max(rating.ts, last.get(rating.user_id, rating.ts))
    raw.count("train ratings", len(ratings) - len(drawn))
    raw.count("test ratings", len(drawn))
    return [
        rating._replace(ts=TEST_AT if place in drawn else rating.ts - last[rating.user_id] + TEST_AT - _GAP)
        for place, rating in enumerate(ratings)
    ]


def _write(numbered: list[tuple[int, Rating]], meaning: labels.Labels, raw: RawFolder) -> None:
    searches: list[dict[str, Any]] = []
    actions: list[dict[str, Any]] = []
    for number, one in numbered:
        ids = {"request_id": f"rating-{number}", "ts": one.ts, "user_id": one.user_id}
        searches.append({**ids, "query": "", "results": [one.item_id]})
        stage = meaning.stage(one.label)
        raw.count(f"ratings {stage}")
        if stage != "shown":
            actions.append({**ids, "item_id": one.item_id, "action": "order" if stage == "ordered" else "click"})
    raw.write(SEARCHES, searches)
    raw.write(ACTIONS, actions)


def _files(folder: Path) -> tuple[Iterator[Row], Iterator[Rating]]:
    """Items and ratings of either form."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the one that holds u.data or NAME.inter")
    if (folder / "u.data").is_file():
        if not (folder / "u.item").is_file():
            raise UserError(f"{folder} has u.data but no u.item")
        return _movies(folder / "u.item"), _ratings(_bare(folder / "u.data"))
    found = sorted(folder.glob("*.inter"))
    if len(found) != 1:
        raise UserError(f"{folder} holds {len(found) or 'neither u.data nor any'} *.inter; expected one data set")
    items = found[0].with_suffix(".item")
    if not items.is_file():
        raise UserError(f"{folder} has {found[0].name} but no {items.name}")
    return _atomic_items(items), _ratings(_atomic(found[0]))


def _movies(path: Path) -> Iterator[Row]:
    """u.item: separated by bars, in Latin-1, a flag a genre."""
    with open_text(path, "latin-1") as file:
        for number, line in enumerate(file, 1):
            values = line.rstrip("\r\n").split("|")
            if values == [""]:
                continue
            row = Row(path, number, {"item_id": values[0]})
            if len(values) != _ITEM_FIELDS:
                row.wrong(f"{len(values)} fields between bars, expected {_ITEM_FIELDS}")
            genres = [genre for genre, flag in zip(_GENRES, values[5:], strict=True) if flag == "1"]
            yield row._replace(fields={**row.fields, "title": values[1], **_categories(genres)})


def _bare(path: Path) -> Iterator[Row]:
    """u.data: four numbers a line, no header."""
    names = ("user_id", "item_id", "rating", "timestamp")
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            values = line.split()
            row = Row(path, number, dict(zip(names, values, strict=False)))
            if len(values) != len(names):
                row.wrong(f"{len(values)} values, expected {', '.join(names)}")
            yield row


def _atomic(path: Path) -> Iterator[Row]:
    """A RecBole file, its fields named without their types."""
    for row in delimited(path, "\t", quoted=False):
        for name in row.fields:
            if ":" not in name:
                row.wrong(f"header {name!r} has no type; RecBole's headers are like item_id:token")
        yield row._replace(fields={name.rpartition(":")[0]: value for name, value in row.fields.items()})


def _atomic_items(path: Path) -> Iterator[Row]:
    for row in _atomic(path):
        item_id, title, classes = (_first(row.fields, names) for names in (_ITEM_ID, _TITLE, _CLASSES))
        if item_id is None:
            row.wrong(f"no field {' or '.join(_ITEM_ID)}; its fields: {', '.join(row.fields)}")
        fields = {"item_id": item_id, "title": title, **_categories(str(classes or "").split())}
        yield row._replace(fields={**row.fields, "price": None, "categories": None, **fields})


def _first(fields: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((fields[name] for name in names if fields.get(name)), None)


def _categories(genres: list[str]) -> dict[str, str]:
    """The first genre, and all of them as the finer kind."""
    return {"category_top": genres[0] if genres else "", "category_leaf": " ".join(genres)}


def _ratings(table: Iterator[Row]) -> Iterator[Rating]:
    for row in table:
        label = row.number_in("rating") if "rating" in row.fields else 1.0
        try:
            ts = parse_time(row.value("timestamp"))
        except Rejected:
            row.wrong(f"timestamp is {row.fields['timestamp']!r}, expected epoch seconds or a date")
        yield Rating(row.identifier("user_id"), row.identifier("item_id"), label, ts)
