"""What the next days need of a user: the events of the past that their requests look back to, and what came of them."""

from __future__ import annotations

import marshal
from collections.abc import Iterable
from typing import NamedTuple

from preprocessing.config import PreprocessingConfig
from preprocessing.joins.attribution import answers_by_request
from preprocessing.joins.request_stages import labels_of, positives
from preprocessing.joins.split import Cuts
from preprocessing.joins.user_log import Seen, UserEvents, UserLog
from preprocessing.logs.records import Action, Impression, Search, day_start, days

LATE_DAYS = 3  # of training time in which a request can still be answered for the first time
PastSearch = tuple[int, str, str, tuple[str, ...]]  # time, request, query, page
PastAction = tuple[int, str, str, str, str]  # time, item, action, request, source
KEPT, COUNTED, WRITTEN = range(3)  # behind the cut; in the training time; there, and in a record or too old for one


class PastUser(NamedTuple):
    """One user in a state's file: who has nothing to wait for and does nothing new is never unpacked."""

    user_id: str
    waits: bool  # something of theirs is not yet in the training time
    newest: int  # the time of the last event
    events: bytes


class Horizon(NamedTuple):
    """From when on things are kept, by where the training time ends."""

    events: int
    pages: int

    @classmethod
    def of(cls, cuts: Cuts, config: PreprocessingConfig) -> Horizon:
        """So that a request which comes late still sees all of its past."""
        history = config.history
        pages = cuts.validation - days(LATE_DAYS)
        midnight = day_start(pages, round(history.timezone_offset_h * 3_600_000))
        return cls(midnight - days(history.long_days), pages)


def with_past(events: UserEvents, past: PastUser | None, user_id: str, config: PreprocessingConfig) -> UserLog:
    """A user's log of old and new events, and what earlier days have done with it."""
    searches, actions, impressions = marshal.loads(past.events) if past is not None else ((), (), ())
    for (ts, request_id, query, results), _ in searches:
        events.add(Search(ts, request_id, user_id, query, results, ""))
    for (ts, item_id, action, request_id, source), _ in actions:
        events.add(Action(ts, user_id, item_id, action, request_id, source))
    for impression in impressions:
        events.add(Impression._make(impression))
    log = events.log(user_id, config.join)
    of_requests = {search[1]: state for search, state in searches}
    of_actions = {action[:3]: state for action, state in actions}
    requests = [of_requests.get(request.request_id, -1) for request in log.requests]
    acted = [of_actions.get((one.ts, one.item_id, one.action), -1) for one in log.actions]
    return log._replace(
        seen=Seen(
            counted=_places(requests, COUNTED),
            written=_places(requests, WRITTEN),
            known_actions=_places(acted, KEPT),
            counted_actions=_places(acted, COUNTED),
        )
    )


def _places(states: Iterable[int], least: int) -> frozenset[int]:
    return frozenset(place for place, state in enumerate(states) if state >= least)


def past_of(log: UserLog, events: UserEvents, cuts: Cuts, config: PreprocessingConfig) -> PastUser | None:
    """What is kept of a user behind a run, from the log as it is before pages are left out; None: nothing."""
    horizon = Horizon.of(cuts, config)
    written = log.seen.written | training_examples(log, cuts, config)
    searches: list[tuple[PastSearch, int]] = []
    actions: list[tuple[PastAction, int]] = []
    for place, request in enumerate(log.requests):
        if request.ts >= horizon.events:
            done = place in written or request.ts < horizon.pages
            state = KEPT if request.ts >= cuts.validation else WRITTEN if done else COUNTED
            page = request.results if request.ts >= horizon.pages else ()
            searches.append(((request.ts, request.request_id, request.query, page), state))
    effective = {(one.ts, one.item_id, one.action): one.effective_ts for one in log.actions}
    for one in events.actions:
        ts = effective[one.ts, one.item_id, one.action]
        if ts >= horizon.events:
            state = KEPT if ts >= cuts.validation else COUNTED
            actions.append(((one.ts, one.item_id, one.action, one.request_id, one.source), state))
    if not searches and not actions:
        return None
    open_requests = {search[1] for search, _ in searches if search[0] >= horizon.pages}
    impressions = [tuple(one) for one in events.impressions if one.request_id in open_requests]
    newest = max(*(search[0] for search, _ in searches), *(action[0] for action, _ in actions), 0)
    waits = any(state == KEPT for _, state in (*searches, *actions))
    return PastUser(log.user_id, waits, newest, marshal.dumps((searches, actions, impressions)))


def training_examples(log: UserLog, cuts: Cuts, config: PreprocessingConfig) -> frozenset[int]:
    """The places of the requests that are in the training time and have a positive."""
    return frozenset(
        place
        for place, answers in answers_by_request(log.actions).items()
        if log.requests[place].ts < cuts.validation
        and any(positives(log.requests[place], labels_of(log.requests[place], answers, cuts), config.stages))
    )
