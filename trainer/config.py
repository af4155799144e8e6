"""The `trainer:` section of an experiment: which model, with which parts, against which loss, trained how."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveFloat, ValidationError, model_validator

from preprocessing.command.experiment import Section
from trainer.config_days import InitConfig, OlderConfig
from trainer.config_keys import annotation_of, with_keys
from trainer.config_models import DnnConfig, ItemTableConfig, MgdsprConfig, MmseConfig, TfrsConfig, WordTableConfig
from trainer.config_training import DistributionConfig, TrainingConfig, ValidationConfig

Stage = Literal["ordered", "clicked"]
Level = Literal["purchase", "click", "exposure"]
HardNegativeMask = Literal["request", "shown", "query", "leaf"]
StagePair = Literal[
    "ordered>clicked", "ordered>shown", "ordered>random", "clicked>shown", "clicked>random", "shown>random"
]


class HardNegativesConfig(Section):
    """Mixed in the embedding space: alpha * positive + (1 - alpha) * hardest negatives."""

    count: int = Field(0, ge=0)  # N hardest sampled negatives of each query; 0: off
    alpha: tuple[float, float] = (0.4, 0.6)  # each mixture draws its own
    # Never mixed: what the request itself ordered or clicked, what else it was shown, what requests of the batch with
    # the same query ordered or clicked, what is of a leaf of the request's positives.
    mask: tuple[HardNegativeMask, ...] = ("request", "query")

    @model_validator(mode="after")
    def _range(self) -> HardNegativesConfig:
        low, high = self.alpha
        if not 0 <= low < high <= 1:
            raise ValueError(f"alpha must be 0 <= a < b <= 1, got {list(self.alpha)}")
        return self


class RankingConfig(Section):
    """Order within a request: ordered over clicked over shown over random."""

    weight: float = Field(0.0, ge=0)  # lambda; 0: off
    kind: Literal["hinge", "logistic"] = "hinge"
    position: bool = False  # what was shown in vain weighs as much as its position is clicked beside the first
    random_items: int = Field(32, gt=0)  # of the shared negatives, the lowest stage of every request
    # (higher stage, lower stage) -> (margin, weight), written `ordered>clicked: [0.5, 1.0]`
    pairs: dict[StagePair, tuple[float, float]] = Field(
        {
            "ordered>clicked": (0.5, 1.0),
            "ordered>shown": (1.0, 1.0),
            "clicked>shown": (0.5, 1.0),
            "shown>random": (1.0, 0.5),
        }
    )


class LossConfig(Section):
    """L_retrieval + lambda * L_rank."""

    kind: Literal["softmax", "hinge", "tfrs"] = "softmax"  # "tfrs": the library's own Retrieval task, in-batch
    catalog_negatives: int = Field(2048, ge=0)  # a step, shared by the batch; over all replicas
    in_batch: bool = True
    correction: bool = True  # each logit less the log of how often its item is expected in the pool
    mask_accidental_hits: bool = True
    temperature: float = Field(1.0, gt=0)
    stage_weights: dict[Stage, float] = Field({"ordered": 2.0, "clicked": 1.0})  # 0 leaves a stage out
    levels: dict[Level, PositiveFloat] = Field({})  # in place of stage_weights: a softmax a level, each by its weight
    same_leaf_negatives: int = Field(0, ge=0)  # so many more of the leaf of a positive, by weight; 0: off
    mined_negatives: int = Field(0, ge=0)  # TFRS's mining: only the hardest stay in the softmax; 0: all stay
    hinge_margin: float = Field(1.0, gt=0)  # for kind "hinge"
    hard_negatives: HardNegativesConfig = HardNegativesConfig()
    ranking: RankingConfig = RankingConfig()

    @property
    def positive_stages(self) -> tuple[str, ...]:
        """Whose items are positives, and the batch's part of the pool."""
        if self.levels:
            return ("ordered", "clicked")
        return tuple(stage for stage, weight in self.stage_weights.items() if weight)

    @property
    def shared_negatives(self) -> int:
        """Items of the catalogue a step; TFRS's own task takes its negatives from the batch alone."""
        return 0 if self.kind == "tfrs" else self.catalog_negatives

    @model_validator(mode="after")
    def _has_negatives(self) -> LossConfig:
        if not self.in_batch and not self.catalog_negatives:
            raise ValueError("no negatives are left: set in_batch or catalog_negatives")
        if not self.positive_stages:
            raise ValueError("stage_weights leave no positive: give ordered or clicked a weight above 0")
        if self.same_leaf_negatives and self.kind != "softmax":
            raise ValueError(f"same_leaf_negatives are a weight in the softmax, kind is {self.kind!r}")
        if self.kind == "tfrs" and not self.in_batch:
            raise ValueError("kind 'tfrs' draws its negatives in-batch: set in_batch")
        if self.levels and self.kind != "softmax":
            raise ValueError(f"levels are compared by a softmax each: leave kind {self.kind!r} or levels")
        return self


class OptimizerConfig(Section):
    """Adagrad for embeddings, whose rare rows keep large steps; Adam for the rest, or Adagrad as well."""

    embedding_rate: float = Field(0.4, gt=0)
    adagrad_accumulator: float = Field(0.1, ge=0)  # at the start
    dense: Literal["adam", "adagrad"] = "adam"
    dense_rate: float = Field(0.003, gt=0)
    warmup_steps: int = Field(100, ge=0)
    decay: Literal["constant", "linear", "cosine"] = "constant"  # after the warm-up, to `final_share` at the last step
    final_share: float = Field(0.1, ge=0, le=1)
    clip_norm: float = Field(3.0, ge=0)  # of all gradients together; 0: off


class DataConfig(Section):
    """How records are read."""

    batch: int = Field(512, gt=0)  # requests a step, over all replicas
    shuffle: int = Field(20_000, gt=0)  # records in the shuffling window
    readers: int = Field(4, gt=0)  # files read at once
    prefetch: int = Field(4, gt=0)  # batches made ahead
    catalog_requests: float = Field(0.0, ge=0, lt=1)  # share of a batch: words of items ask, their item is the click
    older: OlderConfig = OlderConfig()

    @property
    def from_catalog(self) -> int:
        """Requests of a batch that are made of the catalogue."""
        return round(self.batch * self.catalog_requests)

    @property
    def from_older(self) -> int:
        """Those that are of earlier days."""
        return round(self.batch * self.older.share) if self.older.folders else 0

    @property
    def from_log(self) -> int:
        """Those that are the log's."""
        return self.batch - self.from_catalog - self.from_older

    @model_validator(mode="after")
    def _all_are_there(self) -> DataConfig:
        if self.catalog_requests and (self.from_log < 1 or not self.from_catalog):
            raise ValueError(
                f"catalog_requests ({self.catalog_requests:g}) are {self.from_catalog} of a batch of {self.batch}: "
                "the log and the catalogue must each give one"
            )
        if self.older.folders and (self.from_log < 1 or not self.from_older):
            raise ValueError(
                f"older.share ({self.older.share:g}) is {self.from_older} of a batch of {self.batch}: "
                "the log and the earlier days must each give one"
            )
        return self


class RangeConfig(Section):
    """What one key may be: between two ends, or one of some values."""

    low: float | None = None
    high: float | None = None
    log: bool = False  # drawn by its order of magnitude
    choices: tuple[Any, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> RangeConfig:
        if self.choices:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("choices stand alone: leave out low, high and log")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        if not self.low < self.high or (self.log and self.low <= 0):
            wanted = "0 < low < high" if self.log else "low < high"
            raise ValueError(f"{wanted} is needed, got low {self.low:g} and high {self.high:g}")
        return self

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Every choice, or both ends."""
        return self.choices or (self.low, self.high)


class TuneConfig(Section):
    """The search of `python -m trainer.tune`."""

    metric: Literal["recall"] = "recall"  # the best of a trial's validations, at validation.k; as large as may be
    trials: int = Field(20, gt=0)
    # By a key of the trainer section, `optimizer.embedding_rate: {low: 0.01, high: 1, log: true}`.
    ranges: dict[str, RangeConfig] = Field({})
    chosen_until_ms: int = Field(0, ge=0)  # written by it into best.yaml: the end of what these values were chosen by


class TrainerConfig(Section):
    """The `trainer:` section."""

    seed: int = 17
    model: Literal["mgdspr", "mmse", "dnn", "tfrs"] = "mgdspr"
    mgdspr: MgdsprConfig = MgdsprConfig()
    mmse: MmseConfig = MmseConfig()
    dnn: DnnConfig = DnnConfig()
    tfrs: TfrsConfig = TfrsConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    data: DataConfig = DataConfig()
    validation: ValidationConfig = ValidationConfig()
    training: TrainingConfig = TrainingConfig()
    distribution: DistributionConfig = DistributionConfig()
    tune: TuneConfig = TuneConfig()
    init: InitConfig = InitConfig()

    @model_validator(mode="after")
    def _ranking_has_random_items(self) -> TrainerConfig:
        ranking = self.loss.ranking
        wants = ranking.weight and any(pair.endswith(">random") for pair in ranking.pairs)
        if wants and self.loss.catalog_negatives < ranking.random_items:
            raise ValueError(
                f"loss.ranking.random_items ({ranking.random_items}) are taken from the shared negatives: "
                f"loss.catalog_negatives ({self.loss.catalog_negatives}) must be at least as many"
            )
        return self

    @model_validator(mode="after")
    def _catalog_requests_have_positives(self) -> TrainerConfig:
        if self.data.catalog_requests and "clicked" not in self.loss.positive_stages:
            raise ValueError("data.catalog_requests are clicks: give clicked a weight in loss.stage_weights")
        return self

    @model_validator(mode="after")
    def _search_has_validation(self) -> TrainerConfig:
        if self.tune.ranges and not self.validation.every_steps:
            raise ValueError("tune.ranges are searched by validation: validation.every_steps must be above 0")
        return self

    @model_validator(mode="after")
    def _padded_is_on_one_device(self) -> TrainerConfig:
        if not self.training.padded:
            return self
        if self.distribution.strategy != "none":
            raise ValueError(f"training.padded is for one device: not with strategy {self.distribution.strategy}")
        if self.loss.kind == "tfrs":
            raise ValueError("training.padded: the library's own loss (loss.kind: tfrs) knows no places without items")
        return self

    @model_validator(mode="after")
    def _ranges_are_of_keys(self) -> TrainerConfig:
        for key, given in self.tune.ranges.items():
            annotation_of(TrainerConfig, key)
            if key.split(".")[0] in _NOT_SEARCHED:
                raise ValueError(f"tune.ranges: {key!r} cannot be searched: trials must be measured alike")
            for value in given.extremes:
                try:
                    with_keys(self.without_search(), {key: value})
                except ValidationError as error:
                    raise ValueError(f"tune.ranges: {key!r} cannot be {value!r}: {error.errors()[0]['msg']}") from None
        return self

    @property
    def word_table(self) -> WordTableConfig:
        """That of the model in use."""
        model = getattr(self, self.model)
        return WordTableConfig() if isinstance(model, TfrsConfig) else model.tables.word

    @property
    def item_table(self) -> ItemTableConfig:
        """The same of items."""
        return getattr(self, self.model).tables.item

    def without_search(self) -> TrainerConfig:
        """The same, as a trial is trained."""
        return self.model_copy(update={"tune": TuneConfig(chosen_until_ms=self.tune.chosen_until_ms)})


_NOT_SEARCHED = ("validation", "distribution", "tune")
