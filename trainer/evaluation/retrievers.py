"""Each retriever's answers to the same requests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions

from trainer.evaluation.bm25 import Bm25
from trainer.evaluation.catalogue import Catalogue
from trainer.evaluation.encode_requests import encode, encode_queries
from trainer.evaluation.eval_requests import EvalRequests
from trainer.evaluation.exact_top_k import Ranking, exact_top_k, item_vectors
from trainer.evaluation.judgments import Judgments
from trainer.evaluation.past_queries import PastQueries
from trainer.evaluation.query_scores import QueryScorer, rank_requests, search
from trainer.evaluation.top_k_by_workers import top_k_by_workers
from trainer.job.restore import TrainedTowers, restore


class Setting(NamedTuple):
    """What all retrievers are asked, and how much memory they may take."""

    data_dir: str
    catalogue: Catalogue
    eval_requests: EvalRequests
    judgments: Judgments | None
    k: int
    memory: int  # bytes
    workers: PipelineOptions | None = None  # of Beam, where its workers search for jobs

    @property
    def unasked(self) -> list[bytes]:
        """The judged queries that no request asks."""
        if self.judgments is None:
            return []
        _, nobody = self.judgments.asked_by(self.eval_requests.queries)
        return [self.judgments.queries[number] for number in nobody]


class Answers(NamedTuple):
    """What one retriever gave."""

    name: str
    ranking: Ranking
    stage_scores: dict[str, np.ndarray] | None  # flat, nan where an item is not live; None: it gives no score
    unasked: Ranking  # for the judged queries that no request asks


def ask_bm25(setting: Setting, described: bool = False) -> Answers:
    """BM25 over titles and brands, or over these and descriptions."""
    name = "BM25 with descriptions" if described else "BM25"
    return _ask(name, Bm25(setting.catalogue, described), setting)


def ask_past_queries(setting: Setting) -> Answers | None:
    """The clicks of the most similar past queries; None if no past query has text."""
    past = PastQueries(setting.data_dir, setting.catalogue)
    return _ask("similar past queries", past, setting) if past.possible else None


def _ask(name: str, scorer: QueryScorer, setting: Setting) -> Answers:
    ranking, scores = rank_requests(scorer, setting.eval_requests, setting.k)
    return Answers(name, ranking, scores, search(scorer, setting.unasked, setting.k))


def ask_job(name: str, job_dir: str, setting: Setting) -> Answers:
    """The best checkpoint of a job, by exact search."""
    towers = restore(job_dir, setting.data_dir)
    vectors, scores = encode(towers, setting.eval_requests)
    nobodys = np.zeros([0, towers.dim], np.float32)
    if setting.unasked:
        nobodys = encode_queries(towers, setting.data_dir, setting.unasked)
    together = _nearest(np.concatenate([vectors, nobodys]), towers, job_dir, setting)
    count = len(vectors)
    ranking = Ranking(together.rows[:count], together.scores[:count])
    unasked = Ranking(together.rows[count:], together.scores[count:])
    return Answers(name, ranking, scores, unasked)


def ask_job_without_past(name: str, job_dir: str, setting: Setting) -> Answers:
    """The same for users of whom nothing is known: the past is emptied, previous queries and all."""
    towers = restore(job_dir, setting.data_dir)
    queries, places = np.unique(setting.eval_requests.queries.astype(object), return_inverse=True)
    vectors = encode_queries(towers, setting.data_dir, [*queries.tolist(), *setting.unasked])
    found = _nearest(vectors, towers, job_dir, setting)
    ranking = Ranking(found.rows[places], found.scores[places])
    unasked = Ranking(found.rows[len(queries) :], found.scores[len(queries) :])
    return Answers(f"{name} without the past", ranking, None, unasked)


def _nearest(queries: np.ndarray, towers: TrainedTowers, job_dir: str, setting: Setting) -> Ranking:
    """The nearest items of queries `[n, d]`."""
    memory = setting.memory // 2
    if setting.workers is not None:
        return top_k_by_workers(queries, job_dir, setting.data_dir, setting.k, setting.memory, setting.workers)
    return exact_top_k(
        queries, item_vectors(towers, setting.data_dir, len(setting.catalogue), memory), setting.k, memory
    )
