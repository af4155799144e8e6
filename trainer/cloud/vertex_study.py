"""`trainer.tune` of a config as a study of Vertex AI."""

from __future__ import annotations

import json
from typing import get_args

from google.cloud.aiplatform_v1 import types as api

from trainer.config import RangeConfig, TrainerConfig
from trainer.config_keys import annotation_of


def study_of(config: TrainerConfig) -> api.StudySpec:
    """The metric and the ranges; a parameter is called as the key it sets."""
    metric = api.StudySpec.MetricSpec(metric_id=config.tune.metric, goal=api.StudySpec.MetricSpec.GoalType.MAXIMIZE)
    parameters = [_parameter(key, given) for key, given in config.tune.ranges.items()]
    return api.StudySpec(metrics=[metric], parameters=parameters)


def _parameter(key: str, given: RangeConfig) -> api.StudySpec.ParameterSpec:
    kind = api.StudySpec.ParameterSpec
    if given.low is None or given.high is None:
        # As JSON, which the trial reads as YAML: a list is a choice like any other.
        values = [json.dumps(choice) for choice in given.choices]
        return kind(parameter_id=key, categorical_value_spec=kind.CategoricalValueSpec(values=values))
    scale = kind.ScaleType.UNIT_LOG_SCALE if given.log else kind.ScaleType.UNIT_LINEAR_SCALE
    annotation = annotation_of(TrainerConfig, key)
    if int in (annotation, *get_args(annotation)):
        whole = kind.IntegerValueSpec(min_value=int(given.low), max_value=int(given.high))
        return kind(parameter_id=key, integer_value_spec=whole, scale_type=scale)
    real = kind.DoubleValueSpec(min_value=given.low, max_value=given.high)
    return kind(parameter_id=key, double_value_spec=real, scale_type=scale)
