"""What went in, what came out, and why not all of it: `stats.json`, and its short table."""

from __future__ import annotations

import datetime
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from preprocessing.config_input import STREAM_FIELDS
from preprocessing.data.features import CATALOGUE, LOG

_QUANTILES = (0.5, 0.9, 0.99, 1.0)
ATTRIBUTIONS = ("named its request", "fell back on a page", "history alone")
POSITION, PAGES, CLICKED = "position", "pages", "clicked"
FREQUENCY, SAMPLED = "frequency", "sampled"
HISTOGRAMS = ("length", FREQUENCY, POSITION)  # (one of these, of what, a number): how often that number came
DEEPEST = 100  # positions behind it are not told apart
_PRIOR = 100  # pages' worth of trust in the position before
_STREAMS = ("ubi", "ga4", "catalog", "searches", "actions", "impressions")
Histogram = Mapping[int, int]


def summarise(counted: Mapping[str, Any], vocabularies: Mapping[str, int]) -> dict[str, Any]:
    """The statistics, from the pipeline's counts: `[..., key, count]` rows and the moments of the split."""
    streams: dict[str, dict[str, Any]] = {}
    histograms: dict[str, dict[str, dict[int, int]]] = {
        kind: defaultdict(lambda: defaultdict(int)) for kind in HISTOGRAMS
    }
    sampled: dict[str, dict[str, int]] = defaultdict(dict)
    examples = {"train": 0, "validation": 0, "eval": 0}
    single = {"items": 0, "shown_unknown_items": 0}
    attribution = dict.fromkeys(ATTRIBUTIONS, 0)
    for *key, count in counted["counts"]:
        if key[0] in histograms:
            histograms[key[0]][key[1]][int(key[2])] += count
        elif key[0] == SAMPLED:
            sampled[key[1]][key[2]] = count
        elif key[0] == "examples":
            examples[key[1]] = count
        elif key[0] == "attribution":
            attribution[key[1]] = count
        elif key[0] in single:
            single[key[0]] = count
        else:
            _add(streams.setdefault(key[0], _empty_stream()), key[1:], count)
    lengths = histograms["length"]
    requests_from = LOG if any(streams.get(name, {}).get("in") for name in ("searches", "ubi", "ga4")) else CATALOGUE
    if requests_from == CATALOGUE:  # what items ask is no stream
        streams = {name: stream for name, stream in streams.items() if name == "catalog"}
    validation, evaluation = counted["cuts"]
    found_in_events = {"searches", "actions", "impressions"} if {"ubi", "ga4"} & streams.keys() else set()
    for name, stream in streams.items():
        filled = stream.pop("filled")
        stream["empty_share"] = {} if name in found_in_events else empty_shares(name, stream["in"], filled)
    return {
        "requests_from": requests_from,
        "streams": {name: streams[name] for name in sorted(streams, key=_stream_order)},
        "examples": examples,
        "attribution": attribution,
        **single,
        "searches_from_to": [iso(ts) for ts in counted["times"]],
        "searches_of_stray_clocks": counted["stray"],
        "validation_from": iso(validation),
        "validation_from_ms": validation,
        "eval_from": iso(evaluation),
        "eval_from_ms": evaluation,
        "lengths": {name: quantiles(lengths[name]) for name in sorted(lengths)},
        "click_rates": click_rates(histograms[POSITION][PAGES], histograms[POSITION][CLICKED]),
        "frequency": {
            name: head_and_tail(one, sampled.get(name)) for name, one in sorted(histograms[FREQUENCY].items())
        },
        "vocabularies": dict(sorted(vocabularies.items())),
    }


def empty_shares(stream: str, records: int, filled: Mapping[str, int]) -> dict[str, float]:
    """Of each field of a stream, the share of records where it says nothing; 1.0 only where all do."""
    shares = {}
    for name in STREAM_FIELDS.get(stream, ()):
        known = filled.get(name, 0)
        shares[name] = min(round(1 - known / records, 4), 0.9999) if known else 1.0
    return shares


def _empty_stream() -> dict[str, Any]:
    return {"in": 0, "used": 0, "rejected": {}, "excluded": {}, "ignored": {}, "filled": {}}


def _stream_order(name: str) -> tuple[int, str]:
    return (_STREAMS.index(name) if name in _STREAMS else len(_STREAMS)), name


def _add(stream: dict[str, Any], key: list[str], count: int) -> None:
    outcome, *reason = key
    if not count:
        return
    if outcome == "used":
        stream["used"] += count
        if reason:
            as_kind = stream.setdefault("used_as", {})
            as_kind[reason[0]] = as_kind.get(reason[0], 0) + count
    elif reason:
        stream[outcome][reason[0]] = stream[outcome].get(reason[0], 0) + count
    else:
        stream[outcome] += count


def quantiles(histogram: Histogram) -> dict[str, float]:
    """Mean and quantiles of exact counts.

    >>> quantiles({1: 3, 5: 1})
    {'mean': 2.0, 'p50': 1, 'p90': 5, 'p99': 5, 'p100': 5}
    """
    total = sum(histogram.values())
    result: dict[str, float] = {"mean": round(sum(value * n for value, n in histogram.items()) / total, 3)}
    for quantile in _QUANTILES:
        seen, wanted = 0, math.ceil(quantile * total)
        for value in sorted(histogram):
            seen += histogram[value]
            if seen >= wanted:
                result[f"p{round(quantile * 100)}"] = value
                break
    return result


def head_and_tail(histogram: Histogram, whole: Mapping[str, int] | None = None) -> dict[str, float]:
    """How the occurrences are shared out: what the most frequent have, and what occurs just once.

    >>> head_and_tail({1: 99, 101: 1})["top_1_percent_share"]
    0.505
    >>> head_and_tail({1: 99, 70: 1}, {"distinct": 1_000, "occurrences": 2_000})["top_1_percent_share"]
    0.505

    Args:
      histogram: how many are of each frequency.
      whole: where that is of a sample, of how many "distinct" it is, and how many "occurrences" these have.
    """
    sample = sum(histogram.values())
    distinct = whole["distinct"] if whole else sample
    occurrences = whole["occurrences"] if whole else sum(count * n for count, n in histogram.items())
    each = distinct / sample / max(occurrences, 1)
    result: dict[str, float] = {"distinct": distinct, "occurrences": occurrences}
    for percent in (1, 10):
        # What the head has is what the tail lacks: of many in the tail a sample says more than of a few at the head.
        left, tail = sample - math.ceil(sample * percent / 100), 0
        for count in sorted(histogram):
            taken = min(left, histogram[count])
            tail += taken * count
            left -= taken
        result[f"top_{percent}_percent_share"] = round(max(1 - tail * each, 0.0), 4)
    result["once_share"] = round(histogram.get(1, 0) * each, 4)
    return result


def click_rates(pages: Histogram, clicked: Histogram) -> list[float]:
    """Of each position, first to deepest, the share of its impressions that were clicked.

    A position that few pages have is drawn towards the one before it, the first towards all.

    >>> click_rates({2: 900}, {1: 180, 2: 45})
    [0.1925, 0.06425]

    Args:
      pages: how many pages are of each length.
      clicked: how many clicks each position had.
    """
    places = range(1, max(pages, default=0) + 1)
    shown = {place: sum(n for length, n in pages.items() if length >= place) for place in places}
    rate = sum(clicked.values()) / max(sum(shown.values()), 1)
    rates = []
    for place, times in shown.items():
        rate = (clicked.get(place, 0) + _PRIOR * rate) / (times + _PRIOR)
        rates.append(round(rate, 6))
    return rates


def iso(ts: int) -> str:
    """A time for people."""
    return datetime.datetime.fromtimestamp(ts / 1000, datetime.UTC).isoformat(timespec="milliseconds")


def too_many_rejected(stats: Mapping[str, Any], limit: float) -> str | None:
    """What is wrong, where a stream's rejected share is past the limit."""
    for name, stream in stats["streams"].items():
        rejected = sum(stream["rejected"].values())
        if rejected > limit * stream["in"]:
            reason = max(sorted(stream["rejected"]), key=lambda one: stream["rejected"][one])
            return (
                f"{name}: {rejected:,} of {stream['in']:,} records were rejected ({rejected / stream['in']:.1%}, "
                f"allowed {limit:.0%}), mostly for {reason!r}"
            )
    return None


def print_table(stats: Mapping[str, Any], console: Console) -> None:
    """The short form."""
    table = Table("stream", "in", "used", "excluded", "rejected", "why not", title="records")
    for name, stream in stats["streams"].items():
        left_out = {**stream["excluded"], **stream["rejected"]}
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(left_out.items(), key=_by_count)[:4])
        sums = (sum(stream[outcome].values()) for outcome in ("excluded", "rejected"))
        table.add_row(name, f"{stream['in']:,}", f"{stream['used']:,}", *(f"{one:,}" for one in sums), reasons)
    console.print(table)
    for name, stream in stats["streams"].items():
        empty = [f"{field} {share:.1%}" for field, share in stream["empty_share"].items() if share]
        ignored = [f"{reason} {count:,}" for reason, count in stream["ignored"].items()]
        for what, parts in (("fields left empty", empty), ("values ignored", ignored)):
            if parts:
                console.print(f"{name} {what}: {_words(parts)}")
    if stats["requests_from"] == LOG:
        _print_log(stats, console)
    else:
        console.print("no log: words of each item ask for it once, and a hash of the item says in which split")
    examples, lengths = stats["examples"], stats["lengths"]
    since = (
        {"validation": stats["validation_from"], "eval": stats["eval_from"]} if stats["requests_from"] == LOG else {}
    )
    splits = (f"{examples[one]:,} {one}{f' (from {since[one]})' if one in since else ''}" for one in examples)
    console.print(
        f"examples: {_words(splits)}; {_words(f'{name} {size:,}' for name, size in stats['vocabularies'].items())}"
    )
    shown = _words(f"{name} {lengths[name]['mean']:.1f}/{lengths[name]['p99']:.0f}" for name in lengths)
    console.print(f"a request holds (mean/p99): {shown}")
    for name, share in stats["frequency"].items():
        top, once = share["top_1_percent_share"], share["once_share"]
        console.print(f"{name}: {share['distinct']:,} distinct; the top 1 % hold {top:.0%}, those seen once {once:.0%}")


def _print_log(stats: Mapping[str, Any], console: Console) -> None:
    acted = sum(stats["attribution"].values())
    stray = stats["searches_of_stray_clocks"]
    console.print(
        f"actions: {_words(f'{count / max(acted, 1):.0%} {how}' for how, count in stats['attribution'].items())}\n"
        f"searches {' to '.join(stats['searches_from_to'])}{f' ({stray:,} of stray clocks)' if stray else ''}\n"
        f"clicked by position: {_words(f'{rate:.1%}' for rate in stats['click_rates'][:10])}"
    )


def _by_count(reason: tuple[str, int]) -> int:
    return -reason[1]


def _words(parts: Iterable[str]) -> str:
    return ", ".join(parts)
