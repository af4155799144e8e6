"""What a label means: a number, then a stage of the request, then a grade of 0 to 3 for the evaluation."""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from preprocessing.adapters.read_table import Row
from preprocessing.command.console import UserError, nearest

STAGES = ("ordered", "clicked")  # highest first; what is below both was shown
GRADES = ("3", "2", "1")
Thresholds = Sequence[tuple[str, float]]


class Labels(NamedTuple):
    """The mapping that the user chose."""

    names: Mapping[str, float]  # of labels that are words
    stages: Thresholds
    grades: Thresholds  # none: the label itself is the grade

    def number(self, row: Row, field: str) -> float:
        """The label of a row as a number."""
        value = row.fields.get(field)
        if isinstance(value, str) and value.strip() in self.names:
            return self.names[value.strip()]
        try:
            return row.number_in(field)
        except UserError:
            if value is None or not self.names:
                raise
            row.wrong(f"{field} is {value!r}{nearest(str(value), self.names)}")

    def stage(self, label: float) -> str:
        """ordered, clicked or shown."""
        return _highest(self.stages, label) or "shown"

    def grade(self, label: float) -> float:
        """0 to 3, as `trainer.evaluate --judgments` reads it: from 2 on an item is relevant."""
        if self.grades:
            return float(_highest(self.grades, label) or 0)
        if not 0 <= label <= 3:
            raise UserError(
                f"label {label:g} is no grade of 0 to 3; say with --grades what the labels mean, "
                "as in --grades '3>=100,2>=10,1>=1'"
            )
        return label


def _highest(thresholds: Thresholds, label: float) -> str | None:
    return next((name for name, least in thresholds if label >= least), None)


def thresholds(flag: str, text: str, known: Sequence[str]) -> Thresholds:
    """Reads `name>=number,...`; a higher name needs a higher number.

    >>> thresholds("--stages", "ordered>=3,clicked>=2.33", STAGES)
    [('ordered', 3.0), ('clicked', 2.33)]
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, sign, number = (one.strip() for one in part.partition(">="))
        if not sign:
            raise UserError(f"{flag} {text!r}: expected name>=label with commas between, as in '{known[0]}>=3'")
        if name not in known:
            raise UserError(f"{flag} {text!r}: unknown {name!r}{nearest(name, known)}")
        found[name] = _finite(flag, text, number)
    ordered = [(name, found[name]) for name in known if name in found]
    for (higher, more), (lower, less) in itertools.pairwise(ordered):
        if more <= less:
            raise UserError(f"{flag} {text!r}: {higher} must ask for a higher label than {lower}")
    return ordered


def names(text: str) -> dict[str, float]:
    """Reads `Word=number,...`."""
    found = {}
    for part in filter(None, text.split(",")):
        word, equals, number = (one.strip() for one in part.partition("="))
        if not equals or not word:
            raise UserError(f"--labels {text!r}: expected word=number with commas between, as in 'Exact=3,Partial=2'")
        found[word] = _finite("--labels", text, number)
    return found


def _finite(flag: str, text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{flag} {text!r}: {number!r} is not a number")
    return value


def add_flags(flags: argparse.ArgumentParser, stages: str, labels: str = "", grades: str = "") -> None:
    """--labels, --stages and --grades, with a format's defaults."""
    flags.add_argument(
        "--labels", default=labels, help="numbers of labels that are words, as 'Exact=3' (default '%(default)s')"
    )
    flags.add_argument(
        "--stages", default=stages, help="from which label on an item is ordered, clicked (default '%(default)s')"
    )
    flags.add_argument(
        "--grades", default=grades, help="from which label on a grade holds, as '3>=100'; none: the label is the grade"
    )


def read_flags(given: argparse.Namespace) -> Labels:
    """The mapping, from `add_flags`."""
    return Labels(
        names(given.labels),
        thresholds("--stages", given.stages, STAGES),
        thresholds("--grades", given.grades, GRADES) if given.grades else (),
    )
