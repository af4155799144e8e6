"""Alerts and dashboard are of Prometheus' language and ask for what the server really shows."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from serving.runtime.prometheus import Metrics

FOLDER = Path(__file__).parents[3] / "deploy" / "serving" / "monitoring"
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
OF_PROMETHEUS = {"job", "instance", "le"}


def shown() -> dict[str, set[str]]:
    """The labels of each series that a server shows."""
    metrics = Metrics()
    metrics.requests("retrieval", "OK").inc()
    metrics.request_latency("retrieval", "predict", "GRPC").observe(1)
    metrics.runtime_latency("retrieval", "predict", "TF2").observe(1)
    metrics.batch("retrieval", 1, 1, 0.1)
    metrics.examples("retrieval").observe(1)
    metrics.warmup_latency("/models/1", "OK").observe(1)
    metrics.load_attempts("/models/1", "success").inc()
    metrics.load_latency("/models/1").inc()
    metrics.in_flight(lambda: 1)
    metrics.available(lambda: {"retrieval": [1]})
    labels = defaultdict(set)
    # Prometheus' own parser for Python would end the counters' names in `_total`.
    for name, inside in re.findall(r"^([\w:]+)(?:{(.*)})? ", metrics.text().decode(), re.MULTILINE):
        labels[name] |= set(re.findall(r'(\w+)="', inside))
    return labels | {"up": set()}


SHOWN = shown()


def selectors(text: str) -> Iterator[Any]:
    """What an expression reads."""
    found: list[Any] = []
    promql_parser.walk(
        promql_parser.parse(text),
        lambda part: found.append(part) if isinstance(part, promql_parser.VectorSelector) else None,
    )
    return iter(found)


def panels() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m").replace("$model", "retrieval")


EXPRESSIONS = [*((rule["alert"], rule["expr"]) for rule in RULES), *panels()]


@pytest.mark.parametrize("text", [text for _, text in EXPRESSIONS], ids=[name for name, _ in EXPRESSIONS])
def test_what_is_asked_for_is_shown(text: str) -> None:
    read = list(selectors(text))
    assert read
    for one in read:
        assert one.name in SHOWN
        assert {matcher.name for matcher in one.matchers.matchers} <= SHOWN[one.name] | OF_PROMETHEUS
    for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", text):
        known = set().union(*(SHOWN[one.name] for one in read))
        assert {label.strip() for label in labels.split(",")} <= known | OF_PROMETHEUS


def test_a_misspelt_metric_or_a_broken_expression_would_be_found() -> None:
    assert {one.name for one in selectors("rate(:tensorflow:serving:request_counts[5m])")} - SHOWN.keys()
    with pytest.raises(ValueError):
        promql_parser.parse("rate(up[5m]")


def test_an_alert_says_how_bad_it_is_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "mend"}


def test_statuses_that_alerts_name_are_those_that_the_server_writes() -> None:
    source = (FOLDER.parents[2] / "serving" / "runtime" / "manager.py").read_text()
    named = {
        value
        for _, text in EXPRESSIONS
        for one in selectors(text)
        if one.name.endswith("load_attempt_count")
        for matcher in one.matchers.matchers
        for value in matcher.value.split("|")
    }
    assert named and all(f'"{status}"' in source for status in named)


def test_panels_do_not_cover_each_other() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
