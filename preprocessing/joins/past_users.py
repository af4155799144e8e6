"""What the next days need of a user: the events of the past that their requests look back to, and what came of them."""

from __future__ import annotations

import marshal
import math
from collections.abc import Iterable
from typing import NamedTuple

from preprocessing.config import PreprocessingConfig
from preprocessing.joins.attribution import NO_REQUEST, AttributedAction, Request, answers_by_request
from preprocessing.joins.request_stages import labels_of, positives
from preprocessing.joins.split import Cuts
from preprocessing.joins.user_log import Seen, UserEvents, UserLog
from preprocessing.logs.records import Action, Impression, Search, day_start, days

LATE_DAYS = 3  # of training time in which a request can still be answered for the first time
PastRequest = tuple[int, str, str]  # time, request, query
PastSearch = tuple[int, str, str, tuple[str, ...]]  # the same with its page
PastAction = tuple[int, str, str, int]  # when it took effect, item, action, time
OpenAction = tuple[int, str, str, str, str]  # time, item, action, request, source
KEPT, COUNTED, WRITTEN = range(3)  # behind the cut; in the training time; there, and in a record or too old for one


class PastUser(NamedTuple):
    """One user in a state's file: who has nothing to wait for and does nothing new is never unpacked."""

    user_id: str
    waits: bool  # something of theirs is not yet in the training time
    newest: int  # the time of the last event
    events: bytes  # of `PastEvents`


class PastEvents(NamedTuple):
    """What is settled is history alone; what is open is joined anew with what comes."""

    requests: list[PastRequest]
    actions: list[PastAction]
    open_searches: list[tuple[PastSearch, int]]
    open_actions: list[tuple[OpenAction, int]]
    open_impressions: list[tuple]


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
    if past is None:
        return events.log(user_id, config.join)
    before = PastEvents._make(marshal.loads(past.events))
    for (ts, request_id, query, results), _ in before.open_searches:
        events.add(Search(ts, request_id, user_id, query, results, ""))
    for (ts, item_id, action, request_id, source), _ in before.open_actions:
        events.add(Action(ts, user_id, item_id, action, request_id, source))
    for impression in before.open_impressions:
        events.add(Impression._make(impression))
    log = events.log(user_id, config.join)
    before = _newest(before, config.join.max_user_events - log.size)
    log = _with_settled(log, before)
    of_requests = {search[1]: state for search, state in before.open_searches}
    of_requests.update((request_id, WRITTEN) for _, request_id, _ in before.requests)
    of_actions = {action[:3]: state for action, state in before.open_actions}
    of_actions.update(((ts, item_id, action), COUNTED) for _, item_id, action, ts in before.actions)
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


def _newest(before: PastEvents, room: int) -> PastEvents:
    """As many of the settled events as a user's cap leaves room for."""
    times = sorted([*(one[0] for one in before.requests), *(one[3] for one in before.actions)])
    if len(times) <= room:
        return before
    since = times[-room] if room > 0 else math.inf
    requests = [one for one in before.requests if one[0] >= since]
    return before._replace(requests=requests, actions=[one for one in before.actions if one[3] >= since])


def _with_settled(log: UserLog, before: PastEvents) -> UserLog:
    """A log with what is settled in its places; what comes again is there already."""
    known = {request_id for _, request_id, _ in before.requests}
    requests = [Request(*request, ()) for request in before.requests]
    requests += [request for request in log.requests if request.request_id not in known]
    requests.sort(key=lambda request: request[:2])
    place_of = {request.request_id: place for place, request in enumerate(requests)}
    actions = [
        AttributedAction(effective_ts, item_id, action, ts, NO_REQUEST, False, "")
        for effective_ts, item_id, action, ts in before.actions
    ]
    acted = {(ts, item_id, action) for _, item_id, action, ts in before.actions}
    for one in log.actions:
        if (one.ts, one.item_id, one.action) not in acted:
            answers = one.request != NO_REQUEST
            place = place_of[log.requests[one.request].request_id] if answers else NO_REQUEST
            actions.append(one._replace(request=place))
    return UserLog(log.user_id, requests, sorted(actions))


def _places(states: Iterable[int], least: int) -> frozenset[int]:
    return frozenset(place for place, state in enumerate(states) if state >= least)


def past_of(log: UserLog, events: UserEvents, cuts: Cuts, config: PreprocessingConfig) -> PastUser | None:
    """What is kept of a user behind a run, from the log as it is before pages are left out; None: nothing."""
    horizon = Horizon.of(cuts, config)
    written = log.seen.written | training_examples(log, cuts, config)
    kept = PastEvents([], [], [], [], [])
    for place, one in enumerate(log.requests):
        if one.ts >= horizon.pages:
            state = KEPT if one.ts >= cuts.validation else WRITTEN if place in written else COUNTED
            kept.open_searches.append(((one.ts, one.request_id, one.query, one.results), state))
        elif one.ts >= horizon.events:
            kept.requests.append(one[:3])
    open_from: dict[tuple, int] = {}
    for acted in log.actions:
        if acted.effective_ts >= horizon.pages:
            open_from[acted.ts, acted.item_id, acted.action] = acted.effective_ts
        elif acted.effective_ts >= horizon.events:
            kept.actions.append((*acted[:3], acted.ts))
    for action in events.actions:
        effective_ts = open_from.get((action.ts, action.item_id, action.action))
        if effective_ts is not None:
            one_action = (action.ts, action.item_id, action.action, action.request_id, action.source)
            kept.open_actions.append((one_action, KEPT if effective_ts >= cuts.validation else COUNTED))
    return _packed(log.user_id, kept, events.impressions)


def _packed(user_id: str, kept: PastEvents, impressions: Iterable[Impression]) -> PastUser | None:
    if not any(kept):
        return None
    of_open = {search[1] for search, _ in kept.open_searches}
    kept.open_impressions.extend(tuple(one) for one in impressions if one.request_id in of_open)
    states = [state for _, state in (*kept.open_searches, *kept.open_actions)]
    times = [search[0] for search, _ in kept.open_searches] + [action[0] for action, _ in kept.open_actions]
    times += [one[0] for one in kept.requests] + [one[0] for one in kept.actions]
    return PastUser(user_id, KEPT in states, max(times), marshal.dumps(tuple(kept)))


def training_examples(log: UserLog, cuts: Cuts, config: PreprocessingConfig) -> frozenset[int]:
    """The places of the requests that are in the training time and have a positive."""
    return frozenset(
        place
        for place, answers in answers_by_request(log.actions).items()
        if log.requests[place].ts < cuts.validation
        and any(positives(log.requests[place], labels_of(log.requests[place], answers, cuts), config.stages))
    )
