"""The scorecard of one retriever: all its figures, each an array over requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trainer.evaluation import metrics
from trainer.evaluation.catalogue import Catalogue
from trainer.evaluation.eval_requests import POSITIVE_STAGES, EvalRequests
from trainer.evaluation.judgments import Judgments, p_good, p_good_personal
from trainer.evaluation.retrievers import Answers


class Scorecard(NamedTuple):
    """By name, of `s` seeds: `[s, n]` in the order of the requests, of the judged queries, and `[s]`."""

    of_requests: dict[str, np.ndarray]
    of_queries: dict[str, np.ndarray]
    of_catalogue: dict[str, np.ndarray]

    @staticmethod
    def of_seeds(seeds: Sequence[Scorecard]) -> Scorecard:
        """One of several."""
        requests, queries, catalogues = zip(*seeds, strict=True)
        return Scorecard(_together(requests), _together(queries), _together(catalogues))


def scorecard(
    answers: Answers, eval_requests: EvalRequests, catalogue: Catalogue, judgments: Judgments | None, ks: Sequence[int]
) -> Scorecard:
    """Recall and NDCG by stage and segment, pairwise accuracy, P_good and its share of what is possible, coverage,
    popularity; of one seed."""
    rows = answers.ranking.rows
    of_requests: dict[str, np.ndarray] = {}
    for stage in POSITIVE_STAGES:
        of_requests |= _of_stage(rows, stage, eval_requests, catalogue, ks)
    if answers.stage_scores is not None:
        for pair, values in metrics.pairwise_accuracy(
            eval_requests.stages, answers.stage_scores, len(eval_requests)
        ).items():
            of_requests[f"pairwise/{pair}"] = values
    of_requests |= {f"popularity@{k}": metrics.popularity(rows, catalogue.counts, k) for k in ks}
    if judgments is not None and judgments.personal:
        users, queries = eval_requests.users, eval_requests.queries
        of_requests |= {f"p_good_personal@{k}": p_good_personal(judgments, users, queries, rows, k) for k in ks}
    of_queries = {} if judgments is None else _of_queries(answers, eval_requests, judgments, ks)
    of_catalogue = {f"coverage@{k}": metrics.coverage(rows, len(catalogue), k) for k in ks}
    return Scorecard(
        _rows(of_requests), _rows(of_queries), {name: np.array([one]) for name, one in of_catalogue.items()}
    )


def _together(seeds: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([one[name] for one in seeds]) for name in seeds[0]}


def _rows(figures: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values[None] for name, values in figures.items()}


def _of_stage(
    rows: np.ndarray, stage: str, eval_requests: EvalRequests, catalogue: Catalogue, ks: Sequence[int]
) -> dict[str, np.ndarray]:
    targets, requests = eval_requests.stages[stage], len(eval_requests)
    owners, ranks = metrics.hits(rows, targets)
    live = targets.values >= 0
    unseen = live & (np.append(catalogue.counts, 1)[targets.values] == 0)
    found = {}
    for k in ks:
        found[f"recall@{k}/{stage}"] = metrics.recall(ranks, owners, live, requests, k)
        found[f"ndcg@{k}/{stage}"] = metrics.ndcg(ranks, owners, live, requests, k)
        for segment, mask in eval_requests.segments.items():
            found[f"recall@{k}/{stage}/{segment}"] = np.where(mask, found[f"recall@{k}/{stage}"], np.nan)
        found[f"recall@{k}/{stage}/unseen items"] = metrics.recall(ranks, owners, unseen, requests, k)
    return found


def _of_queries(
    answers: Answers, eval_requests: EvalRequests, judgments: Judgments, ks: Sequence[int]
) -> dict[str, np.ndarray]:
    found = {}
    for k in ks:
        shares = p_good(judgments, eval_requests.queries, answers.ranking.rows, answers.unasked.rows, k)
        possible = judgments.possible(k)
        found[f"p_good@{k}"] = shares
        found[f"p_good_share@{k}"] = np.divide(shares, possible, out=np.full(len(shares), np.nan), where=possible > 0)
    return found
