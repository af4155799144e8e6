"""What a person sees of a running job: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY_S = 10.0


class Display:
    """Shows how far the steps are."""

    def __init__(self, bars: Progress | None, total: int, done: int, name: str) -> None:
        self._bars = bars
        self._total = total
        self._recall: float | None = None
        self._begun, self._first, self._line_at = time.monotonic(), done, 0.0
        if bars is not None:
            self._task = bars.add_task(name, total=total, completed=done, state="")

    def step(self, done: int, loss: float, speed: float) -> None:
        """Steps were made; the speed is in examples a second."""
        state = f"{speed:,.0f} examples/s  loss {loss:.4f}"
        if self._recall is not None:
            state += f"  recall {self._recall:.4f}"
        if self._bars is not None:
            self._bars.update(self._task, completed=done, state=state)
        elif time.monotonic() - self._line_at >= _LINE_EVERY_S or done >= self._total:
            self._line_at = time.monotonic()
            left = (self._line_at - self._begun) / max(1, done - self._first) * (self._total - done)
            _say(f"step {done}/{self._total}  {state}  {left:.0f} s left")

    def recall(self, step: int, figure: str, recall: float, best: bool) -> None:
        """A validation came out."""
        self._recall = recall
        line = f"step {step}: {figure} {recall:.4f}{' (best)' if best else ''}"
        if self._bars is not None:
            self._bars.console.print(line, highlight=False)
        else:
            _say(line)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def display(name: str, total: int, done: int, shown: bool = True) -> Iterator[Display]:
    """The display of a run of `total` steps of which `done` are made."""
    console = Console(stderr=True, quiet=not shown)
    if not console.is_terminal or not shown:
        yield Display(None, total, done, name) if shown else _Silent()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        yield Display(bars, total, done, name)


class _Silent(Display):
    """For workers that nobody watches."""

    def __init__(self) -> None:
        pass

    def step(self, done: int, loss: float, speed: float) -> None:
        pass

    def recall(self, step: int, figure: str, recall: float, best: bool) -> None:
        pass
