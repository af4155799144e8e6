"""The third step: the model that makes vectors of queries, and what the shards are tuned and weighed by."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from preprocessing.words.build_word_search import corrected_to
from preprocessing.words.corrections import Spellings
from preprocessing.words.word_lists import LAST_TERM
from serving.graph.hashed_past import HashedItems, HashedPast, joined
from serving.graph.query_encoder import QueryEncoder
from serving.graph.query_texts import QueryTexts
from serving.graph.signatures import Embedder, save
from serving.release.build_model import encoded
from serving.sharding.array_folders import made_whole, read_array, save_array, write_arrays
from serving.sharding.plan import Plan
from serving.sharding.word_ranges import all_spellings, whole_terms

MODEL = "model"
SAMPLES = ("tuned_by", "unseen", "weighed")  # requests that `Plan.keep` keeps, of which this step makes vectors
_SPELLINGS = "spellings"


@dataclasses.dataclass(frozen=True)
class MakeQueryModel:
    """Makes `plan.query`: the saved model, the vectors of SAMPLES, and the spellings that corrections lead to."""

    plan: Plan

    def __call__(self, _: int) -> None:
        plan, builder = self.plan, self.plan.builder()
        tower, vocabularies = builder.towers.query, builder.towers.vocabularies
        past = HashedPast(tower.columns, vocabularies, _all_items(plan))
        encoder = QueryEncoder(tower, QueryTexts(tower.columns, vocabularies), past)
        embedder = Embedder(encoder, builder.item_encoder, plan.widths)
        samples = [plan.requests(name) for name in SAMPLES]
        with made_whole(plan.query) as folder:
            signatures = embedder.signatures()
            save(embedder, str(folder / MODEL), signatures)
            builder.write_extras(folder / MODEL, signatures, samples[0], plan.widths)
            for name, vectors in zip(SAMPLES, encoded(encoder, *samples), strict=True):
                save_array(folder, name, vectors)
            spellings = _spellings(plan)
            if spellings is not None:
                write_arrays(folder / _SPELLINGS, spellings._asdict())


def read_spellings(plan: Plan) -> Spellings | None:
    """What corrections lead to; none where they are off."""
    folder = plan.query / _SPELLINGS
    return Spellings(*(read_array(folder, name) for name in Spellings._fields)) if folder.is_dir() else None


def _all_items(plan: Plan) -> HashedItems:
    pasts: list[Path] = [past for part in plan.parts for past in sorted(part.glob("past-*"))]
    return joined([HashedItems(*(read_array(one, name) for name in HashedItems._fields)) for one in pasts])


def _spellings(plan: Plan) -> Spellings | None:
    if not plan.asks_words:
        return None
    whole = whole_terms(plan)
    terms = np.append(whole.terms, LAST_TERM)
    return corrected_to(all_spellings(plan), terms, whole.weights, plan.config.channels.words)
