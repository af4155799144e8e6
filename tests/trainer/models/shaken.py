"""Models whose parts all speak."""

from __future__ import annotations

import numpy as np

from trainer.models.two_tower import TwoTower


def shaken(model: TwoTower) -> TwoTower:
    """Variables away from zero, so that nothing hides behind an initial value."""
    draw = np.random.default_rng(4)
    for variable in model.trainable_variables:
        variable.assign_add(draw.normal(size=variable.shape, scale=0.1).astype(np.float32))
    return model
