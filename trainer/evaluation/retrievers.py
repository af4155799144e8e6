"""Each retriever's answers to the same questions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from preprocessing.data.spec import read_spec
from trainer.data.vocabularies import Vocabularies
from trainer.evaluation.bm25 import Bm25
from trainer.evaluation.encode_requests import encode, encode_queries
from trainer.evaluation.exact_top_k import Blocks, Ranking, exact_top_k, fused
from trainer.evaluation.figures import Answers
from trainer.evaluation.live_items import Catalogue
from trainer.evaluation.questions import Questions
from trainer.evaluation.relevance import Judgments
from trainer.job.restore import restore


class Setting(NamedTuple):
    """What all retrievers are asked, and how much memory they may take."""

    data_dir: str
    catalogue: Catalogue
    questions: Questions
    judgments: Judgments | None
    limit: int | None  # requests
    k: int
    memory: int  # bytes

    @property
    def unasked(self) -> list[bytes]:
        """The judged queries that no request asks."""
        if self.judgments is None:
            return []
        _, nobody = self.judgments.asked_by(self.questions.queries)
        return [self.judgments.queries[number] for number in nobody]


def ask_bm25(setting: Setting) -> Answers:
    """BM25 over titles and brands."""
    index = Bm25(setting.catalogue)
    ranking, scores = index.rank(setting.questions, setting.k)
    unasked = index.search(setting.unasked, setting.k).rows if setting.unasked else _none(setting.k)
    return Answers("BM25", ranking, scores, unasked)


def ask_job(name: str, job_dir: str, setting: Setting) -> Answers:
    """The best checkpoint of a job, by exact search."""
    towers = restore(job_dir, setting.data_dir)
    vectors, scores = encode(towers, setting.data_dir, setting.questions, setting.limit)
    blocks = Blocks(towers, setting.data_dir, len(setting.catalogue), setting.memory // 2)
    nobodys = _none(towers.dim).astype(np.float32)
    if setting.unasked:
        spec = read_spec(setting.data_dir)
        grams = {name.removeprefix("query_") for name in towers.request_columns if name.startswith("query_")}
        nobodys = encode_queries(towers, Vocabularies(setting.data_dir, spec, grams), setting.unasked)
    together = exact_top_k(np.concatenate([vectors, nobodys]), blocks, setting.k, setting.memory // 2)
    count = len(vectors)
    ranking = Ranking(together.rows[:count], together.scores[:count])
    return Answers(name, ranking, scores, together.rows[count:])


def fuse(one: Answers, other: Answers) -> Answers:
    """Both channels as one, by reciprocal rank."""
    nothing = np.zeros_like(one.unasked, np.float32)
    unasked = fused(Ranking(one.unasked, nothing), Ranking(other.unasked, nothing)).rows if len(nothing) else nothing
    return Answers(f"{one.name} + {other.name}", fused(one.ranking, other.ranking), None, unasked)


def _none(width: int) -> np.ndarray:
    return np.zeros([0, width], np.int32)
