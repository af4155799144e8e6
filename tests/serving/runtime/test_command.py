"""The commands as a person starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from serving.runtime.server_flags import arguments
from serving.runtime.settings import settings_of

ROOT = Path(__file__).parents[3]


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600
    )


@pytest.fixture(scope="module")
def served(models: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`python -m serving.server` on a free port, and its address."""
    command = [sys.executable, "-m", "serving.server", "--model-base-path", str(models), "--model_name=retrieval"]
    command += ["--port", "auto", "--rest-api-port", "auto"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("serving {'retrieval': [1]} on gRPC 127.0.0.1:"), line
        yield process, line.split("gRPC ")[1].split(",")[0].strip()
        process.kill()


def test_the_client_shows_a_table_and_json(served: tuple[subprocess.Popen[str], str], tmp_path: Path) -> None:
    _, target = served
    catalog, user = tmp_path / "catalog.jsonl", tmp_path / "user.json"
    items = [{"item_id": f"item{i}", "title": f"Title {i}"} for i in range(299)]
    catalog.write_text("\n".join(map(json.dumps, items)))
    user.write_text(json.dumps({"realtime_items": ["item1"], "history_queries": ["a", "b", "c", "d"]}))
    plain = run("serving.client", "red shoes", "--target", target, "--k", "3", "--catalog", str(catalog))
    assert plain.returncode == 0, plain.stderr
    lines = plain.stdout.splitlines()
    assert lines[0].split() == ["rank", "score", "found", "by", "item", "title"]
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3"]
    assert all("Title" in line or "item299" in line for line in lines[1:])
    similar = run("serving.client", "--similar", "item7", "--target", target, "--k", "3", "--catalog", str(catalog))
    assert (similar.returncode, len(similar.stdout.splitlines())) == (0, 4) and "item7 " not in similar.stdout
    answer = json.loads(run("serving.client", "red shoes", "--target", target, "--user", str(user), "--json").stdout)
    assert (len(answer["hits"]), answer["partial"], answer["missing"]) == (10, False, {})


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--k", "0"], "--k 0"),
        (["--user", "nowhere.json"], "nowhere.json cannot be read"),
        (["--model", "other"], "NOT_FOUND"),
        (["--required-terms", "a", "b", "c"], "3 given, this model takes 2"),
        (["--price-min", "9", "--price-max", "4"], "the lower end comes first"),
        (["--tls-cert", "x"], "--tls-ca"),
        (["--target", ","], "at least one target"),
        (["--similar", "item7"], "ask by a query or by --similar ID"),
    ],
)
def test_mistakes_of_the_clients_user(
    served: tuple[subprocess.Popen[str], str], arguments: list[str], words: str
) -> None:
    found = run("serving.client", "red", *([] if "--target" in arguments else ["--target", served[1]]), *arguments)
    assert (found.returncode, found.stdout) == (2, "")
    assert words in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--similar", "nobody"], "--similar nobody: this version has no such item"),
        (["--similar", "item7", "--user", "x.json"], "--user belongs to a query"),
        ([], "ask by a query or by --similar ID"),
    ],
)
def test_mistakes_about_an_item(served: tuple[subprocess.Popen[str], str], arguments: list[str], words: str) -> None:
    found = run("serving.client", *arguments, "--target", served[1])
    assert (found.returncode, found.stdout, found.stderr.count("\n")) == (2, "", 1) and words in found.stderr


def test_nobody_answers() -> None:
    found = run("serving.client", "red", "--target", "127.0.0.1:1", "--timeout", "1")
    assert found.returncode == 1
    assert found.stderr.startswith("error: UNAVAILABLE from 127.0.0.1:1")
    assert found.stderr.count("\n") == 1


def test_the_client_needs_grpc_alone() -> None:
    code = (
        "import sys, serving.client\n"
        "heavy = {'tensorflow', 'numpy', 'preprocessing', 'trainer', 'google.protobuf', 'rich', 'yaml'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert found.stdout.strip() == "[]", found.stderr


def test_a_signal_ends_the_server_in_order(served: tuple[subprocess.Popen[str], str]) -> None:
    process, _ = served
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 0


def test_mistakes_of_the_servers_user(tmp_path: Path) -> None:
    found = run("serving.server", "--model-base-path", str(tmp_path / "nowhere"))
    assert (found.returncode, found.stderr.count("\n")) == (2, 1)
    assert "is no folder" in found.stderr


def strangers(one: bool = False) -> Iterator[tuple[str, str]]:
    """A key and a certificate, of one pair or of two."""
    issued = [trustme.CA().issue_cert("localhost") for _ in range(2)]
    yield "server_key", issued[0].private_key_pem.bytes().decode()
    yield "server_cert", issued[0 if one else 1].cert_chain_pems[0].bytes().decode()


FILES = {
    "batching": "max_batch_size { value: 8 }\nbatch_timeout_micros { value: 100 }\nnum_batch_threads { value: 3 }",
    "padding": "pad_variable_length_inputs: true",
    "zero": "max_batch_size { value: 0 }",
    "last": "max_batch_size { value: 8 } allowed_batch_sizes: 2 allowed_batch_sizes: 4",
    "order": "max_batch_size { value: 8 } allowed_batch_sizes: [8, 4, 8]",
    "ssl": 'server_key: "x"',
    "pem": 'server_key: "x" server_cert: "y"',
    "pair": "".join(f"{name}: {pem!r}\n" for name, pem in strangers()),
    "ca": "".join(f"{name}: {pem!r}\n" for name, pem in strangers(one=True)) + 'custom_ca: "x"',
    "models": 'model_config_list { config { name: "m" base_path: "relative" } }',
    "empty": "",
}


@pytest.mark.parametrize(
    "flags, words",
    [
        ([], "give either"),
        (["--model_base_path", "BASE", "--model_config_file", "models"], "give either"),
        (["--model_base_path", "nowhere"], "is no folder"),
        (["--model_base_path", "."], "none of the versions wanted"),
        (["--model_config_file", "models"], "base_path relative must be absolute"),
        (["--model_config_file", "empty"], "no model_config_list"),
        (["--model_base_path", "BASE", "--batching_parameters_file", "padding"], "pad_variable_length_inputs"),
        (["--model_base_path", "BASE", "--batching_parameters_file", "zero"], "max_batch_size is 0"),
        (
            ["--model_base_path", "BASE", "--batching_parameters_file", "last"],
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 8",
        ),
        (["--model_base_path", "BASE", "--batching_parameters_file", "order"], "must be positive and increase"),
        (["--model_base_path", "BASE", "--batching_parameters_file", "nowhere"], "cannot be read"),
        (["--model_base_path", "BASE", "--ssl_config_file", "ssl"], "server_key and server_cert"),
        (["--model_base_path", "BASE", "--ssl_config_file", "pem"], "no key and its certificate in PEM"),
        (["--model_base_path", "BASE", "--ssl_config_file", "pair"], "no key and its certificate in PEM"),
        (["--model_base_path", "BASE", "--ssl_config_file", "ca"], "custom_ca is no certificate in PEM"),
        (["--model_base_path", "BASE", "--grpc_channel_arguments", "a"], "key=value"),
        (["--model_base_path", "BASE", "--max_k", "0"], "--max_k 0"),
        (["--model_base_path", "BASE", "--port", "70000"], "--port 70000"),
        (["--model_base_path", "BASE", "--rest_api_port", "-1"], "--rest_api_port -1"),
        (["--model_base_path", "BASE", "--port", "any"], "--port"),
        (["--model_base_path", "BASE", "--port", "0", "--rest_api_port", "auto"], "give --grpc_socket_path"),
        (["--model_base_path", "BASE", "--num_load_threads", "-1"], "--num_load_threads -1: at least 0"),
        (["--model_base_path", "gs://nowhere/models"], "is no folder"),
    ],
)
def test_wrong_flags(models: Path, tmp_path: Path, flags: list[str], words: str) -> None:
    from preprocessing.command.console import UserError

    with pytest.raises(UserError, match=words):
        settings_of(arguments(written(models, tmp_path, flags)))


def written(models: Path, tmp_path: Path, flags: list[str]) -> list[str]:
    """The flags with the paths of the files they name."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return [str(models) if one == "BASE" else str(tmp_path / one) if one in FILES else one for one in flags]


def test_flags_as_tensorflow_serving_spells_them(models: Path, tmp_path: Path) -> None:
    flags = ["--model_base_path", "BASE", "--model_name=m", "--batching_parameters_file", "batching"]
    settings = settings_of(arguments(written(models, tmp_path, [*flags, "--grpc_channel_arguments=grpc.x=1,grpc.y=z"])))
    assert settings.batching.max_batch_size == settings.limits.max_rows == 8
    assert (settings.batching.batch_timeout_micros, settings.batching.num_batch_threads) == (100, 3)
    assert settings.channel_arguments == (("grpc.x", 1), ("grpc.y", "z"))
    alone = ["--model-base-path", "BASE", "--enable-batching=false"]
    single = settings_of(arguments(written(models, tmp_path, alone)))
    assert (single.batching.max_batch_size, single.limits.max_rows) == (1, 4096)
