"""How long the pages of the training time were, and at which of their positions they were clicked."""

from __future__ import annotations

import collections

from preprocessing.data.stats import CLICKED, DEEPEST, PAGES, POSITION
from preprocessing.joins.attribution import answers_by_request
from preprocessing.joins.request_stages import labels_of
from preprocessing.joins.split import Cuts
from preprocessing.joins.user_log import UserLog


def count_positions(log: UserLog, cuts: Cuts) -> collections.Counter[tuple[str, ...]]:
    """Counts of one user's training requests, those that nobody answered too; each item of a page is clicked once."""
    counts: collections.Counter[tuple[str, ...]] = collections.Counter()
    answers = answers_by_request(log.actions)
    for number, request in enumerate(log.requests):
        if request.ts >= cuts.validation or not request.results or number in log.seen.counted:
            continue
        counts[POSITION, PAGES, str(min(len(request.results), DEEPEST))] += 1
        if number not in answers:
            continue
        acted_on = {action.item_id for action in labels_of(request, answers[number], cuts)}
        for place, item_id in enumerate(request.results[:DEEPEST], 1):
            if item_id in acted_on:
                counts[POSITION, CLICKED, str(place)] += 1
    return counts
