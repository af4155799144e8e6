"""Batch jobs on gs://: from input to output, and one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from preprocessing.command.console import UserError
from serving.batch import lease as leases
from serving.batch.answer_files import read_table
from serving.batch.input_files import find
from serving.batch.jobs import embed_job
from serving.batch.lease import Lease, leased
from serving.batch.output_folder import BatchFolder
from serving.batch.run import run
from tests.cloud.fake_storage import serving
from tests.serving.runtime.small_model import write_version

OUTPUT = "gs://shop/vectors"
LOCK = ("shop", "vectors/.lock")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("cloud")
    with serving(folder) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models")
    write_version(folder, 1, ["a", "b"])
    return str(folder)


def test_a_job_from_gs_to_gs(cloud: Any, model: str, tmp_path: Path) -> None:
    rows = [{"item_id": f"i{number}", "title": f"title {number}"} for number in range(30)]
    lines = [orjson.dumps(row) for row in rows]
    cloud.storage.put("shop", "raw/catalog-1.jsonl", b"\n".join(lines[:20]))
    cloud.storage.put("shop", "raw/catalog-2.jsonl", b"\n".join([*lines[20:], b"broken"]))
    for written in (30, 0):
        job = embed_job(None, model, 64, output=OUTPUT, format="parquet", shards=2)
        outcome = run(job, find("gs://shop/raw/catalog-*.jsonl"))
        assert outcome is not None and outcome.changed == bool(written)
        assert outcome.manifest["counts"]["computed"] == written and outcome.manifest["rejected"] == {"unparsable": 1}
        assert cloud.storage.names(OUTPUT) == {"batch.json", "rejected-00001.jsonl", *outcome.manifest["files"]}
    tables = [read_table(path) for path in BatchFolder(OUTPUT).files()]
    assert {one for table in tables for one in table["item_id"].to_pylist()} == {row["item_id"] for row in rows}


def test_one_run_at_a_time(cloud: Any) -> None:
    with leased(OUTPUT, "--output"), pytest.raises(UserError, match="another run is at work there"):  # noqa: SIM117
        with BatchFolder(OUTPUT).locked():
            pass
    assert LOCK not in cloud.storage.objects
    with leased(OUTPUT, "--output"):
        assert LOCK in cloud.storage.objects


def test_a_killed_run_is_followed_by_another(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = Lease(f"{OUTPUT}/.lock")
    assert killed.take()
    killed.renew()
    assert not killed.lost and not Lease(f"{OUTPUT}/.lock").take()
    monkeypatch.setattr(leases, "LIVES_S", -1.0)
    with leased(OUTPUT, "--output") as lease:
        with pytest.raises(UserError, match="took this one for dead"):
            killed.check()
        killed.release()  # which is no longer its own
        lease.check()
        assert LOCK in cloud.storage.objects
    assert LOCK not in cloud.storage.objects


def test_an_attempt_whose_answer_was_lost_is_no_refusal(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client tries again by itself, and then meets the object that it has made."""
    lease = Lease(f"{OUTPUT}/.lock")
    cloud.storage.put(*LOCK, lease._token)
    assert lease.take()
    lease.check()
    lease.release()
    assert LOCK not in cloud.storage.objects
