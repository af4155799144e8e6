"""The books: what became of every version, and whether its answers held what it was made of and nothing else."""

from __future__ import annotations

import collections
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.soak.placed import SHARD_MAP, Placed

PLACED = ("published", "corrupt", "unnamed")  # fates of what lies in a model's folder
FILTERED_K = 200  # more than a leaf has items: a filtered request is answered by all of its leaf


@dataclass(frozen=True)
class Entry:
    """A version by who made it: a command that published it, the gate that turned it down, or a fault.

    One that is `unnamed` lies in some shards' folders by a command that was killed before it named it in shards.json.
    """

    number: int
    origin: str
    day: int
    fate: str  # published, rejected, corrupt or unnamed
    items: frozenset[str] = frozenset()  # what its answers may hold
    models: frozenset[str] = frozenset()  # in whose folders it lies


@dataclass
class Witnessed:
    """What clients and servers said of a version."""

    answers: int = 0
    found: set[str] = field(default_factory=set)
    of_leaves: dict[str, set[int]] = field(default_factory=lambda: collections.defaultdict(set))  # sizes of answers
    available: set[str] = field(default_factory=set)  # at which servers
    refused: set[str] = field(default_factory=set)  # by which servers


class Ledger:
    """Versions as they were made, beside what was seen of them; any thread may write."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self._seen: dict[int, Witnessed] = collections.defaultdict(Witnessed)
        self._lock = threading.Lock()

    def enter(self, entry: Entry) -> None:
        """A version was made."""
        self.entries[entry.number] = entry

    def answered(self, number: int, item_ids: set[str], leaf: str | None) -> None:
        """A client had an answer of a version, where `leaf` is given of this leaf alone."""
        with self._lock:
            seen = self._seen[number]
            seen.answers += 1
            seen.found.update(map(sys.intern, item_ids - seen.found))  # the books must not look like a client's leak
            if leaf is not None:
                seen.of_leaves[leaf].add(len(item_ids))

    def status(self, server: str, states: dict[int, tuple[str, str]]) -> None:
        """A server's word on its versions: state and error."""
        with self._lock:
            for number, (state, error) in states.items():
                if error:
                    self._seen[number].refused.add(server)
                elif state == "AVAILABLE":
                    self._seen[number].available.add(server)

    def refused_by(self, number: int) -> set[str]:
        """The servers that reported a version as one that cannot be served."""
        with self._lock:
            return set(self._seen[number].refused)

    def available_at(self, number: int) -> set[str]:
        """The servers that had a version ready."""
        with self._lock:
            return set(self._seen[number].available)

    def counts(self) -> dict[str, int]:
        """Versions by fate, and how many of the published were served."""
        fates = collections.Counter(entry.fate for entry in self.entries.values())
        served = [n for n, one in self.entries.items() if one.fate == "published" and self._seen[n].answers]
        return {name: fates[name] for name in (*PLACED, "rejected")} | {"served": len(served)}

    def faults(self, leaf_of: dict[str, str]) -> list[str]:
        """Whatever does not add up, a line each."""
        numbers = sorted({*self.entries, *self._seen})
        found = [f"version {n} was never heard of" for n in range(1, max(numbers, default=0)) if n not in numbers]
        for number in numbers:
            entry = self.entries.get(number)
            if entry is None:
                found.append(f"version {number} was seen, and nobody made it")
            else:
                found += [f"version {number} ({entry.origin}): {why}" for why in self._against(entry, leaf_of)]
        return found

    def _against(self, entry: Entry, leaf_of: dict[str, str]) -> list[str]:
        seen = self._seen[entry.number]
        if entry.fate != "published":
            served = seen.answers or (seen.available and entry.fate != "unnamed")
            unnoticed = entry.fate == "corrupt" and not seen.refused
            return ["it was served"] * bool(served) + ["no server reported it"] * unnoticed
        why = ["no server had it, no client an answer of it"] * (not seen.answers and not seen.available)
        if seen.refused:
            why.append(f"{', '.join(sorted(seen.refused))} could not load it")
        if stray := seen.found - entry.items:
            why.append(f"answers held {sorted(stray)[:3]}, {len(stray)} in all, that it must not have")
        sizes = collections.Counter(leaf_of[one] for one in entry.items)
        for leaf, counts in seen.of_leaves.items():
            if counts != {min(FILTERED_K, sizes[leaf])}:
                why.append(f"leaf {leaf!r} has {sizes[leaf]} items, answers had {sorted(counts)}")
        return why


def folder_faults(placed: Placed, entries: dict[int, Entry], keep: int) -> list[str]:
    """What lies in the models' folders and should not, or should and does not."""
    rejected = sorted(number for number, one in entries.items() if one.fate == "rejected")
    wanted = {f"rejected-{number}" for number in rejected[-keep:]}
    if placed.shards:
        found = _differing(placed.root.path, wanted | {SHARD_MAP, *placed.parts})
        wanted = set()
    else:
        found = []
    for name, folder in placed.parts.items():
        there = folder.versions()
        claimed = {path.name.removeprefix(".claim-") for path in folder.path.glob(".claim-*")}
        damaged = {number for number, one in entries.items() if one.fate == "corrupt" and name in one.models}
        names = wanted | {str(number) for number in there}
        names |= {f"manifest-{number}.json" for number in there if number not in damaged}
        found += _differing(folder.path, names, {f"manifest-{number}.json" for number in claimed})
        mine = sorted(number for number, one in entries.items() if name in one.models)
        if there != mine[-len(there) :] or not 0 < len(there) <= keep + 1:  # a corrupt one may have come since
            found.append(f"{folder.path.name} has versions {there} of {mine}")
    return found


def _differing(folder: Path, wanted: set[str], allowed: set[str] | frozenset[str] = frozenset()) -> list[str]:
    """Names in a folder that should not be there, and such that should; a claim may be of a command that was killed."""
    names = {path.name for path in folder.iterdir() if not path.name.startswith((".lock", ".claim-"))}
    found = [f"{name} is left in {folder.name}" for name in sorted(names - wanted - allowed)]
    return found + [f"{name} is missing in {folder.name}" for name in sorted(wanted - names)]
