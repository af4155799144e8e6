"""The catalogue's words as a second channel: fused with a job's vectors as an export of the job would serve them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from preprocessing.data.spec import asked_by_people, read_spec
from preprocessing.text.vocabulary_files import known_words
from preprocessing.words.build_word_search import build_word_search, corrected_to
from preprocessing.words.channel_fusion import Found, fuse_lists
from preprocessing.words.choose_fusion import DEPTHS, MOST_REQUESTS, Chosen
from preprocessing.words.config import WordsConfig
from preprocessing.words.item_words import read_words
from preprocessing.words.lists_in_graph import ListsInGraph
from preprocessing.words.query_kinds import MOST_TRAINING, ways_to_tell
from preprocessing.words.weigh_channels import Asked, Words, weigh_channels
from preprocessing.words.word_lists import build_word_lists
from trainer.data.dataset import requests
from trainer.evaluation.catalogue import Catalogue
from trainer.evaluation.eval_requests import POSITIVE_STAGES, EvalRequests
from trainer.evaluation.exact_top_k import Ranking
from trainer.evaluation.retrievers import Answers, Setting, ask_job


class WordsChannel:
    """Both channels over a setting's catalogue.

    Args:
      setting: what is asked, as deep as lists are fused at least.
      config: of the channel.
    """

    def __init__(self, setting: Setting, config: WordsConfig) -> None:
        self._setting, self._spec = setting, read_spec(setting.data_dir)
        self._words = _words(setting.data_dir, setting.catalogue, self._spec, config)
        validation = EvalRequests(setting.data_dir, setting.catalogue, MOST_REQUESTS, "validation")
        k = min(max(DEPTHS), len(setting.catalogue))
        self._validation = setting._replace(eval_requests=validation, judgments=None, k=k)

    def alone(self) -> Answers:
        """What the words find."""
        asked, unasked = (self._words.found(one, self._setting.k) for one in self._queries)
        return Answers("words", Ranking(asked.rows, asked.scores), None, Ranking(unasked.rows, unasked.scores))

    def fused(self, own: Answers, words: Answers, job_dir: str) -> tuple[Answers, Chosen]:
        """A job's answers with the words', weighed by what both find for validation requests."""
        chosen = self._weighed(own.name, job_dir)
        lists = ((own.ranking, words.ranking), (own.unasked, words.unasked))
        ranking, unasked = (
            _fused(chosen, self._words.kinds(chosen.kinds, queries), *channels)
            for queries, channels in zip(self._queries, lists, strict=True)
        )
        return Answers(f"{own.name} + words", ranking, None, unasked), chosen

    @property
    def _queries(self) -> tuple[Sequence[bytes], Sequence[bytes]]:
        """The requests' queries, and those that no request asks."""
        return self._setting.eval_requests.queries.tolist(), self._setting.unasked

    def _weighed(self, name: str, job_dir: str) -> Chosen:
        validation = self._validation.eval_requests
        stages = [validation.stages[stage] for stage in POSITIVE_STAGES]
        taken = [np.concatenate([one.of(number) for one in stages]) for number in range(len(validation))]
        asked = Asked(validation.queries.tolist(), validation.users.tolist(), taken)
        found = ask_job(name, job_dir, self._validation).ranking
        return weigh_channels(asked, Found(found.scores, found.rows), self._words, asked_by_people(self._spec))


def _words(data_dir: str, catalogue: Catalogue, spec: dict, config: WordsConfig) -> Words:
    limits = spec["text"]["max_chars"], spec["text"]["max_words"]
    texts = {"title": catalogue.titles, "brand": catalogue.brands}
    texts |= {"description": catalogue.descriptions} if config.fields.description else {}
    items = read_words({name: one.tolist() for name, one in texts.items()})
    lists = build_word_lists(items, config.fields.boosts)
    spellings = corrected_to(items.spellings, lists.terms, lists.weights, config)
    clicked: set[bytes] = set()
    for batch in requests(data_dir, "train", 4096, {"query"}, MOST_TRAINING):
        clicked.update(batch["query"].numpy().tolist())
    search = build_word_search(ListsInGraph(lists), spellings, config, limits)
    return Words(search, ways_to_tell(known_words(data_dir), clicked, *limits), limits)


def _fused(chosen: Chosen, kinds: np.ndarray, vector: Ranking, words: Ranking) -> Ranking:
    own, other = (Found(one.scores, one.rows) for one in (vector, words))
    found = fuse_lists(chosen.fusion, kinds, own, other, vector.rows.shape[1])
    return Ranking(found.rows, found.scores)
