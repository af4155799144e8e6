"""The models' own part of the `trainer:` section: their widths, and a switch for each of their parts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from preprocessing.command.experiment import Section
from preprocessing.config import Grain

Attribute = Literal["item", "brand", "shop", "leaf", "top", "price"]  # of a price its band within the leaf
SideAttribute = Literal["brand", "shop", "leaf", "top", "price"]
LongAttribute = Literal["item", "shop", "leaf", "brand", "price"]
Signal = Literal["action", "age"]
LongAction = Literal["long_click", "long_order", "long_collect"]


class WordTableConfig(Section):
    """The table of words: with vectors from elsewhere, `row = table[id] + W . vector[id]`, W trained."""

    # A file of word2vec (text, or binary as .bin), fastText (.vec), GloVe or Parquet (word, vector), or "wordllama".
    vectors: str | None = None
    rarity: bool = False  # each of these vectors times a / (a + p(word)), so that frequent words say less


class ItemTableConfig(Section):
    """The table of items: a row an id, or for any number of ids a fixed one."""

    # Rows that the ids of unknown items share, `hashes` of them summed; by default each hash bucket has its own.
    hashed_rows: int | None = Field(None, gt=0)
    hashes: int = Field(2, ge=1, le=8)


class ItemTablesConfig(Section):
    """What can be said of every model's tables."""

    item: ItemTableConfig = ItemTableConfig()


class TablesConfig(ItemTablesConfig):
    """Embedding widths that are not the model's `dim`; words, grams and items are `dim` wide."""

    word: WordTableConfig = WordTableConfig()

    brand: int = Field(16, gt=0)
    shop: int = Field(16, gt=0)
    leaf: int = Field(16, gt=0)
    top: int = Field(8, gt=0)
    price: int = Field(8, gt=0)


class GrainsConfig(Section):
    """The query's grains; `mix` is the sum of the others."""

    grams: tuple[Grain, ...] = ("char", "bigram", "word")  # each a mean of embeddings; "trigram" where the data has it
    sequence: bool = True  # a Transformer block over the words
    sequence_heads: int = Field(4, gt=0)
    sequence_hidden: int = Field(128, gt=0)
    history: bool = True  # attention over the user's previous queries
    mix: bool = True

    @model_validator(mode="after")
    def _words_lead(self) -> GrainsConfig:
        if "word" not in self.grams:
            raise ValueError("grams must hold 'word': the sequence and the previous queries are read by it")
        return self


class RealtimeConfig(Section):
    """Today: LSTM, self-attention, zero vector, query attention."""

    on: bool = True
    lstm_layers: int = Field(1, ge=0)  # the paper has 2; a day here is short
    dropout: float = Field(0.2, ge=0, lt=1)
    heads: int = Field(4, gt=0)


class ShortConfig(Section):
    """The days before today: self-attention, zero vector, query attention."""

    on: bool = True
    self_attention: bool = True
    heads: int = Field(4, gt=0)


class LongConfig(Section):
    """The month before that: means by attribute and action, zero vector, query attention."""

    on: bool = True
    attributes: tuple[LongAttribute, ...] = ("item", "shop", "leaf", "brand")
    actions: tuple[LongAction, ...] = ("long_click", "long_order", "long_collect")


class HorizonsConfig(Section):
    """What the user did before."""

    realtime: RealtimeConfig = RealtimeConfig()
    short: ShortConfig = ShortConfig()
    long: LongConfig = LongConfig()
    attributes: tuple[Attribute, ...] = ("item", "brand", "shop", "leaf", "top")  # of an item of today or short-term
    signals: tuple[Signal, ...] = ()  # of the action on each of those: its kind, how long ago
    signal_dropout: float = Field(0.1, ge=0, lt=1)  # of signals trained as unknown, as clients that send none have them
    zero_vector: bool = True  # lets a query ignore a past that does not concern it

    @model_validator(mode="after")
    def _items_have_attributes(self) -> HorizonsConfig:
        if not self.attributes:
            raise ValueError("attributes are all that horizons read of items: name some, like [item, leaf]")
        return self


class ItemAttributesConfig(Section):
    """What an item is beside its title."""

    id: bool = True
    side: tuple[SideAttribute, ...] = ("brand", "shop", "leaf", "top")
    vector: bool = False  # the catalogue's own vector of the item, projected
    id_dropout: float = Field(0.3, ge=0, lt=1)  # of items trained without their id, as a new item is served


class ItemConfig(ItemAttributesConfig):
    """The item tower: e + tanh(W . mean(title))."""

    title_grams: tuple[Grain, ...] = ("word",)

    @model_validator(mode="after")
    def _something_is_left(self) -> ItemConfig:
        if not (self.id or self.side or self.title_grams or self.vector):
            raise ValueError("id, side, title_grams and vector are all off: nothing of the item is left")
        return self


class MgdsprConfig(Section):
    """Embedding-based product retrieval in Taobao search (arXiv 2106.09297)."""

    dim: int = Field(64, gt=0)
    grains: GrainsConfig = GrainsConfig()
    horizons: HorizonsConfig = HorizonsConfig()
    fusion: Literal["cls", "mean"] = "cls"
    fusion_heads: int = Field(4, gt=0)
    item: ItemConfig = ItemConfig()
    normalize: bool = False  # unit vectors on both sides; choose a temperature near 0.05 with it
    tables: TablesConfig = TablesConfig()


class MmseConfig(Section):
    """Multi-stage multi-grained semantic embeddings (arXiv 2303.11009): similarities fused, not representations."""

    dim: int = Field(32, gt=0)  # of one level; the served vector holds all levels side by side
    grains: GrainsConfig = GrainsConfig(mix=False)
    horizons: HorizonsConfig = HorizonsConfig()
    # "representations": the levels of a side become one vector of the same size, by one matrix; no levels are weighed
    fusion: Literal["similarities", "representations"] = "similarities"
    level_weights: bool = True  # learned w_g >= 0; off: every level weighs 1
    item: ItemAttributesConfig = ItemAttributesConfig()  # for the horizons; each grain reads the title in its own gram
    normalize: bool = False  # each level's vectors to length 1; a fused one's to the root of how many levels it is of
    tables: TablesConfig = TablesConfig()

    @model_validator(mode="after")
    def _horizons_have_a_view(self) -> MmseConfig:
        horizons = self.horizons
        on = any((horizons.realtime.on, horizons.short.on, horizons.long.on))
        if on and not (self.item.id or self.item.side or self.item.vector):
            raise ValueError("horizons are compared with the item's id and attributes: item.id and item.side are off")
        return self


class DnnConfig(Section):
    """alpha-DNN style two-tower: averaged grams through an MLP a side, as semantic product search has it."""

    dim: int = Field(64, gt=0)
    query_grams: tuple[Grain, ...] = ("bigram", "word")
    title_grams: tuple[Grain, ...] = ("bigram", "word")
    attributes: tuple[Attribute, ...] = ()  # of items, beside their titles; with "item" it is more than the paper's
    vector: bool = False  # the catalogue's own vector of the item beside them, projected
    behaviours: bool = False  # the averaged past beside the query, by the same attributes
    id_dropout: float = Field(0.3, ge=0, lt=1)
    hidden: tuple[int, ...] = (128,)
    normalize: bool = False
    tables: TablesConfig = TablesConfig()

    @model_validator(mode="after")
    def _behaviours_have_attributes(self) -> DnnConfig:
        if self.behaviours and not self.attributes:
            raise ValueError("behaviours are read by attributes: name some, like [item, leaf]")
        return self


class TfrsConfig(Section):
    """The stock TFRS retrieval tutorial: ids and bags of words, nothing else."""

    dim: int = Field(64, gt=0)
    tables: ItemTablesConfig = ItemTablesConfig()
