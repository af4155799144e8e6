"""python -m serving.client: asks a served model. As a library, `Retriever` and `AsyncRetriever`.

Imports neither TensorFlow nor the rest of the project, so that it can be copied with `serving/retriever/` alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import gzip
import json
import sys
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

import grpc

from serving.retriever.answers import Answer, Hit
from serving.retriever.asynchronous import AsyncRetriever
from serving.retriever.blocking import Retriever
from serving.retriever.fuse_lists import BOTH, VECTOR, WORDS
from serving.retriever.request import User
from serving.retriever.retries import CallPolicy, RetrievalError
from serving.retriever.sharded import AsyncShardedRetriever

__all__ = [
    "Answer",
    "AsyncRetriever",
    "AsyncShardedRetriever",
    "CallPolicy",
    "Hit",
    "RetrievalError",
    "Retriever",
    "User",
]

_MISTAKE, _UNANSWERED = 2, 1
_FOUND_BY = {VECTOR: "vector", WORDS: "words", BOTH: "both"}
_HELP = """\
Asks a served model for the best items of a query, or for those most like an item, and shows them.

Each --target is a shard; servers of the same items go into one target, with commas between them. With several shards
the query is embedded once, searched in each of them, and the answers are merged by score.

examples:
  python -m serving.client "red running shoes"
  python -m serving.client "red running shoes" --k 5 --user history.json --catalog out/raw/catalog.jsonl.gz
  python -m serving.client "red running shoes" --allowed-brands Nordlys --price-max 80 --excluded-items i42 i7
  python -m serving.client --similar i42 --allowed-brands Nordlys
  python -m serving.client "red running shoes" --target a:8500,b:8500 c:8500,d:8500 --json
  python -m serving.client "red running shoes" --shards out/models/retrieval/shards.json

A --user file holds what the user did, newest first:
  {"history_queries": ["trainers"], "realtime_items": ["i7"], "short_items": [], "long_click_items": ["i3", "i9"]}
"""


class _Mistake(Exception):
    """The user's: one line."""


class _Flags(argparse.ArgumentParser):
    """As the other commands' flags, which are not there where this file was copied to: a mistake is one line."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> argparse.Namespace:  # type: ignore[override]
        """The flags."""
        given, rest = self.parse_known_args(args, namespace)
        if rest:
            name = rest[0].split("=")[0]
            meant = difflib.get_close_matches(name, self._option_string_actions, n=1)
            mend = f"did you mean {meant[0]!r}?" if meant else "put a query of several words in quotation marks"
            raise _Mistake(f"unknown {'flag' if name.startswith('-') else 'word'} {name}; {mend}")
        return given

    def error(self, message: str) -> NoReturn:
        """Instead of the usage and a message: the message."""
        raise _Mistake(f"{message}; see {self.prog} --help")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command's flags."""
    flags = _Flags(
        prog="python -m serving.client",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    flags.add_argument("query", nargs="?", help="what the user typed")
    flags.add_argument("--similar", metavar="ID", help="instead of a query an item: what is most like it")
    where = flags.add_mutually_exclusive_group()
    where.add_argument(
        "--target",
        nargs="+",
        default=["localhost:8500"],
        metavar="HOST:PORT,...",
        help="one target a shard (default localhost:8500)",
    )
    where.add_argument(
        "--shards", metavar="PATH", help="the shards.json of a sharded export: it says which servers have which models"
    )
    flags.add_argument("--model", default="retrieval", help="the model's name (default %(default)s)")
    which = flags.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, help="version of the model (default: the newest)")
    which.add_argument("--label", help="label of a version, such as canary")
    flags.add_argument("--k", type=int, default=10, help="how many items (default %(default)s)")
    flags.add_argument("--user", metavar="JSON", help="a file with the user's history")
    flags.add_argument(
        "--required-terms", nargs="+", default=[], metavar="TERM", help="words that title or brand must contain"
    )
    flags.add_argument(
        "--allowed-leaves", nargs="+", default=[], metavar="LEAF", help="leaf categories that items must be in"
    )
    flags.add_argument("--allowed-brands", nargs="+", default=[], metavar="BRAND", help="brands that items must be of")
    flags.add_argument(
        "--excluded-items", nargs="+", default=[], metavar="ID", help="items that are not wanted, such as those seen"
    )
    flags.add_argument("--price-min", type=float, metavar="PRICE", help="the least that items may cost")
    flags.add_argument("--price-max", type=float, metavar="PRICE", help="the most that items may cost")
    flags.add_argument("--catalog", metavar="JSONL", help="a catalogue file, .gz or not, to show titles from")
    flags.add_argument("--timeout", type=float, default=5.0, help="seconds for the whole call (default %(default)s)")
    flags.add_argument("--hedge-ms", type=float, help="ask a second server of the shard after so many milliseconds")
    flags.add_argument("--tls-ca", metavar="PEM", help="TLS: the certificate of the authority that signed the servers'")
    flags.add_argument("--tls-cert", metavar="PEM", help="mutual TLS: this client's certificate")
    flags.add_argument("--tls-key", metavar="PEM", help="mutual TLS: its key")
    flags.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return flags.parse_args(argv)


def credentials(flags: argparse.Namespace) -> grpc.ChannelCredentials | None:
    """Of TLS, where it is asked for."""
    if not flags.tls_ca:
        if flags.tls_cert or flags.tls_key:
            raise _Mistake("--tls-cert and --tls-key need --tls-ca as well")
        return None
    if bool(flags.tls_cert) != bool(flags.tls_key):
        raise _Mistake("--tls-cert and --tls-key belong together")
    ca, key, cert = (_read(path) if path else None for path in (flags.tls_ca, flags.tls_key, flags.tls_cert))
    return grpc.ssl_channel_credentials(ca, key, cert)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise _Mistake(f"{path} cannot be read: {error.strerror}") from None


def titles(path: str, wanted: Collection[str]) -> dict[str, str]:
    """The titles of some items, from a catalogue in JSON Lines."""
    found: dict[str, str] = {}
    opened = gzip.open if path.endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            for line in file:
                item = json.loads(line)
                if item.get("item_id") in wanted:
                    found[item["item_id"]] = item.get("title", "")
    except OSError as error:
        raise _Mistake(f"--catalog {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, AttributeError):
        raise _Mistake(f"--catalog {path} is not a catalogue in JSON Lines") from None
    return found


def ask(flags: argparse.Namespace) -> Answer:
    """One call."""
    if (flags.query is None) == (flags.similar is None):
        raise _Mistake("ask by a query or by --similar ID, one of them")
    if flags.similar is not None and flags.user:
        raise _Mistake("--user belongs to a query; what is like an item is the same for everybody")
    if flags.k < 1:
        raise _Mistake(f"--k {flags.k}: at least 1")
    if flags.timeout <= 0:
        raise _Mistake(f"--timeout {flags.timeout}: more than 0")
    if flags.shards and (flags.version is not None or flags.label):
        raise _Mistake("--shards names the version itself; leave --version and --label out")
    try:
        user = User.read(flags.user) if flags.user else User()
        hedge = None if flags.hedge_ms is None else flags.hedge_ms / 1000
        shared: dict[str, Any] = {
            "timeout": flags.timeout,
            "policy": CallPolicy(hedge_after=hedge),
            "credentials": credentials(flags),
        }
        if flags.shards:
            opened = Retriever(shards=flags.shards, **shared)
        else:
            opened = Retriever(flags.target, flags.model, version=flags.version, label=flags.label, **shared)
        conditions: dict[str, Any] = {
            name: getattr(flags, name)
            for name in ("required_terms", "allowed_leaves", "allowed_brands", "excluded_items")
        }
        conditions["price_range"] = (flags.price_min, flags.price_max)
        with opened as retriever:
            if flags.similar is not None:
                return retriever.similar(flags.similar, flags.k, **conditions)
            return retriever.retrieve(flags.query, user, flags.k, **conditions)
    except ValueError as error:
        raise _Mistake(str(error)) from None


def show(answer: Answer, names: dict[str, str] | None, as_json: bool) -> None:
    """The table, or JSON."""
    if as_json:
        hits = [
            {
                "rank": rank,
                **dataclasses.asdict(hit),
                **({"title": names.get(hit.item_id)} if names is not None else {}),
            }
            for rank, hit in enumerate(answer.hits, 1)
        ]
        print(json.dumps({"hits": hits, "partial": answer.partial, "missing": answer.missing}, ensure_ascii=False))
        return
    width = max([4, *(len(hit.item_id) for hit in answer.hits)])
    print(f"rank  {'score':>9}  found by  {'item':<{width}}" + ("  title" if names is not None else ""))
    for rank, hit in enumerate(answer.hits, 1):
        line = f"{rank:>4}  {hit.score:>9.4f}  {_FOUND_BY[hit.channels]:<8}  {hit.item_id:<{width}}"
        print(line if names is None else f"{line}  {names.get(hit.item_id, '(not in the catalogue)')}")
    if not answer.hits:
        print("nothing found")
    for shard, reason in answer.missing.items():
        print(f"partial: shard {shard} did not answer ({reason})", file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    try:
        flags = arguments(argv)
        answer = ask(flags)
        if not answer.known and not answer.partial:
            raise _Mistake(f"--similar {flags.similar}: this version has no such item")
        names = titles(flags.catalog, {hit.item_id for hit in answer.hits}) if flags.catalog else None
    except _Mistake as mistake:
        sys.stderr.write(f"error: {' '.join(str(mistake).split())}\n")
        return _MISTAKE
    except RetrievalError as error:
        mistaken = error.code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return _MISTAKE if mistaken else _UNANSWERED
    show(answer, names, flags.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
