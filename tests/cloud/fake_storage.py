"""Google Cloud Storage's JSON API over objects in memory, as far as Beam's and TensorFlow's clients use it.

Python's client is pointed here by STORAGE_EMULATOR_HOST. TensorFlow's has its host built in, so it comes through
this server as its proxy, and meets a certificate for Google's names that its environment tells it to trust.
"""

from __future__ import annotations

import base64
import datetime
import itertools
import json
import re
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import google_crc32c
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

_OBJECT = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)")
_COPY = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)/(?:rewriteTo|copyTo)/b/([^/]+)/o/([^/]+)")
_LISTING = re.compile(r"/storage/v1/b/([^/]+)/o")
_BUCKET = re.compile(r"/storage/v1/b/([^/]+)")
_UPLOAD = re.compile(r"/upload/storage/v1/b/([^/]+)/o")
_SESSION = re.compile(r"/upload/session/(\d+)")
_DOWNLOAD = re.compile(r"/download/storage/v1/b/([^/]+)/o/([^/]+)")
_PLAIN = re.compile(r"/([a-z0-9][a-z0-9._-]+)/(.+)")
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_HOSTS = ("www.googleapis.com", "storage.googleapis.com")
_PAGE = 7  # objects a page of a listing: every client must ask for more


class Storage:
    """The objects, by (bucket, name), and uploads under way."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.sessions: dict[int, tuple[str, str, bytearray]] = {}
        self.lock = threading.RLock()
        self._generation: dict[tuple[str, str], int] = {}
        self._updated: dict[tuple[str, str], str] = {}
        self._numbers = itertools.count(1)

    def put(self, bucket: str, name: str, content: bytes) -> dict[str, Any]:
        with self.lock:
            self.objects[bucket, name] = content
            self._generation[bucket, name] = next(self._numbers)
            self._updated[bucket, name] = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            return self.describe(bucket, name)

    def begin(self, bucket: str, name: str) -> int:
        with self.lock:
            number = next(self._numbers)
            self.sessions[number] = (bucket, name, bytearray())
            return number

    def describe(self, bucket: str, name: str) -> dict[str, Any]:
        content = self.objects[bucket, name]
        crc = google_crc32c.Checksum(content).digest()
        return {
            "kind": "storage#object",
            "bucket": bucket,
            "name": name,
            "size": str(len(content)),
            "generation": str(self._generation[bucket, name]),
            "updated": self._updated[bucket, name],
            "crc32c": base64.b64encode(crc).decode(),
        }

    def fits(self, bucket: str, name: str, query: dict[str, str]) -> bool:
        """Whether the object is of the generation that a change of it asks for; 0 asks that there be none."""
        wanted = query.get("ifGenerationMatch")
        there = (bucket, name) in self.objects
        return wanted is None or wanted == str(self._generation[bucket, name] if there else 0)

    def listing(self, bucket: str, query: dict[str, str]) -> dict[str, Any]:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        items, prefixes = [], set()
        with self.lock:
            for owner, name in sorted(self.objects):
                if owner != bucket or not name.startswith(prefix):
                    continue
                below = name.removeprefix(prefix)
                if delimiter and delimiter in below:
                    prefixes.add(prefix + below.split(delimiter)[0] + delimiter)
                else:
                    items.append(self.describe(bucket, name))
        begin = int(query.get("pageToken", 0))
        end = begin + min(_PAGE, int(query.get("maxResults", _PAGE)))
        page: dict[str, Any] = {"kind": "storage#objects", "items": items[begin:end]}
        if end < len(items):
            page["nextPageToken"] = str(end)
        elif prefixes:
            page["prefixes"] = sorted(prefixes)
        return page

    def names(self, prefix: str) -> set[str]:
        """The objects below `gs://bucket/folder`, by the rest of their names."""
        bucket, _, folder = prefix.removeprefix("gs://").partition("/")
        begin = f"{folder}/" if folder else ""
        return {name.removeprefix(begin) for owner, name in self.objects if owner == bucket and name.startswith(begin)}

    def read(self, path: str) -> bytes:
        bucket, _, name = path.removeprefix("gs://").partition("/")
        return self.objects[bucket, name]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    secure = False

    def log_message(self, *_: object) -> None:
        pass

    def do_CONNECT(self) -> None:
        """A proxy's tunnel; its other end is this server again."""
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")  # type: ignore[assignment]
        self.secure, self.close_connection = True, False

    def handle_expect_100(self) -> bool:
        answered = super().handle_expect_100()
        self.wfile.flush()  # or the client waits a second before it sends the rest
        return answered

    def do_any(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":  # TensorFlow sends a length with it, which is void
            body = self._chunks()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, headers, content = self.answer(self.command, self.path, dict(self.headers.items()), body)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_any

    def _chunks(self) -> bytes:
        content = b""
        while size := int(self.rfile.readline().strip(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, content) of one request."""
        url = urlsplit(target)
        query, path, storage = dict(parse_qsl(url.query)), url.path, self.server.storage
        self.server.seen.append(f"{method} {target}")
        if method == "POST" and path == "/token":
            return _json({"access_token": "token", "token_type": "Bearer", "expires_in": 3600})
        if method == "POST" and path == "/batch/storage/v1":
            return self._batch(headers, body)
        if method == "POST" and (found := _COPY.fullmatch(path)):
            source, name, other, copy = map(unquote, found.groups())
            with storage.lock:
                if (source, name) not in storage.objects:
                    return _missing()
                resource = storage.put(other, copy, storage.objects[source, name])
            return _json({"kind": "storage#rewriteResponse", "done": True, "resource": resource})
        if method == "POST" and (found := _UPLOAD.fullmatch(path)):
            return self._upload(unquote(found[1]), query, headers, body)
        if method == "PUT" and (found := _SESSION.fullmatch(path)):
            return self._part(int(found[1]), {name.lower(): value for name, value in headers.items()}, body)
        if method == "GET" and (found := _LISTING.fullmatch(path)):
            return _json(storage.listing(unquote(found[1]), query))
        if method == "GET" and (found := _BUCKET.fullmatch(path)):
            return _json({"kind": "storage#bucket", "name": found[1], "location": "EUROPE-WEST4"})
        if found := _OBJECT.fullmatch(path) or _DOWNLOAD.fullmatch(path) or _PLAIN.fullmatch(path):
            return self._object(method, unquote(found[1]), unquote(found[2]), query, headers, path)
        return 400, {}, f"unknown: {method} {target}".encode()

    def _object(
        self, method: str, bucket: str, name: str, query: dict[str, str], headers: dict[str, str], path: str
    ) -> tuple[int, dict[str, str], bytes]:
        storage = self.server.storage
        with storage.lock:
            if (bucket, name) not in storage.objects:
                return _missing()
            if method == "DELETE":
                if not storage.fits(bucket, name, query):
                    return _other_generation()
                del storage.objects[bucket, name]
                return 204, {}, b""
            if _OBJECT.fullmatch(path) and query.get("alt") != "media":
                return _json(storage.describe(bucket, name))
            content = storage.objects[bucket, name]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", next((v for k, v in headers.items() if k.lower() == "range"), ""))
        if not wanted:
            return 200, {}, content
        begin = int(wanted[1])
        if begin >= len(content):
            return 416, {"Content-Range": f"bytes */{len(content)}"}, b""
        part = content[begin : int(wanted[2]) + 1 if wanted[2] else None]
        return 206, {"Content-Range": f"bytes {begin}-{begin + len(part) - 1}/{len(content)}"}, part

    def _upload(
        self, bucket: str, query: dict[str, str], headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        storage = self.server.storage
        if query["uploadType"] == "resumable":
            name = query.get("name") or json.loads(body)["name"]
            root = f"https://{_HOSTS[0]}" if self.secure else self.server.url
            return 200, {"Location": f"{root}/upload/session/{storage.begin(bucket, name)}"}, b""
        kind = next(value for name, value in headers.items() if name.lower() == "content-type")
        if query["uploadType"] == "multipart":
            described, content = _parts(kind, body)
            name = json.loads(described)["name"]
            with storage.lock:
                if not storage.fits(bucket, name, query):
                    return _other_generation()
                return _json(storage.put(bucket, name, content))
        return _json(storage.put(bucket, query["name"], body))

    def _part(self, number: int, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """A part of a resumable upload, or the question how far it has come."""
        storage = self.server.storage
        with storage.lock:
            bucket, name, content = storage.sessions[number]
            found = _RANGE.fullmatch(headers.get("content-range", ""))
            if found and found[1]:
                assert int(found[1]) <= len(content), "a hole in an upload"
                content[int(found[1]) :] = body
            if found and (found[3] == "*" or int(found[3]) > len(content)):
                return 308, {"Range": f"bytes=0-{len(content) - 1}"} if content else {}, b""
            return _json(storage.put(bucket, name, bytes(content)))

    def _batch(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        kind = next(value for name, value in headers.items() if name.lower() == "content-type")
        answers = []
        for part in _parts(kind, body):
            line, _, rest = part.replace(b"\r\n", b"\n").partition(b"\n")
            method, target, _ = line.decode().split(" ")
            status, _, content = self.answer(method, urlsplit(target)._replace(scheme="", netloc="").geturl(), {}, rest)
            answers.append(
                b"--answer\r\nContent-Type: application/http\r\n\r\n"
                + f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n\r\n".encode()
                + content
            )
        closed = b"\r\n".join([*answers, b"--answer--\r\n"])
        return 200, {"Content-Type": "multipart/mixed; boundary=answer"}, closed


def _parts(kind: str, body: bytes) -> list[bytes]:
    message = BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    return [one.get_payload(decode=True) for one in message.get_payload()]  # type: ignore[union-attr, misc]


def _json(document: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()


def _other_generation() -> tuple[int, dict[str, str], bytes]:
    return 412, {"Content-Type": "application/json"}, b'{"error": {"code": 412, "message": "conditionNotMet"}}'


def _missing() -> tuple[int, dict[str, str], bytes]:
    return 404, {"Content-Type": "application/json"}, b'{"error": {"code": 404, "message": "No such object"}}'


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, storage: Storage, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.storage, self.seen = storage, list[str]()
        self.certificate, self.account = _certificate(folder), _account(folder, f"{self.url}/token")
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self.certificate)

    def handle_error(self, *_: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that has ended hangs up as it likes
            super().handle_error(*_)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes a process's clients come here."""
        return {
            "STORAGE_EMULATOR_HOST": self.url,
            "https_proxy": self.url,
            "no_proxy": "127.0.0.1",
            "CURL_CA_BUNDLE": self.certificate,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token",
            "GOOGLE_APPLICATION_CREDENTIALS": self.account,  # without any, Beam asks for them again for half a minute
            "NO_GCE_CHECK": "true",
        }


def _certificate(folder: Path) -> str:
    """A key and a certificate for Google's names, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a fake of Google's storage")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in _HOSTS]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "google.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + _secret(key))
    return str(path)


def _account(folder: Path, tokens: str) -> str:
    """A service account's file, whose tokens come from `tokens`."""
    secret = _secret(rsa.generate_private_key(65537, 2048)).decode()
    path = folder / "account.json"
    account = {"type": "service_account", "project_id": "shop-1", "client_email": "a@shop-1", "token_uri": tokens}
    path.write_text(json.dumps(account | {"private_key": secret}))
    return str(path)


def _secret(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@contextmanager
def serving(folder: Path) -> Iterator[_Server]:
    """The fake, listening on this machine until the end of the block."""
    server = _Server(Storage(), folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
