"""The `trainer:` section of an experiment: which parts a model has, and how it is trained."""

from __future__ import annotations

from pydantic import Field

from preprocessing.config import Section


class GrainsConfig(Section):
    """The grains of a query (Q_mgs); each can be left out."""

    char: bool = True
    bigram: bool = True
    word: bool = True
    word_sequence: bool = True  # a Transformer block over the words
    history: bool = True  # attention over previous queries
    mix: bool = True  # the sum of the others


class HorizonsConfig(Section):
    """What of the user's past the query attends to."""

    realtime: bool = True
    short: bool = True
    long: bool = True


class ItemTowerConfig(Section):
    """e + tanh(W_t . mean(title words))."""

    item_id: bool = True
    attributes: bool = True  # brand, shop and categories beside the id
    title: bool = True
    item_id_dropout: float = Field(0.3, ge=0, lt=1)  # so that an item never seen still has a useful vector


class ModelConfig(Section):
    """The towers."""

    dim: int = Field(64, gt=0)
    heads: int = Field(4, gt=0)
    grains: GrainsConfig = GrainsConfig()
    horizons: HorizonsConfig = HorizonsConfig()
    item_tower: ItemTowerConfig = ItemTowerConfig()


class HardNegativesConfig(Section):
    """I_mix = alpha * positive + (1 - alpha) * hard negative, alpha from U(low, high)."""

    count: int = Field(0, ge=0)  # a positive; 0 leaves them out
    low: float = Field(0.4, ge=0, le=1)
    high: float = Field(0.6, ge=0, le=1)


class LossConfig(Section):
    """Softmax over the positive and many negatives."""

    temperature: float = Field(1.0, gt=0)
    shared_negatives: int = Field(1024, gt=0)  # from the whole catalogue, the same for the batch
    in_batch: bool = True
    order_weight: float = Field(2.0, gt=0)  # a click weighs 1
    hard_negatives: HardNegativesConfig = HardNegativesConfig()


class OptimizerConfig(Section):
    """Adagrad for embeddings, Adam for the rest."""

    embedding_rate: float = Field(0.1, gt=0)
    dense_rate: float = Field(1e-3, gt=0)
    warm_up_steps: int = Field(50, ge=0)
    clip_norm: float = Field(3.0, gt=0)


class TrainerConfig(Section):
    """The whole section."""

    seed: int = 17
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    batch: int = Field(512, gt=0)
    epochs: int = Field(3, gt=0)
    positives: int = Field(3, gt=0)  # of a request, ordered ones first
    checkpoint_steps: int = Field(100, gt=0)
