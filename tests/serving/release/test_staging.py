"""Folders aside: whose owner lives stays, whose owner is dead goes."""

from __future__ import annotations

import os
from pathlib import Path

from serving.release.staging import staging


def test_whose_owner_lives_stays(tmp_path: Path) -> None:
    with staging(tmp_path) as one, staging(tmp_path) as other:
        assert one != other and one.exists()
    far = tmp_path / ".staging-far"
    far.mkdir()
    (far / ".owner").write_text("another host 7\n")  # whose locks are not seen here
    with staging(tmp_path):
        assert far.exists()
    os.utime(far / ".owner", (0, 0))
    with staging(tmp_path):
        assert not far.exists()
