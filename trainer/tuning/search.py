"""A search of a config's ranges: an Optuna study in a file, whose every draw is a function of the seed and the past."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from trainer.config import RangeConfig, TrainerConfig
from trainer.config_keys import annotation_of

optuna.logging.set_verbosity(optuna.logging.ERROR)
_FINISHED = (TrialState.COMPLETE, TrialState.FAIL)


class Trial(NamedTuple):
    """One point of the ranges, and what came of it."""

    number: int
    values: dict[str, Any]  # by dotted key of the config
    state: str  # "running", "complete" or "fail"
    recall: float | None


class Search:
    """The study in `path`: begun there, or gone on with."""

    def __init__(self, path: str, config: TrainerConfig) -> None:
        self._seed = config.seed
        self._ranges = {key: distribution(key, given) for key, given in config.tune.ranges.items()}
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(path)),
            study_name="tune",
            direction="maximize",
            load_if_exists=True,
        )

    @property
    def trials(self) -> list[Trial]:
        """All so far."""
        return [self._readable(one) for one in self._study.get_trials(deepcopy=False)]

    @property
    def finished(self) -> int:
        """How many came to an end, good or bad."""
        return sum(one.state != "running" for one in self.trials)

    @property
    def best(self) -> Trial | None:
        """The one with the best recall; the first of equals."""
        complete = [one for one in self.trials if one.recall is not None]
        return max(complete, key=lambda one: one.recall or 0.0) if complete else None

    def next(self) -> Trial:
        """The trial that a broken search left unfinished, or a new one."""
        running = self._study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
        if not running:
            self._begin()
            running = self._study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
        return self._readable(running[0])

    def finish(self, trial: Trial, recall: float | None) -> None:
        """Records what came of a trial; None: it failed."""
        self._study.tell(trial.number, recall, state=TrialState.FAIL if recall is None else None)

    def _begin(self) -> None:
        # Drawn in memory and recorded as a whole: no kill can leave a trial with half its values. The generator
        # starts anew for each, so a search that was broken off draws what an unbroken one would have drawn.
        finished = self._study.get_trials(deepcopy=False, states=_FINISHED)
        sampler = optuna.samplers.TPESampler(seed=zlib.crc32(f"{self._seed}/{len(finished)}".encode()))
        memory = optuna.create_study(direction="maximize", sampler=sampler)
        memory.add_trials(finished)
        drawn = memory.ask(dict(sorted(self._ranges.items())))  # in whatever order the YAML has them
        self._study.add_trial(
            optuna.trial.create_trial(state=TrialState.RUNNING, params=drawn.params, distributions=self._ranges)
        )

    def _readable(self, trial: FrozenTrial) -> Trial:
        recall = trial.value if trial.state == TrialState.COMPLETE else None
        return Trial(trial.number, _values(trial.params, self._ranges), trial.state.name.lower(), recall)


def distribution(key: str, given: RangeConfig) -> BaseDistribution:
    """Optuna's word for a range. Choices go as JSON, since a list is one of them as well."""
    if given.low is None or given.high is None:
        return CategoricalDistribution([json.dumps(choice) for choice in given.choices])
    kind = annotation_of(TrainerConfig, key)
    if int in (kind, *get_args(kind)):
        return IntDistribution(int(given.low), int(given.high), log=given.log)
    return FloatDistribution(given.low, given.high, log=given.log)


def _values(drawn: Mapping[str, Any], ranges: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """What was drawn, in the order of the ranges, as the config takes it."""
    categorical = {key for key, one in ranges.items() if isinstance(one, CategoricalDistribution)}
    return {key: json.loads(drawn[key]) if key in categorical else drawn[key] for key in ranges if key in drawn}
