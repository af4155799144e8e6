"""Between two builds of the index: new items searched exactly beside it, and items that are gone at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.command.console import UserError
from preprocessing.logs.records import Item, Rejected, parse_item
from preprocessing.text.vocabulary_files import Vocabularies
from serving.catalogue.attribute_ids import attribute_ids
from serving.catalogue.data_records import PRICE, Strings
from serving.catalogue.postings import fresh_terms
from serving.catalogue.table import NAMED, Table, TableBuilder
from serving.graph.item_lookup import NO_ITEM
from serving.graph.signatures import save
from serving.index.scann_ops import load_scann_ops
from serving.release.item_vectors import checked_vectors

FRESH_FILE = "fresh.txt"
_BLOCK = 1_024


Embed = Callable[[Strings], tf.Tensor]  # items as strings [B] by the item tower's input names -> float32 [B, dim]


class ItemSide(NamedTuple):
    """By what a fresh item becomes all that a model holds of it."""

    embed: Embed
    text_limits: tuple[int, int]
    vocabularies: Vocabularies | None  # of a model that encodes queries, which may name the item; a shard does not


class Changes(NamedTuple):
    """What is asked for; None leaves what the version already has."""

    fresh: list[Item] | None = None
    tombstones: set[bytes] | None = None


def read_changes(fresh: str | None, tombstones: str | None) -> Changes:
    """Reads `--fresh`, catalogue records as JSON Lines, and `--tombstones`, one item id a line."""
    items = None if fresh is None else [_item(fresh, *line) for line in _lines(fresh, "--fresh")]
    gone = None if tombstones is None else {line.encode() for _, line in _lines(tombstones, "--tombstones")}
    return Changes(items, gone)


def _lines(path: str, flag: str) -> Iterable[tuple[int, str]]:
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            text = file.read().decode()
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        raise UserError(f"{flag} {path} cannot be read: {error}") from None
    return [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _item(path: str, number: int, line: str) -> Item:
    try:
        record = json.loads(line)
        if not isinstance(record, dict):
            raise Rejected("not an object")
        return parse_item(record)
    except (ValueError, Rejected) as error:
        raise UserError(f"--fresh {path}: line {number} is no catalogue record: {error}") from None


def amend(model: Any, size: int, changes: Changes, side: ItemSide) -> tuple[dict[str, int], list[bytes] | None]:
    """Puts changes into a model's variables, built or loaded; the index itself is not touched.

    Args:
      model: has `items` and `over_retrieval`.
      size: N, the items of its index; rows behind are those of its side index.
      changes: what to put in.
      side: of this model.

    Returns:
      Counts for the manifest, and the new lines of the file of fresh ids (None where it stays as it is).
    """
    ids: list[bytes] | None = None
    counts = {}
    items, retrieval = model.items, model.over_retrieval
    if changes.fresh is not None:
        table, vectors, already = _looked_up(model, size, changes.fresh, side, int(retrieval.fresh.shape[1]))
        counts["fresh_in_index_already"] = already
        retrieval.fresh.assign(vectors)
        for name, values in fresh_terms(table).items():
            getattr(retrieval.filter, f"fresh_{name}").assign(values)
        retrieval.alive.assign(np.concatenate([retrieval.alive[: size + 1].numpy(), np.ones(len(table), bool)]))
        ids = table.ids.tolist()
    gone = changes.tombstones
    if gone is not None:
        alive = np.array([one not in gone for one in items.ids[1:].numpy().tolist()], bool)
        counts["tombstones_unknown"] = len(gone) - int((~alive).sum())
        retrieval.alive.assign(np.append(False, alive))
    alive = retrieval.alive[1:].numpy()
    retrieval.amended.assign(len(alive) > size or not alive.all())
    return {**counts, "fresh": len(alive) - size, "tombstones": int((~alive).sum())}, ids


def _looked_up(model: Any, size: int, fresh: list[Item], side: ItemSide, dim: int) -> tuple[Table, np.ndarray, int]:
    """Puts fresh items behind a lookup's N: their table, their vectors `[F, dim]`, and how many it knew already."""
    known = set(model.items.ids[1 : size + 1].numpy().tolist())
    chosen = {one.item_id.encode(): one for one in fresh if one.in_stock}
    new = [one for item_id, one in chosen.items() if item_id not in known]
    table, vectors = _embedded(new, side, dim)
    _extend(model.items, size, table)
    if side.vocabularies is not None:
        past = model.past.attribute_ids
        past.assign(np.concatenate([past[: size + 1].numpy(), attribute_ids(table, side.vocabularies)]))
    return table, vectors, len(chosen) - len(new)


def _embedded(new: list[Item], side: ItemSide, dim: int) -> tuple[Table, np.ndarray]:
    """The table of new items and their vectors `[F, dim]`, from their text alone."""
    builder = TableBuilder(*side.text_limits)
    vectors = [np.zeros((0, dim), np.float32)]
    for begin in range(0, len(new), _BLOCK):
        part = new[begin : begin + _BLOCK]
        columns = zip(*((one.item_id, one.title, one.brand, one.shop, one.leaf, one.top) for one in part), strict=True)
        names = ("item_id", "title", *NAMED.values())
        batch = {name: tf.constant(values, tf.string) for name, values in zip(names, columns, strict=True)}
        vectors.append(checked_vectors(side.embed(batch), batch))
        builder.add(batch | {PRICE: tf.constant([one.price for one in part], tf.float32)})
    return builder.table("--fresh"), np.concatenate(vectors)


def _extend(items: Any, size: int, table: Table) -> None:
    """The table of the index's N items, with another behind."""
    items.ids.assign(np.concatenate([items.ids[: size + 1].numpy(), table.ids]))


def write_fresh_ids(folder: Path, ids: list[bytes]) -> None:
    """Writes the file of fresh ids that `serving.graph.item_lookup` reads."""
    (folder / FRESH_FILE).write_bytes(b"".join(one + b"\n" for one in [NO_ITEM, *ids]))


def amended_version(
    path: str, manifest: dict[str, Any], changes: Changes, model: Path, embed: Embed | None = None
) -> dict[str, Any]:
    """Saves the version at `path`, changed, as `model`; returns its manifest. `embed` is the item tower of a shard."""
    if manifest["index"]["kind"] == "scann":
        load_scann_ops()
    loaded = tf.saved_model.load(path)

    side = _item_side(path, manifest, embed_item_of(loaded)) if embed is None else _of_shard(manifest, embed)
    counts, fresh_ids = amend(loaded, manifest["items"], changes, side)
    save(loaded, str(model), loaded.signatures)
    if fresh_ids is not None:
        write_fresh_ids(model / "assets", fresh_ids)
    shutil.copytree(f"{path}/assets.extra", model / "assets.extra")
    return manifest | {"side_index": counts, "refreshed_from": manifest["version"]}


def _item_side(path: str, manifest: dict[str, Any], embed: Embed) -> ItemSide:
    """That of the version at `path`."""
    vocabularies = Vocabularies(f"{path}/assets", manifest["encoding"], manifest["encoding"]["vocabularies"])
    return ItemSide(embed, vocabularies.text_limits, vocabularies)


def _of_shard(manifest: dict[str, Any], embed: Embed) -> ItemSide:
    text = manifest["encoding"]["text"]
    return ItemSide(embed, (text["max_chars"], text["max_words"]), None)


def embed_item_of(loaded: Any) -> Embed:
    """The item tower in a loaded version."""
    return lambda batch: loaded.signatures["embed_item"](**batch)["embedding"]


def amended_queries(path: str, manifest: dict[str, Any], changes: Changes, model: Path) -> Embed:
    """Saves the model of queries beside shards, which then knows fresh items in users' pasts; gives its item tower."""
    loaded = tf.saved_model.load(path)
    tower = embed_item_of(loaded)
    if changes.fresh is None:
        shutil.copytree(path, model)
        return tower
    side = _item_side(path, manifest, tower)
    table, _, _ = _looked_up(loaded, manifest["items"], changes.fresh, side, manifest["dim"])
    save(loaded, str(model), loaded.signatures)
    write_fresh_ids(model / "assets", table.ids.tolist())
    shutil.copytree(f"{path}/assets.extra", model / "assets.extra")
    return tower
