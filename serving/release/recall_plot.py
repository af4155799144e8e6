"""Recall against latency of the settings tried, as an SVG that any browser shows."""

from __future__ import annotations

import math

from serving.release.tune_effort import Point, Tuned

_WIDTH, _HEIGHT, _MARGIN = 640, 400, 56


def tuning_plot(tuned: Tuned, target: float) -> str:
    """One dot a setting, the chosen one filled; the latency's axis is logarithmic."""
    latencies = [point.latency_ms for point in tuned.curve]
    low, high = math.log(min(latencies) / 1.2), math.log(max(latencies) * 1.2)
    floor = min([target, *(point.recall for point in tuned.curve)]) - 0.02

    def x(latency: float) -> float:
        return _MARGIN + (math.log(latency) - low) / (high - low) * (_WIDTH - 2 * _MARGIN)

    def y(recall: float) -> float:
        return _HEIGHT - _MARGIN - (recall - floor) / (1.02 - floor) * (_HEIGHT - 2 * _MARGIN)

    def dot(point: Point) -> str:
        fill = "#1f5fa8" if point == tuned.chosen else "none"
        effort = f"{point.effort.leaves} leaves, {point.effort.reorder} reordered"
        title = f"{effort}: {point.recall:.4f}, {point.latency_ms:.3f} ms"
        return (
            f'<circle cx="{x(point.latency_ms):.1f}" cy="{y(point.recall):.1f}" r="5" fill="{fill}" stroke="#1f5fa8">'
            f"<title>{title}</title></circle>"
        )

    marks = [dot(point) for point in tuned.curve]
    marks.append(_line(_MARGIN, y(target), _WIDTH - _MARGIN, y(target), "#b03030", f"target {target:g}"))
    for recall in (floor, 1.0):
        marks.append(_text(8, y(recall), f"{recall:.3f}"))
    for latency in (min(latencies), max(latencies)):
        marks.append(_text(x(latency), _HEIGHT - _MARGIN + 20, f"{latency:.2f} ms"))
    marks.append(_text(_MARGIN, 24, f"recall@{tuned.k} of the exact answer against the latency of one query"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'font-family="sans-serif" font-size="12">{"".join(marks)}</svg>\n'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, label: str) -> str:
    drawn = f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-dasharray="4"/>'
    return drawn + _text(x2 - 70, y2 - 6, label)


def _text(x: float, y: float, content: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}">{content}</text>'
