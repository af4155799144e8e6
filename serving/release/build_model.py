"""From towers and a catalogue to a saved model: embed, index, tune, save."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.words.build_word_search import build_word_search, corrected_to
from preprocessing.words.choose_fusion import described as described_channels
from preprocessing.words.corrections import Spellings
from preprocessing.words.lists_in_graph import ListsInGraph
from preprocessing.words.word_lists import WordLists, build_word_lists
from preprocessing.words.word_search import WordSearch
from serving.catalogue.attribute_ids import attribute_ids
from serving.catalogue.data_records import Requests, Strings, catalog_batches, catalog_files, check_vectors
from serving.catalogue.postings import build_postings
from serving.catalogue.table import Table
from serving.config import ServingConfig
from serving.graph.channels import Channels
from serving.graph.item_encoder import ItemEncoder
from serving.graph.item_filter import ItemFilter
from serving.graph.item_lookup import ItemLookup
from serving.graph.over_retrieval import OverRetrieval, growing_efforts
from serving.graph.past_items import CataloguePast
from serving.graph.posting_lists import PostingLists
from serving.graph.query_encoder import QueryEncoder
from serving.graph.query_texts import QueryTexts
from serving.graph.signatures import Embedder, Retrieval, Searcher, save
from serving.graph.towers import load_towers
from serving.graph.word_channel import WordChannel
from serving.index.base import Index
from serving.index.brute_force import BruteForce
from serving.index.ground_truth import exact_rows
from serving.index.portable import build_portable
from serving.index.scann import build_scann
from serving.release.acceptance import ExactAnswers
from serving.release.channel_weights import VECTORS_ALONE, Weighed, most_asked, weigh
from serving.release.fresh_items import FRESH_FILE, Changes, ItemSide, amend, write_fresh_ids
from serving.release.item_vectors import embed_catalogue
from serving.release.manifest import describe_build
from serving.release.stored_vectors import Stored, StoredVectors
from serving.release.tune_effort import Tuned, measured_recalls, plot_tuning, served_effort, tune
from serving.release.tuning_sample import tuning_samples
from serving.release.variable_files import read_variables
from serving.release.warmup_requests import write_warmup

_BATCH = 64


class Built(NamedTuple):
    """What is known of a saved model besides its files."""

    exact: ExactAnswers
    described: dict[str, Any]  # for the manifest


class Queries(NamedTuple):
    """Vectors float32 `[Q, dim]`: of those that settle an index's effort, and of others that show what came of it."""

    tuned_by: np.ndarray
    unseen: np.ndarray


class Searched(NamedTuple):
    """An index ready to be served."""

    retrieval: OverRetrieval
    tuned: Tuned
    compared: dict[str, Any]  # what float32 and int8 cost and find, where int8 was asked for


class Builder:
    """Writes one version into a folder aside."""

    def __init__(
        self,
        config: ServingConfig,
        job_dir: str,
        data_dir: str,
        spec: dict[str, Any],
        stored: Sequence[Stored] = (),
    ) -> None:
        self._config, self._data_dir, self._spec, self._stored = config, data_dir, spec, StoredVectors(stored)
        self.target_recall = config.tuning.target_recall
        self.towers = load_towers(job_dir)
        self.item_encoder = ItemEncoder(self.towers.item, self.towers.vocabularies)
        check_vectors(data_dir, spec, self.item_encoder.vector_width)

    def build(self, aside: Path, pool: Requests, widths: Mapping[str, int], changes: Changes) -> Built:
        """Saves the model as `<aside>/model`, its index tuned by requests of a pool."""
        clock = Clock()
        table, vectors = self.embed(aside)
        clock.lap("embed")
        items = self.items(table, aside)
        requests, unseen = self.samples(pool)
        embedder = self.embedder(items, table, widths)
        queries = Queries(*encoded(embedder.query_encoder, requests, unseen))
        words, name = self.word_lists(table), f"{aside.parent.name}/{aside.name}"
        found = self.searched(vectors, table, words, items, queries, name, clock)
        retrieval, config = found.retrieval, self._config
        search = self.word_search(retrieval.filter.lists, self.spellings(table, words))
        weighed = self.weighed(pool, table, vectors, embedder, search)
        clock.lap("weigh")
        channels = self.channels(retrieval, search, weighed, widths)
        searcher = Searcher(items, retrieval, widths, looks_up=channels.words is not None)
        model = Retrieval(embedder, searcher, channels, widths, config.default_k)
        signatures = model.signatures()
        save(model, str(aside / "model"), signatures)
        counts = {"fresh": 0, "tombstones": 0}
        if changes != Changes():
            vocabularies = self.towers.vocabularies
            side = ItemSide(self.item_encoder, vocabularies, vocabularies.vector_width)
            counts = amend(aside / "model", len(table), changes, side)
        clock.lap("save")
        exact = exact_answers(aside / "model", vectors, queries.tuned_by, found.tuned, config.tuning.target_recall)
        described = describe_build(retrieval.index, found.tuned, config.tuning.target_recall) | {
            "channels": described_channels(weighed.chosen),
            "int8_compared": found.compared,
            "precomputed_vectors": self._stored.taken,
            "side_index": counts,
            "warmup_requests": self.write_extras(aside / "model", signatures, requests, widths, found.tuned),
            "seconds": clock.laps,
        }
        return Built(exact, described)

    def samples(self, pool: Requests) -> tuple[Requests, Requests]:
        """Of a pool the requests that an index is tuned by, and others that show what came of it."""
        return tuning_samples(pool, self._config.tuning.queries)

    def write_extras(
        self,
        model: Path,
        signatures: Mapping[str, Any],
        requests: Requests,
        widths: Mapping[str, int],
        tuned: Tuned | None = None,
    ) -> int:
        """Warm-up requests, and the tuning's plot where there was one, beside a saved model; how many requests."""
        batch = next(iter(catalog_batches(catalog_files(self._data_dir), 8, self.item_encoder.vector_width)))
        items = {name: batch[name].numpy() for name in self.item_encoder.inputs}
        dim, k = self.item_encoder.dim, self._config.default_k
        count = write_warmup(model, signatures, requests, items, dict(widths), dim, k)
        if tuned is not None:
            plot_tuning(tuned, self.target_recall, model / "assets.extra" / "tuning.svg")
        return count

    def embed(self, aside: Path) -> tuple[Table, np.ndarray]:
        """The table of the catalogue, and its vectors `[N, dim]` mapped from a file aside."""
        described = self._config.channels.words.fields.description > 0
        path = str(aside / "vectors")
        return embed_catalogue(self._data_dir, self._spec, self.item_encoder, path, self._stored, described)

    def word_lists(self, table: Table) -> WordLists:
        """The lists of the words of a whole catalogue."""
        return build_word_lists(table.words, self._config.channels.words.fields.boosts)

    def searched(
        self,
        vectors: np.ndarray,
        table: Table,
        words: WordLists,
        items: ItemLookup,
        queries: Queries,
        name: str,
        clock: Clock,
    ) -> Searched:
        """An index over vectors `[N, dim]` of a table's items, tuned by queries; `name` is the version's own."""
        config = self._config
        index = build_index(vectors, config, name)
        clock.lap("index")
        k = min(config.tuning.k, len(vectors))
        truth = exact_rows([vectors], queries.tuned_by, k)
        tuned = tune(index, queries.tuned_by, truth, config.tuning)
        if len(queries.unseen):
            others = exact_rows([vectors], queries.unseen, k)
            tuned = tuned._replace(unseen=measured_recalls(index, tuned.chosen.effort, queries.unseen, others))
        compared = {}
        floats = without_int8(config)
        if floats:
            compared["int8"] = {"bytes": index.bytes, **tuned.chosen.described()}
            twin = build_index(vectors, floats, f"{name}/float32")
            chosen = tune(twin, queries.tuned_by, truth, config.tuning).chosen
            compared["float32"] = {"bytes": twin.bytes, **chosen.described()}
        clock.lap("tune")
        lists = PostingLists(build_postings(table, words))
        clock.lap("postings")
        efforts = growing_efforts(served_effort(tuned), index.size)
        retrieval = OverRetrieval(index, ItemFilter(items, lists), efforts, config.max_k)
        return Searched(retrieval, tuned, compared)

    def weighed(
        self, pool: Requests, table: Table, vectors: np.ndarray, embedder: Embedder, search: WordSearch
    ) -> Weighed:
        """What validation requests say of vectors `[N, dim]` and of the words of the same items."""
        if not self._config.channels.words.on:
            return Weighed(VECTORS_ALONE, None)
        requests = most_asked(pool)
        (queries,) = encoded(embedder.query_encoder, requests)
        limits = self.towers.vocabularies.text_limits
        return weigh(requests, queries, vectors, table, search, self._data_dir, self._spec, limits)

    def spellings(self, table: Table, words: WordLists) -> Spellings | None:
        """What corrections lead to, of the words of a table's items, which stand in the lists."""
        return corrected_to(table.words.spellings, words.terms, words.weights, self._config.channels.words)

    def word_search(self, lists: ListsInGraph, spellings: Spellings | None) -> WordSearch:
        """The search of the words of some items; `spellings` are of the whole catalogue."""
        limits = self.towers.vocabularies.text_limits
        return build_word_search(lists, spellings, self._config.channels.words, limits)

    def channels(
        self, retrieval: OverRetrieval, search: WordSearch, weighed: Weighed, widths: Mapping[str, int]
    ) -> Channels:
        """Both channels of an index's items, fused; a channel that is not asked is not there."""
        fusion = weighed.chosen.fusion
        words = WordChannel(search, retrieval.filter) if fusion.asks_words else None
        return Channels(retrieval, words, fusion, widths, weighed.kinds)

    def embedder(self, items: ItemLookup, table: Table, widths: Mapping[str, int]) -> Embedder:
        """The towers behind the vocabularies and the table of items."""
        tower, vocabularies = self.towers.query, self.towers.vocabularies
        texts = QueryTexts(tower.columns, vocabularies)
        past = CataloguePast(tower.columns, vocabularies, items, attribute_ids(table, vocabularies))
        return Embedder(QueryEncoder(tower, texts, past), self.item_encoder, widths)

    def items(self, table: Table, aside: Path) -> ItemLookup:
        """The table in the graph; its files of ids become assets."""
        path = aside / "items.txt"
        path.write_bytes(b"".join(one + b"\n" for one in table.ids.tolist()))
        write_fresh_ids(aside, [])
        return ItemLookup(table, str(path), str(aside / FRESH_FILE), *self.towers.vocabularies.text_limits)


class Clock:
    """What took how long."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        """Seconds since the last lap."""
        now = time.perf_counter()
        self.laps[name] = round(now - self._since, 2)
        self._since = now


def build_index(vectors: np.ndarray, config: ServingConfig, name: str) -> Index:
    """The index of the config's kind over float32 `[N, dim]`; `name` is the version's own."""
    if config.index == "brute_force":
        return BruteForce(vectors)
    if config.index == "portable":
        return build_portable(vectors, config.portable)
    return build_scann(vectors, config.scann, name)


def without_int8(config: ServingConfig) -> ServingConfig | None:
    """The same index of float32 vectors, where int8 is asked for."""
    if config.index == "scann" and config.scann.int8:
        return config.model_copy(update={"scann": config.scann.model_copy(update={"int8": False})})
    if config.index == "portable" and config.portable.int8:
        return config.model_copy(update={"portable": config.portable.model_copy(update={"int8": False})})
    return None


def encoded(encoder: QueryEncoder, *samples: Requests) -> list[np.ndarray]:
    """The vectors of each of some samples of requests."""
    embed = tf.function(lambda inputs: encoder(inputs)[0], reduce_retracing=True, autograph=False)
    return [_vectors(embed, one, encoder.dim) for one in samples]


def _vectors(embed: Callable[[Strings], tf.Tensor], requests: Requests, dim: int) -> np.ndarray:
    """float32 `[R, dim]` of requests, their items looked up as the served model does."""
    parts = [embed({n: tf.constant(v) for n, v in one.inputs.items()}).numpy() for one in requests.batches(_BATCH)]
    return np.concatenate(parts) if parts else np.zeros((0, dim), np.float32)


def exact_answers(model: Path, vectors: np.ndarray, queries: np.ndarray, tuned: Tuned, target: float) -> ExactAnswers:
    """The exact answers from vectors `[N, dim]` and a saved model's fresh items, without its tombstones."""
    names = ("over_retrieval/fresh", "over_retrieval/alive", "items/ids")
    found = read_variables(model, names)
    fresh, alive, ids = (found[name].numpy() for name in names)
    rows = exact_rows([vectors, fresh], queries, tuned.k, alive[1:])
    return ExactAnswers(queries, ids[rows + 1], target)
