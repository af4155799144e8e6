"""Plain HTTP with the standard library alone."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any


class Http:
    """GET and POST of JSON."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> tuple[int, Any]:
        return self._ask(urllib.request.Request(self._base + path))

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._ask(urllib.request.Request(self._base + path, data=data))

    def raw(self, path: str, body: Any) -> tuple[int, str]:
        request = urllib.request.Request(self._base + path, data=json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()

    def headers(self, method: str, path: str) -> Any:
        with urllib.request.urlopen(urllib.request.Request(self._base + path, method=method), timeout=30) as answer:
            return answer.headers

    def text(self, path: str) -> str:
        with urllib.request.urlopen(self._base + path, timeout=30) as answer:
            return answer.read().decode()

    def _ask(self, request: urllib.request.Request) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())
