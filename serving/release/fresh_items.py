"""Between two builds of the index: new items searched exactly beside it, and items that are gone at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.command.console import UserError
from preprocessing.data.features import VECTOR
from preprocessing.logs.records import Item, Rejected, parse_item
from preprocessing.text.vocabulary_files import Vocabularies
from preprocessing.words.item_words import word_hashes
from preprocessing.words.word_lists import Statistics
from serving.catalogue.attribute_ids import attribute_ids
from serving.catalogue.data_records import DESCRIPTION, Strings
from serving.catalogue.postings import fresh_terms
from serving.catalogue.table import NAMED, Table, TableBuilder
from serving.graph.hashed_past import hashed, items_behind
from serving.graph.item_lookup import NO_ITEM
from serving.graph.saved_model import ServedModel
from serving.inputs import ITEM_PRICE
from serving.release.item_vectors import checked_vectors
from serving.release.variable_files import Variables, read_variables, write_variables

FRESH_FILE = "fresh.txt"
_BLOCK = 1_024
_IDS, _PAST = "items/ids", "past/attribute_ids"
_ALIVE, _AMENDED, _FRESH = "over_retrieval/alive", "over_retrieval/amended", "over_retrieval/fresh"
_FILTER = "over_retrieval/filter"
_LISTS = f"{_FILTER}/lists"
_PLACES = "lists/places"
_HASHES, _FRESH_PAST = "past/hashes", "past/fresh_"
_READ = (_IDS, _PAST, _HASHES, _PLACES, _ALIVE, _FRESH, *(f"{_LISTS}/{name}" for name in Statistics._fields))

Embed = Callable[[Strings], tf.Tensor]  # items [B], the item tower's inputs among their columns -> float32 [B, dim]


class ItemSide(NamedTuple):
    """By what a fresh item becomes all that a model holds of it."""

    embed: Embed
    vocabularies: Vocabularies | None  # of a model that encodes queries, which may name the item; a shard does not
    vector_width: int  # of the items' own vectors, 0 where none are read
    places: Mapping[bytes, int] | None = None  # of a shard: where its fresh items stand in the whole catalogue


class Changes(NamedTuple):
    """What is asked for; None leaves what the version already has."""

    fresh: list[Item] | None = None
    tombstones: set[bytes] | None = None


def read_changes(fresh: str | None, tombstones: str | None, vector_width: int) -> Changes:
    """Reads `--fresh`, catalogue records as JSON Lines, and `--tombstones`, one item id a line."""
    items = None if fresh is None else [_item(fresh, *line, vector_width) for line in _lines(fresh, "--fresh")]
    gone = None if tombstones is None else {line.encode() for _, line in _lines(tombstones, "--tombstones")}
    return Changes(items, gone)


def _lines(path: str, flag: str) -> Iterable[tuple[int, str]]:
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            text = file.read().decode()
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        raise UserError(f"{flag} {path} cannot be read: {error}") from None
    return [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _item(path: str, number: int, line: str, vector_width: int) -> Item:
    try:
        record = json.loads(line)
        if not isinstance(record, dict):
            raise Rejected("not an object")
        return parse_item(record, vector_width=vector_width)
    except (ValueError, Rejected) as error:
        raise UserError(f"--fresh {path}: line {number} is no catalogue record: {error}") from None


def amend(model: Path, size: int, changes: Changes, side: ItemSide) -> dict[str, int]:
    """Puts changes into a saved model's variables and its file of fresh ids; graph and index are not touched.

    Args:
      model: the saved model's folder.
      size: N, the items of its index; rows behind are those of its side index.
      changes: what to put in.
      side: of this model.

    Returns:
      Counts for the manifest.
    """
    variables = read_variables(model)
    arrays: Variables = {name: variables[name].numpy() for name in _READ if name in variables}
    counts = {}
    if changes.fresh is not None:
        chosen = {one.item_id.encode(): one for one in changes.fresh if one.in_stock}
        known = _known(arrays, size, list(chosen))
        new = [one for item_id, one in chosen.items() if item_id not in known]
        counts["fresh_in_index_already"] = len(chosen) - len(new)
        table, vectors = _embedded(new, side)
        if _HASHES in arrays:
            arrays = _fresh_past(table, side)
        else:
            arrays |= _with_behind(arrays, size, table, vectors, side)
            write_fresh_ids(model / "assets", table.ids.tolist())
    if _ALIVE in arrays:
        counts |= _bury(arrays, changes.tombstones, size)
    write_variables(model, variables | arrays)
    return counts


def _known(arrays: Variables, size: int, ids: list[bytes]) -> set[bytes]:
    """Which of some ids the version has in its index; the model of queries beside shards knows their hashes."""
    if _HASHES not in arrays:
        return set(arrays[_IDS][1 : size + 1].tolist())
    hashes = word_hashes(tf.constant(ids, tf.string)).numpy()
    there = np.isin(hashes, arrays[_HASHES])
    return {one for one, is_there in zip(ids, there, strict=True) if is_there}


def _fresh_past(table: Table, side: ItemSide) -> Variables:
    """What a model that searches nothing holds of fresh items, in whose users' pasts they may be."""
    assert side.vocabularies is not None
    items = items_behind(hashed(table.ids, attribute_ids(table, side.vocabularies)))
    return {f"{_FRESH_PAST}{name}": value for name, value in items._asdict().items()}


def _embedded(new: list[Item], side: ItemSide) -> tuple[Table, list[np.ndarray]]:
    """The table of new items and their vectors `[n, dim]`, from what their records say."""
    builder = TableBuilder()
    vectors = []
    for begin in range(0, len(new), _BLOCK):
        part = new[begin : begin + _BLOCK]
        columns = zip(
            *((one.item_id, one.title, one.description, one.brand, one.shop, one.leaf, one.top) for one in part),
            strict=True,
        )
        names = ("item_id", "title", DESCRIPTION, *NAMED.values())
        batch = {name: tf.constant(values, tf.string) for name, values in zip(names, columns, strict=True)}
        batch[ITEM_PRICE] = tf.constant([one.price for one in part], tf.float32)
        inputs = batch | ({VECTOR: _own_vectors(part, side.vector_width)} if side.vector_width else {})
        vectors.append(checked_vectors(side.embed(inputs), batch))
        builder.add(batch)
    return builder.table("--fresh"), vectors


def _own_vectors(items: list[Item], width: int) -> tf.Tensor:
    """float32 `[n, width]` of items' records, zeros for none."""
    content = b"".join(one.vector or bytes(4 * width) for one in items)
    if len(content) != 4 * width * len(items):
        raise UserError(f"--fresh: this version reads vectors of {width} numbers, those of --data are of another width")
    return tf.constant(np.frombuffer(content, "<f4").reshape(len(items), width))


def _with_behind(arrays: Variables, size: int, table: Table, vectors: list[np.ndarray], side: ItemSide) -> Variables:
    """What a model holds of fresh items, variable by variable: behind those of no item and of the index's N, or alone.

    A shard has no users' pasts, and the model of queries beside it no side index.
    """
    behind = {_IDS: table.ids, _ALIVE: np.ones(len(table), bool)}
    if side.places is not None:
        behind[_PLACES] = np.array([side.places[one] for one in table.ids.tolist()], np.int32)
    if side.vocabularies is not None:
        behind[_PAST] = attribute_ids(table, side.vocabularies)
    found = {name: np.concatenate([arrays[name][: 1 + size], behind[name]]) for name in behind if name in arrays}
    if _FRESH in arrays:
        found[_FRESH] = np.concatenate([arrays[_FRESH][:0], *vectors])
        terms = fresh_terms(table, Statistics(*(arrays[f"{_LISTS}/{name}"] for name in Statistics._fields)))
        found |= {f"{_FILTER}/fresh_{name}": values for name, values in terms.items()}
    return found


def _bury(arrays: Variables, gone: set[bytes] | None, size: int) -> dict[str, int]:
    """Marks tombstones, where some are given, and whether the index alone has the answers; counts for the manifest."""
    counts = {}
    if gone is not None:
        alive = np.array([one not in gone for one in arrays[_IDS][1:].tolist()], bool)
        counts["tombstones_unknown"] = len(gone) - int((~alive).sum())
        arrays[_ALIVE] = np.append(False, alive)
    alive = arrays[_ALIVE][1:]
    arrays[_AMENDED] = np.array(len(alive) > size or not alive.all())
    return {**counts, "fresh": len(alive) - size, "tombstones": int((~alive).sum())}


def write_fresh_ids(folder: Path, ids: list[bytes]) -> None:
    """Writes the file of fresh ids that `serving.graph.item_lookup` reads."""
    (folder / FRESH_FILE).write_bytes(b"".join(one + b"\n" for one in [NO_ITEM, *ids]))


class StoredTower:
    """The item tower in a version, which is loaded when the first item comes."""

    def __init__(self, path: str, scann: bool) -> None:
        self._path, self._scann = path, scann
        self._model: ServedModel | None = None

    def __call__(self, items: Strings) -> tf.Tensor:
        """Items `[B]`, the tower's inputs among their columns -> float32 `[B, dim]`."""
        if self._model is None:
            self._model = ServedModel(self._path, self._scann)
        arrays = {name: items[name].numpy() for name in self._model.signatures["embed_item"].inputs}
        return tf.constant(self._model.call("embed_item", arrays)["embedding"])

    def __enter__(self) -> StoredTower:
        return self

    def __exit__(self, *_: object) -> None:
        if self._model is not None:
            self._model.close()


def side_of(path: str, manifest: dict[str, Any], embed: Embed) -> ItemSide:
    """That of the version at `path`, which encodes queries."""
    vocabularies = Vocabularies(f"{path}/assets", manifest["encoding"], manifest["encoding"]["vocabularies"])
    return ItemSide(embed, vocabularies, vocabularies.vector_width)


def amended_version(
    path: str, manifest: dict[str, Any], changes: Changes, model: Path, side: ItemSide
) -> dict[str, Any]:
    """Copies the version at `path` to `model`, changed; returns its manifest."""
    shutil.copytree(path, model)
    counts = amend(model, manifest["items"], changes, side)
    return manifest | {"side_index": counts, "refreshed_from": manifest["version"]}
