"""Runs the tests' Flink cluster by hand: `python tests/distributed/start_flink.py FILE`.

The Beam flags that send a pipeline there come into FILE, on one line. The cluster ends with this process.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from flink_artifacts import resolve
from flink_cluster import FlinkCluster


def main(path: Path) -> None:
    """Until it is stopped."""
    with tempfile.TemporaryDirectory() as folder:
        with FlinkCluster(resolve().jar, Path(folder), Path(__file__).parents[2]) as cluster:
            path.write_text(" ".join(cluster.beam_args()) + "\n")
            sys.stderr.write(f"the flags are in {path}; logs are in {folder}/logs\n")
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
        path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
