"""The books: what became of every version, and whether its answers held what it was made of and nothing else."""

from __future__ import annotations

import collections
import sys
import threading
from dataclasses import dataclass, field

from serving.release.versions import ModelFolder

FILTERED_K = 200  # more than a leaf has items: a filtered request is answered by all of its leaf


@dataclass(frozen=True)
class Entry:
    """A version by who made it: a command that published it, the gate that turned it down, or a fault."""

    number: int
    origin: str
    day: int
    fate: str  # published, rejected or corrupt
    items: frozenset[str] = frozenset()  # what its answers may hold


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
        return {name: fates[name] for name in ("published", "rejected", "corrupt")} | {"served": len(served)}

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
            served = seen.answers or seen.available
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


def folder_faults(folder: ModelFolder, entries: dict[int, Entry], keep: int) -> list[str]:
    """What lies in the model folder and should not, or should and does not."""
    there = folder.versions()
    names = {path.name for path in folder.path.iterdir() if not path.name.startswith((".lock", ".claim-"))}
    placed = sorted(number for number, one in entries.items() if one.fate != "rejected")
    rejected = sorted(number for number, one in entries.items() if one.fate == "rejected")
    wanted = {f"rejected-{number}" for number in rejected[-keep:]}
    for number in there:
        by_hand = number in entries and entries[number].fate == "corrupt"
        wanted |= {str(number)} if by_hand else {str(number), f"manifest-{number}.json"}
    found = [f"{name} is left in the model folder" for name in sorted(names - wanted)]
    found += [f"{name} is missing in the model folder" for name in sorted(wanted - names)]
    if there != placed[-len(there) :] or not 0 < len(there) <= keep + 1:  # a corrupt one may have come since
        found.append(f"the model folder has versions {there} of {placed}")
    return found
