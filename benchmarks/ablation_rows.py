"""The rows of the ablation table: each a config and what it overrides."""

from __future__ import annotations

import json
from typing import NamedTuple

from trainer.config import RankingConfig


class Row(NamedTuple):
    """One training run."""

    name: str  # of its folder
    says: str  # in the table
    config: str
    overrides: tuple[str, ...] = ()
    main: bool = False  # a model, or a part that a paper's claim hangs on: trained with every seed


NO_BEHAVIOURS = (
    "mgdspr.grains.history=false",
    "mgdspr.horizons.realtime.on=false",
    "mgdspr.horizons.short.on=false",
    "mgdspr.horizons.long.on=false",
)
RAW = ("mgdspr.normalize=false", "loss.temperature=1", "optimizer.embedding_rate=0.4")
ONE_GRAIN = (
    "mgdspr.grains.grams=[word]",
    "mgdspr.grains.sequence=false",
    "mgdspr.grains.history=false",
    "mgdspr.grains.mix=false",
)

MODELS = (
    Row("mgdspr", "mgdspr", "mgdspr", main=True),
    Row("mmse", "mmse", "mmse", main=True),
    Row("dnn", "dnn with ids, attributes and behaviours", "dnn", main=True),
    Row("tfrs", "tfrs", "tfrs", main=True),
    Row(
        "dnn-words",
        "dnn of words alone, as its paper has it",
        "dnn",
        ("dnn.attributes=[]", "dnn.behaviours=false"),
        main=True,
    ),
    Row(
        "dnn-prices",
        "dnn with prices",
        "dnn",
        ("dnn.attributes=[item, brand, shop, leaf, top, price]",),
    ),
)
PRICES = (
    "mgdspr.item.side=[brand, shop, leaf, top, price]",
    "mgdspr.horizons.attributes=[item, brand, shop, leaf, top, price]",
    "mgdspr.horizons.long.attributes=[item, shop, leaf, brand, price]",
)

MGDSPR_PARTS = (
    Row("raw", "raw inner products, temperature 1", "mgdspr", RAW, main=True),
    Row("raw-2", "raw inner products, temperature 2", "mgdspr", (*RAW, "loss.temperature=2"), main=True),
    Row(
        "raw-2-mixed",
        "the same with mixed hard negatives: the paper's relevance",
        "mgdspr",
        (*RAW, "loss.temperature=2", "loss.hard_negatives.count=200"),
        main=True,
    ),
    Row("temperature", "temperature 0.1 for unit vectors", "mgdspr", ("loss.temperature=0.1",)),
    Row(
        "mixed-blindly",
        "mixed hard negatives alone, none left out",
        "mgdspr",
        ("loss.hard_negatives.count=200", "loss.hard_negatives.mask=[]"),
    ),
    Row(
        "mixed",
        "mixed hard negatives, without what request and query call relevant",
        "mgdspr",
        ("loss.hard_negatives.count=200",),
    ),
    Row(
        "mixed-other-leaves",
        "the same, and none of the positive's leaf",
        "mgdspr",
        ("loss.hard_negatives.count=200", "loss.hard_negatives.mask=[request, query, leaf]"),
    ),
    Row("same-leaf", "200 more negatives of the positive's leaf", "mgdspr", ("loss.same_leaf_negatives=200",)),
    Row("no-catalog-requests", "no requests made of the catalogue", "mgdspr", ("data.catalog_requests=0",)),
    Row("hinge", "pairwise hinge instead of softmax", "mgdspr", ("loss.kind=hinge", "loss.hinge_margin=4"), main=True),
    Row("one-grain", "words alone for a query", "mgdspr", ONE_GRAIN, main=True),
    Row("no-transformer", "no Transformer over the words", "mgdspr", ("mgdspr.grains.sequence=false",), main=True),
    Row("no-behaviours", "no behaviours, no previous queries", "mgdspr", NO_BEHAVIOURS, main=True),
    Row("no-zero-vector", "no zero vector", "mgdspr", ("mgdspr.horizons.zero_vector=false",), main=True),
    Row("no-cls", "mean instead of [CLS]", "mgdspr", ("mgdspr.fusion=mean",)),
    Row("no-item-id", "no item id", "mgdspr", ("mgdspr.item.id=false",)),
    Row("no-id-dropout", "no item-id dropout", "mgdspr", ("mgdspr.item.id_dropout=0",)),
    Row("signals", "with the kind and age of actions", "mgdspr", ("mgdspr.horizons.signals=[action, age]",)),
    Row("prices", "with prices of items and of behaviours", "mgdspr", PRICES),
    Row("in-batch", "in-batch negatives alone", "mgdspr", ("loss.catalog_negatives=0",)),
)


def _without(stage: str) -> str:
    """The ranking's pairs but those of one stage."""
    pairs = {pair: one for pair, one in RankingConfig().pairs.items() if stage not in pair}
    return f"loss.ranking.pairs={json.dumps(pairs)}"


MMSE_PARTS = (
    Row(
        "mmse-representations", "one fused representation, as wide", "mmse", ("mmse.fusion=representations",), main=True
    ),
    Row("mmse-no-weights", "levels weighed alike", "mmse", ("mmse.level_weights=false",)),
    Row("mmse-no-ordered", "no ordered items", "mmse", ("loss.stage_weights={clicked: 1}", _without("ordered"))),
    Row(
        "mmse-no-clicked",
        "no clicked items, and none made of the catalogue",
        "mmse",
        ("loss.stage_weights={ordered: 2}", _without("clicked"), "data.catalog_requests=0"),
    ),
    Row("mmse-no-shown", "no items shown in vain", "mmse", (_without("shown"),)),
    Row("mmse-no-random", "no random items in the ranking", "mmse", (_without("random"),)),
    Row("mmse-no-catalog", "no random items in the softmax", "mmse", ("loss.catalog_negatives=0", _without("random"))),
    Row("mmse-no-ranking", "no ranking loss", "mmse", ("loss.ranking.weight=0",), main=True),
    Row("mmse-levels", "a softmax a level", "mmse", ("loss.levels={purchase: 2, click: 1, exposure: 0.25}",)),
    Row("mmse-no-position", "what was shown in vain weighed alike", "mmse", ("loss.ranking.position=false",)),
    Row(
        "mmse-strong-ranking",
        "the same, and the ranking loss five times as heavy",
        "mmse",
        ("loss.ranking.position=false", "loss.ranking.weight=0.5"),
        main=True,
    ),
)
ROWS = MODELS + MGDSPR_PARTS + MMSE_PARTS
