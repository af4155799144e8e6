"""How every command meets a person: one clear line on a mistake, a progress bar on a wait."""

from __future__ import annotations

import atexit
import contextlib
import difflib
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

USER_MISTAKE = 2
# absl's notes and warnings before its set-up, and the line that announces them.
_NATIVE_NOTE = re.compile(rb"[IW]\d{4} \d\d:\d\d:\d\d\.|[IW]0000 00:00:|WARNING: All log messages before absl::")


class UserError(Exception):
    """A mistake of the user's: its text names the file, field or flag and the mend."""


class Advance:
    """Moves one progress bar; silent where nobody watches."""

    def __init__(self, progress: Progress | None, task: int | None) -> None:
        self._progress = progress
        self._task = task

    def advance(self, steps: float = 1) -> None:
        """Moves the bar by `steps`."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, steps)  # type: ignore[arg-type]


@contextlib.contextmanager
def progress(description: str, total: float | None) -> Iterator[Advance]:
    """Shows a bar of `total` steps on a terminal; elsewhere one line at the end of the wait.

    >>> with progress("searches", total=10) as bar:
    ...     bar.advance(10)
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Advance(None, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn() if total else TextColumn(""),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        yield Advance(bars, bars.add_task(description, total=total))


@contextlib.contextmanager
def counted_progress(description: str, total: float, count: Callable[[], int]) -> Iterator[None]:
    """A bar of what has come out so far, counted each second; it comes late, so the clock tells that work goes on."""
    done = threading.Event()

    def watch() -> None:
        seen = 0
        while not done.wait(1):
            with contextlib.suppress(Exception):  # a bar must never end the work
                now = count()
                bar.advance(now - seen)
                seen = now

    with progress(description, total) as bar:
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def quiet_libraries() -> None:
    """Silences the libraries' notes to their own developers; what concerns the user still shows."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    warnings.filterwarnings("ignore", category=FutureWarning)


def quiet_native_code() -> None:
    """Keeps what native libraries write to their own developers off stderr; warnings of other kinds and errors pass.

    They log before anybody could set a level, straight to file descriptor 2; children started later inherit the filter.
    """
    terminal = os.dup(2)
    read_end, write_end = os.pipe()
    os.dup2(write_end, 2)
    os.close(write_end)
    sys.stderr = os.fdopen(terminal, "w", buffering=1, closefd=False)
    thread = threading.Thread(target=_pass_on, args=(read_end, terminal), daemon=True)
    thread.start()

    def restore() -> None:
        os.dup2(terminal, 2)  # ends the pipe: what is still in it is passed on
        thread.join(timeout=1)

    atexit.register(restore)


def _pass_on(source: int, target: int) -> None:
    with os.fdopen(source, "rb") as lines:
        for line in lines:
            if not _NATIVE_NOTE.match(line):
                os.write(target, line)


def fail(message: str, status: int = USER_MISTAKE) -> NoReturn:
    """Ends the command with one line on stderr."""
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    raise SystemExit(status)


def run_command(main: Callable[[list[str] | None], int | None]) -> NoReturn:
    """Runs a command's `main(argv)`; a `UserError` or a file that cannot be had is told in a line, with status 2."""
    quiet_libraries()
    try:
        raise SystemExit(main(None) or 0)
    except UserError as error:
        fail(str(error))
    except OSError as error:
        if not error.filename:
            raise
        fail(f"{os.fsdecode(error.filename)}: {error.strerror}")
    except KeyboardInterrupt:
        fail("interrupted; run the same command again to go on", status=130)


def nearest(word: str, known: Iterable[str]) -> str:
    """A suggestion to put behind an unknown `word`."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known here: {', '.join(known)}"
