"""report.html: the tables, the plots and some queries with what each model retrieved, in one file."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from preprocessing.data.features import STAGES
from trainer.evaluation import plots
from trainer.evaluation.contest import Entry
from trainer.evaluation.eval_requests import SEGMENTS
from trainer.evaluation.retrievers import Answers, Setting
from trainer.evaluation.training_curves import scalar
from trainer.job.job_folder import Job

_EXAMPLES, _SHOWN = 20, 10
_SEED = 17
_STYLE = """
body { font: 14px/1.4 sans-serif; margin: 2em auto; max-width: 1100px; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: 2px 10px; text-align: right; vertical-align: top }
th:first-child, td:first-child { text-align: left } tr:nth-child(even) { background: #f5f5f5 }
.interval { color: #888; font-size: 85% } .sure { font-weight: bold }
ol { margin: 0; padding-left: 1.6em; text-align: left }
.ordered::after { content: " ordered"; color: #080; font-weight: bold }
.clicked::after { content: " clicked"; color: #080 }
.relevant { background: #e2f3e2 } svg { max-width: 100%; height: auto }
"""


def write_report(
    found: Sequence[Entry], answers: Sequence[Answers], metrics: Mapping[str, Any], setting: Setting
) -> None:
    """Writes `report.html` into the first entry's folder; curves, scores and queries are of each one's first seed."""
    parts = [f"<h1>{html.escape(found[0].name)}</h1>"]
    parts.append(f"<p>{metrics['requests']:,} requests, {metrics['items']:,} items.</p>")
    parts.append(_table("Scorecard (mean and 95 % interval)", metrics["models"]))
    parts.append(
        _table(f"{found[0].name} minus each other, paired; bold: the interval excludes zero", metrics["job_minus"])
    )
    for stage in ("ordered", "clicked"):
        parts += [plots.recall_by_k(metrics, stage), plots.recall_by_segment(metrics, SEGMENTS, metrics["k"][0], stage)]
    curves = {one.name: curve for one in found if (curve := scalar(one.jobs[0], "loss/loss"))}
    if curves:
        parts.append(plots.curves("Training loss", "loss", curves))
    parts += [plots.score_distributions(one.name, _scores(one)) for one in answers if one.stage_scores is not None]
    parts += ["<h2>Queries</h2>", *_examples(answers, setting)]
    page = f"<!doctype html><meta charset='utf-8'><title>{html.escape(found[0].name)}</title><style>{_STYLE}</style>"
    Job(found[0].folder).write("report.html", page + "\n".join(parts))


def _table(title: str, models: Mapping[str, Mapping[str, Any]]) -> str:
    figures = list(dict.fromkeys(name for one in models.values() for name in one))
    head = "".join(f"<th>{html.escape(model)}</th>" for model in models)
    rows = [f"<tr><td>{name}</td>{''.join(_cell(one.get(name)) for one in models.values())}</tr>" for name in figures]
    return f"<h2>{html.escape(title)}</h2><table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def _cell(figure: Mapping[str, float] | None) -> str:
    if figure is None:
        return "<td>-</td>"
    if "low" not in figure:
        return f"<td>{figure['mean']:.4f}</td>"
    sure = " class='sure'" if figure["low"] > 0 or figure["high"] < 0 else ""
    interval = f"<span class='interval'>[{figure['low']:.4f}, {figure['high']:.4f}]</span>"
    return f"<td><span{sure}>{figure['mean']:.4f}</span> {interval}</td>"


def _scores(one: Answers) -> dict[str, np.ndarray]:
    assert one.stage_scores is not None
    last = one.ranking.scores[:, -1]
    return {**one.stage_scores, f"retrieved at {one.ranking.scores.shape[1]}": last}


def _examples(answers: Sequence[Answers], setting: Setting) -> Iterator[str]:
    eval_requests = setting.eval_requests
    judged = set(setting.judgments.queries) if setting.judgments else set()
    places = np.array(
        [place for place, query in enumerate(eval_requests.queries.tolist()) if query in judged], np.int64
    )
    places = places if len(places) >= _EXAMPLES else np.arange(len(eval_requests))
    _, first = np.unique(eval_requests.queries[places], return_index=True)
    chosen = np.random.default_rng(_SEED).permutation(places[first])[:_EXAMPLES]
    for place in sorted(chosen.tolist()):
        query = eval_requests.queries[place]
        cells = "".join(f"<td>{_found(one, place, query, setting)}</td>" for one in answers)
        heads = "".join(f"<th>{html.escape(one.name)}</th>" for one in answers)
        yield f"<h3>{html.escape(query.decode(errors='replace'))}</h3><table><tr>{heads}</tr><tr>{cells}</tr></table>"


def _found(one: Answers, place: int, query: bytes, setting: Setting) -> str:
    relevant = setting.judgments.relevant(query) if setting.judgments else None
    stages = {stage: setting.eval_requests.stages[stage].of(place) for stage in STAGES}
    lines = []
    for row in one.ranking.rows[place, :_SHOWN].tolist():
        if row < 0:
            continue
        marks = [stage for stage in ("ordered", "clicked") if row in stages[stage]][:1]
        marks += ["relevant"] if relevant is not None and row in relevant else []
        title = html.escape(setting.catalogue.titles[row].decode(errors="replace"))
        lines.append(f"<li><span class='{' '.join(marks)}'>{title}</span></li>")
    return f"<ol>{''.join(lines)}</ol>"
