"""What the papers claim, each by two rows of the ablation and the figures in which they must differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from trainer.evaluation.eval_requests import PAST_ELSEWHERE

BM25 = "BM25"
_CLICKED = "recall@10/clicked"
_FOUND = ("recall@10/ordered", _CLICKED)
_ELSEWHERE = (f"{_CLICKED}/{PAST_ELSEWHERE}",)
_IN_ORDER = ("pairwise/clicked>shown",)
_RELEVANT = ("p_good_share@10",)


class Claim(NamedTuple):
    """That `whole` has more of a figure than `less`."""

    says: str
    whole: str  # a row of the ablation
    less: str  # another, or BM25
    figures: tuple[str, ...]


CLAIMS = (
    Claim("MGDSPR finds more than alpha-DNN", "mgdspr", "dnn-words", _FOUND),
    Claim("and more than one with ids, attributes and behaviours", "mgdspr", "dnn", _FOUND),
    Claim("softmax over the catalogue beats the pairwise hinge", "mgdspr", "hinge", _FOUND),
    Claim("several grains find more than words alone", "mgdspr", "one-grain", _FOUND),
    Claim("several grains are more relevant", "mgdspr", "one-grain", _RELEVANT),
    Claim("the Transformer over the words finds more", "mgdspr", "no-transformer", _FOUND),
    Claim("the Transformer is more relevant", "mgdspr", "no-transformer", _RELEVANT),
    Claim("behaviours find more", "mgdspr", "no-behaviours", _FOUND),
    Claim("also where the past does not concern the query", "mgdspr", "no-behaviours", _ELSEWHERE),
    Claim("the zero vector helps", "mgdspr", "no-zero-vector", _FOUND),
    Claim("above all where the past does not concern the query", "mgdspr", "no-zero-vector", _ELSEWHERE),
    Claim("temperature 2 on raw inner products is more relevant", "raw-2", "raw", _RELEVANT),
    Claim("mixed hard negatives are more relevant", "raw-2-mixed", "raw-2", _RELEVANT),
    Claim("fused similarities find more than one fused representation", "mmse", "mmse-representations", _FOUND),
    Claim("a heavy ranking loss orders a request's stages", "mmse-strong-ranking", "mmse-no-ranking", _IN_ORDER),
    Claim("and finds more", "mmse-strong-ranking", "mmse-no-ranking", _FOUND),
    Claim("so does the light one of the config", "mmse", "mmse-no-ranking", _IN_ORDER),
    Claim("and finds more", "mmse", "mmse-no-ranking", _FOUND),
    Claim("MMSE orders a request's stages better than MGDSPR", "mmse", "mgdspr", _IN_ORDER),
    Claim("and what was ordered above what was only clicked", "mmse", "mgdspr", ("pairwise/ordered>clicked",)),
    Claim("and finds more", "mmse", "mgdspr", _FOUND),
    Claim("MMSE finds more than alpha-DNN with ids, attributes and behaviours", "mmse", "dnn", _FOUND),
    Claim("vectors find items that nobody clicked better than words", "mgdspr", "BM25", (f"{_CLICKED}/unseen items",)),
)


def rivals(whole: str) -> list[str]:
    """The rows that claims set against one; BM25 stands beside every row."""
    return list(dict.fromkeys(claim.less for claim in CLAIMS if claim.whole == whole and claim.less != BM25))


def verdict(difference: Mapping[str, float]) -> str:
    """What an interval says of a claim that the difference is above zero."""
    if difference["low"] > 0:
        return "comes out"
    return "does not" if difference["high"] < 0 else "cannot be told"


def claims_table(found: Mapping[str, Mapping[str, Any]], said: Mapping[str, str]) -> Iterator[str]:
    """A row a claim: `found` has the metrics of each `whole` beside its rivals, `said` what a row is called."""
    yield "| claim | rows | figure | difference | of the second | |"
    yield "|---|---|---|---|---|---|"
    for claim, figure in ((one, figure) for one in CLAIMS for figure in one.figures):
        metrics = found[claim.whole]
        difference = metrics["job_minus"][claim.less][figure]
        interval = "{mean:+.4f} [{low:+.4f}, {high:+.4f}]".format(**difference)
        share = difference["mean"] / metrics["models"][claim.less][figure]["mean"]
        rows = f"{said[claim.whole]} - {said.get(claim.less, claim.less)}"
        yield f"| {claim.says} | {rows} | {figure} | {interval} | {share:+.1%} | {verdict(difference)} |"
    yield ""
