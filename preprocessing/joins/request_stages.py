"""The items of a request by stage: what it was asked for, and what it showed in vain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from preprocessing.config import StagesConfig
from preprocessing.joins.attribution import AttributedAction, Request
from preprocessing.joins.split import Cuts
from preprocessing.logs.records import ORDER


class Positives(NamedTuple):
    """The items that were acted on, best position first."""

    ordered: list[str]
    clicked: list[str]  # any other action


def labels_of(request: Request, answers: Iterable[AttributedAction], cuts: Cuts) -> list[AttributedAction]:
    """The actions on a request that may label it: no label comes from behind a cut."""
    end = cuts.end_of(request.ts)
    return [action for action in answers if action.effective_ts < end]


def positives(request: Request, labels: Iterable[AttributedAction], limits: StagesConfig) -> Positives:
    """The items that a request's labels choose.

    What a catalogue does not have takes its place too: items are counted before the catalogue is joined, and each must
    be counted as often as it is written.
    """
    place = {item_id: position for position, item_id in enumerate(request.results)}
    labels = list(labels)
    # An item acted on without having been logged as shown comes after those that were.
    chosen = sorted({action.item_id for action in labels}, key=lambda item: (place.get(item, len(place)), item))
    ordered = {action.item_id for action in labels if action.action == ORDER}
    return Positives(
        [item for item in chosen if item in ordered][: limits.ordered],
        [item for item in chosen if item not in ordered][: limits.clicked],
    )


def shown_in_vain(shown: Sequence[str], answers: Iterable[AttributedAction], limit: int) -> list[str]:
    """What was shown and never acted on, on neither side of a cut."""
    acted_on = {action.item_id for action in answers}
    return [item for item in shown if item not in acted_on][:limit]
