"""The plots of the report, each as one inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from preprocessing.command.svg import as_svg, new_plot
from trainer.evaluation.training_curves import Curve


def recall_by_k(metrics: Mapping[str, Any], stage: str) -> str:
    """Recall at each depth, a line a model, with intervals."""
    figure, axes = new_plot(f"Recall of {stage} items", "K", "recall")
    for model, figures in metrics["models"].items():
        points = [figures.get(f"recall@{k}/{stage}") for k in metrics["k"]]
        known = [(k, point) for k, point in zip(metrics["k"], points, strict=True) if point is not None]
        means = [point["mean"] for _, point in known]
        below = [point["mean"] - point["low"] for _, point in known]
        above = [point["high"] - point["mean"] for _, point in known]
        axes.errorbar([k for k, _ in known], means, [below, above], marker="o", capsize=3, label=model)
    axes.set_xscale("log")
    axes.legend()
    return as_svg(figure)


def recall_by_segment(metrics: Mapping[str, Any], segments: Sequence[str], k: int, stage: str) -> str:
    """Recall of each segment, a bar a model."""
    figure, axes = new_plot(f"Recall@{k} of {stage} items by segment", "", "recall")
    models = metrics["models"]
    width = 0.8 / len(models)
    for number, (model, figures) in enumerate(models.items()):
        heights = [figures.get(f"recall@{k}/{stage}/{segment}", {}).get("mean", 0.0) for segment in segments]
        axes.bar(np.arange(len(segments)) + number * width, heights, width, label=model)
    axes.set_xticks(np.arange(len(segments)) + 0.4 - width / 2, [name.replace(" ", "\n") for name in segments])
    figure.legend(loc="outside right upper")  # inside it would hide bars
    return as_svg(figure)


def curves(title: str, up: str, lines: Mapping[str, Curve]) -> str:
    """Values over steps, a line a job."""
    figure, axes = new_plot(title, "step", up)
    for job, (steps, values) in lines.items():
        axes.plot(steps, values, label=job)
    axes.legend()
    return as_svg(figure)


def score_distributions(name: str, scores: Mapping[str, np.ndarray]) -> str:
    """How a model scores what was ordered, clicked, shown and retrieved."""
    figure, axes = new_plot(f"{name}: scores", "score", "density")
    together = np.concatenate([one[np.isfinite(one)] for one in scores.values()])
    low, high = (float(one) for one in np.percentile(together, [0.5, 99.5]))
    for group, values in scores.items():
        inside = values[(values >= low) & (values <= high)]
        if not len(inside):
            continue
        axes.hist(inside, bins=60, range=(low, high), density=True, histtype="step", label=group)
    axes.legend()
    return as_svg(figure)
