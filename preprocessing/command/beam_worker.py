"""A worker process of the local runner: its log goes to the runner, and nothing to standard error."""

from __future__ import annotations

import gc
import logging
import sys

gc.set_threshold(100_000)  # imports and batches of tuples leave no cycles worth looking for at every 700th object
# Before Beam is imported: it logs on import, and with no handler there that would set one up for standard error.
logging.getLogger().addHandler(logging.NullHandler())

from apache_beam.runners.worker import sdk_worker_main  # noqa: E402

if __name__ == "__main__":
    sdk_worker_main.main(sys.argv)
