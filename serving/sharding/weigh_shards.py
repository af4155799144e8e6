"""The fifth step: what all shards find together says how channels are weighed; small enough for whoever launched."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from preprocessing.data.spec import asked_by_people, read_spec
from preprocessing.text.vocabulary_files import known_words
from preprocessing.words.channel_fusion import Found, Fusion
from preprocessing.words.choose_fusion import DEPTHS, Chosen
from preprocessing.words.choose_fusion import described as described_channels
from preprocessing.words.query_kinds import MOST_TRAINING, QueryKinds, ways_to_tell
from preprocessing.words.weigh_channels import Asked, weigh_lists
from serving.catalogue.data_records import Requests, training_queries
from serving.release.channel_weights import VECTORS_ALONE, Weighed
from serving.sharding.array_folders import read_array, read_numbers, write_arrays
from serving.sharding.plan import Plan


def weigh_shards(plan: Plan) -> Weighed:
    """The weights of the channels of all shards, as they are kept for the workers in `plan.weighed`."""
    if not plan.weighed.is_dir():
        chosen, known = _weighed(plan) if plan.asks_words else (VECTORS_ALONE, np.zeros(0, np.int64))
        write_arrays(plan.weighed, {"known": known}, **chosen._asdict() | {"fusion": chosen.fusion._asdict()})
    return read_weighed(plan)


def read_weighed(plan: Plan) -> Weighed:
    """What `weigh_shards` has kept."""
    numbers = read_numbers(plan.weighed)
    by, weights = numbers["fusion"].values()
    recall = {name: {int(k): one for k, one in of_channel.items()} for name, of_channel in numbers["recall"].items()}
    chosen = Chosen(**numbers | {"fusion": Fusion(by, tuple(map(tuple, weights))), "recall": recall})
    kinds = QueryKinds(chosen.kinds, read_array(plan.weighed, "known")) if chosen.kinds else None
    return Weighed(chosen, kinds)


def described(weighed: Weighed) -> dict[str, Any]:
    """For the manifest."""
    return described_channels(weighed.chosen)


def _weighed(plan: Plan) -> tuple[Chosen, np.ndarray]:
    requests = plan.requests("weighed")
    queries, limits = requests.inputs["query"].tolist(), plan.builder().towers.vocabularies.text_limits
    ways = ways_to_tell(known_words(plan.data_dir), training_queries(plan.data_dir, MOST_TRAINING), *limits)
    kinds = {way: one.of_texts(queries, *limits) for way, one in ways.items()}
    by_vector, by_words = _of_all(plan, "vector"), _of_all(plan, "word")
    asked = Asked(queries, requests.users.tolist(), _taken(plan, requests))
    chosen = weigh_lists(asked, by_vector, by_words, kinds, asked_by_people(read_spec(plan.data_dir)))
    return chosen, ways[chosen.kinds].known if chosen.kinds else np.zeros(0, np.int64)


def _of_all(plan: Plan, channel: str) -> Found:
    """One channel's lists over the whole catalogue, by places, one shard after the other."""
    lists = (
        Found(*(read_array(folder, f"{channel}_{name}") for name in ("scores", "places"))) for folder in plan.gathered
    )
    return functools.reduce(_merged, lists)


def _merged(one: Found, other: Found) -> Found:
    """The best of two lists for each request; of equal ones that which stands first in the catalogue."""
    scores = np.concatenate([one.scores, other.scores], axis=1)
    places = np.concatenate([one.rows, other.rows], axis=1)
    order = np.lexsort((places, -scores), axis=1)[:, : max(DEPTHS)]
    return Found(np.take_along_axis(scores, order, axis=1), np.take_along_axis(places, order, axis=1))


def _taken(plan: Plan, requests: Requests) -> list[np.ndarray]:
    """The places of what each request's user clicked or ordered."""
    pairs = np.concatenate([read_array(folder, "taken") for folder in plan.gathered])
    return [pairs[pairs[:, 0] == number, 1] for number in range(len(requests))]
