"""A lock in Cloud Storage: an object that only one can create, and that its holder renews for as long as it lives."""

from __future__ import annotations

import contextlib
import datetime
import threading
import uuid
from collections.abc import Iterator
from typing import Any

from preprocessing.command.console import UserError

LIVES_S = 300.0  # behind the last renewal; then its holder is taken for dead
RENEWED_S = 60.0


class Lease:
    """An object of this run's own."""

    def __init__(self, path: str) -> None:
        from google.cloud import storage  # with the gcp extra, as all that reads gs://

        bucket, _, name = path.removeprefix("gs://").partition("/")
        self._blob = storage.Client().bucket(bucket).blob(name)
        self._token = uuid.uuid4().hex.encode()
        self.lost = False

    def take(self) -> bool:
        """Creates the object, or takes it over from a holder that is gone; whether it is this run's now."""
        if self._write(0):
            return True
        held = self._blob.bucket.get_blob(self._blob.name)
        if held is None:  # let go just now
            return self._write(0)
        age = datetime.datetime.now(datetime.UTC) - held.updated
        return age.total_seconds() > LIVES_S and self._write(held.generation)

    def renew(self) -> None:
        """Shows that this run lives; one that was taken for dead has lost its lease."""
        self.lost = self.lost or not self._write(self._blob.generation)

    def check(self) -> None:
        """Raises where another run has taken over."""
        self.renew()
        if self.lost:
            raise UserError("another run took this one for dead and works on its output; this one leaves it to that")

    def release(self) -> None:
        """Lets go of what is still this run's."""
        from google.api_core.exceptions import NotFound, PreconditionFailed

        with contextlib.suppress(NotFound, PreconditionFailed):
            self._blob.delete(if_generation_match=self._blob.generation)

    def _write(self, generation: int) -> bool:
        """Whether the object was of that generation (0: not there), and is this run's now."""
        from google.api_core.exceptions import NotFound, PreconditionFailed

        try:
            self._blob.upload_from_string(self._token, if_generation_match=generation)
        except PreconditionFailed:
            now: Any = self._blob.bucket.get_blob(self._blob.name)
            try:
                if now is None or now.download_as_bytes() != self._token:
                    return False
            except NotFound:
                return False
            self._blob = now  # the answer to an earlier attempt was lost on its way, not the attempt
        return True


@contextlib.contextmanager
def leased(folder: str, flag: str) -> Iterator[Lease]:
    """Holds a folder on gs://."""
    lease = Lease(f"{folder}/.lock")
    if not lease.take():
        minutes = f"{LIVES_S / 60:.0f} minutes"
        raise UserError(
            f"{flag} {folder}: another run is at work there; wait for its end, or {minutes} if it was killed"
        )
    done = threading.Event()

    def live() -> None:
        while not done.wait(RENEWED_S):
            with contextlib.suppress(OSError):  # a failure of the network; there are several more attempts in time
                lease.renew()

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join()
        lease.release()
