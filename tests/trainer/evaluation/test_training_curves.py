"""Curves out of TensorBoard's files."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from trainer.evaluation.training_curves import scalar


def _log(folder: Path, points: dict[int, float]) -> None:
    writer = tf.summary.create_file_writer(str(folder / "logs"))
    with writer.as_default():
        for step, value in points.items():
            tf.summary.scalar("loss/loss", value, step=step)
    writer.close()


def test_a_resumed_job_is_one_curve(tmp_path: Path) -> None:
    """Steps behind the last checkpoint are made, and logged, a second time: the later value counts."""
    _log(tmp_path, {4: 2.0, 8: 1.5})
    _log(tmp_path, {8: 1.25, 12: 1.0})
    assert scalar(str(tmp_path), "loss/loss") == ([4, 8, 12], [2.0, 1.25, 1.0])
    assert scalar(str(tmp_path), "loss/ranking") is None
    assert scalar(str(tmp_path / "none"), "loss/loss") is None
