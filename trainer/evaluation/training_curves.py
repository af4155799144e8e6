"""What TensorBoard's files say of a finished run."""

from __future__ import annotations

import tensorflow as tf
from tensorflow.core.util import event_pb2

from trainer.job.job_folder import Job

Curve = tuple[list[int], list[float]]  # steps, values


def scalar(job_dir: str, tag: str) -> Curve | None:
    """One scalar in the order of its steps; of a step that was logged twice, the later value."""
    points: dict[int, float] = {}
    for path in sorted(tf.io.gfile.glob(f"{Job(job_dir).logs}/events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            event = event_pb2.Event.FromString(record)
            for value in event.summary.value:
                if value.tag == tag:
                    points[event.step] = float(tf.make_ndarray(value.tensor))
    steps = sorted(points)
    return (steps, [points[step] for step in steps]) if steps else None
