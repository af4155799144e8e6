"""The rows of the ablation table: each a config and what it overrides."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One training run."""

    name: str  # of its folder
    says: str  # in the table
    config: str
    overrides: tuple[str, ...] = ()


NO_BEHAVIOURS = (
    "mgdspr.grains.history=false",
    "mgdspr.horizons.realtime.on=false",
    "mgdspr.horizons.short.on=false",
    "mgdspr.horizons.long.on=false",
)
ONE_GRAIN = (
    "mgdspr.grains.grams=[word]",
    "mgdspr.grains.sequence=false",
    "mgdspr.grains.history=false",
    "mgdspr.grains.mix=false",
)

MODELS = (
    Row("mgdspr", "mgdspr", "mgdspr"),
    Row("mmse", "mmse", "mmse"),
    Row("dnn", "dnn", "dnn"),
    Row("tfrs", "tfrs", "tfrs"),
    Row(
        "dnn-behaviours",
        "dnn with ids, attributes and behaviours",
        "dnn",
        ("dnn.attributes=[item, brand, shop, leaf, top]", "dnn.behaviours=true"),
    ),
)
MGDSPR_PARTS = (
    Row(
        "relevance",
        "with temperature 2 and mixed hard negatives",
        "mgdspr",
        ("loss.temperature=2", "loss.hard_negatives.count=200"),
    ),
    Row("hinge", "pairwise hinge instead of softmax", "mgdspr", ("loss.kind=hinge",)),
    Row("one-grain", "words alone for a query", "mgdspr", ONE_GRAIN),
    Row("no-transformer", "no Transformer over the words", "mgdspr", ("mgdspr.grains.sequence=false",)),
    Row("no-behaviours", "no behaviours, no previous queries", "mgdspr", NO_BEHAVIOURS),
    Row("no-zero-vector", "no zero vector", "mgdspr", ("mgdspr.horizons.zero_vector=false",)),
    Row("no-cls", "mean instead of [CLS]", "mgdspr", ("mgdspr.fusion=mean",)),
    Row("no-item-id", "no item id", "mgdspr", ("mgdspr.item.id=false",)),
    Row("no-id-dropout", "no item-id dropout", "mgdspr", ("mgdspr.item.id_dropout=0",)),
    Row("in-batch", "in-batch negatives alone", "mgdspr", ("loss.catalog_negatives=0",)),
)
MMSE_PARTS = (
    Row("mmse-no-ranking", "no ranking loss", "mmse", ("loss.ranking.weight=0",)),
    Row("mmse-position", "what was shown in vain weighed by its position", "mmse", ("loss.ranking.position=true",)),
)
ROWS = MODELS + MGDSPR_PARTS + MMSE_PARTS
