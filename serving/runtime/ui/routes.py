"""The page over HTTP: itself, what can be picked on it, and its searches."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tensorflow_serving.apis import model_pb2

from serving.retriever.request import SIGNALS, User
from serving.runtime.grpc_server import ModelServer
from serving.runtime.status import invalid, not_found
from serving.runtime.ui.files import Catalogue
from serving.runtime.ui.reasons import Asked, Reasons, Words

PATH = "/ui"
_PAGE = Path(__file__).with_name("page.html")
_MOST_ITEMS, _MOST_OFFERED = 200, 1_000
_LONGEST_BODY = 1 << 20  # bytes
# Nothing from elsewhere is loaded, nothing is sent elsewhere, and no other site can frame the page.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class SearchBody(BaseModel):
    """What the page sends."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: str
    model: str
    version: int | None = Field(None, ge=0, lt=1 << 63)
    user: str | None = None
    k: int = Field(10, ge=1, le=_MOST_ITEMS)
    required_terms: list[str] = []
    allowed_brands: list[str] = []
    excluded_items: list[str] = []
    price_range: tuple[float | None, float | None] = (None, None)

    def conditions(self) -> dict[str, Any]:
        """As `retrieve` takes them."""
        return {
            "required_terms": self.required_terms,
            "allowed_leaves": (),
            "allowed_brands": self.allowed_brands,
            "excluded_items": self.excluded_items,
            "price_range": [math.nan if end is None else end for end in self.price_range],
        }


class Ui:
    """The page of a server."""

    def __init__(self, server: ModelServer, catalogue: Catalogue, users: dict[str, User], timeout: float) -> None:
        self._server, self._catalogue, self._users, self._timeout = server, catalogue, users, timeout
        self._reasons = Reasons(server.predictor, catalogue, Words())

    def routes(self) -> list[web.RouteDef]:
        """What the REST port answers besides."""
        return [
            web.get(PATH, self._page),
            web.get(f"{PATH}/choices", self._choices),
            web.post(f"{PATH}/search", self._search),
        ]

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(
            body=_PAGE.read_bytes(),
            content_type="text/html",
            charset="utf-8",
            headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"},
        )

    async def _choices(self, request: web.Request) -> web.Response:
        models = [
            {"model": name, "versions": versions[::-1]}
            for name, versions in self._server.manager.available().items()
            if versions
        ]
        users = list(self._users)[:_MOST_OFFERED]
        return _json({"models": models, "users": users, "all_users": len(self._users), "items": len(self._catalogue)})

    async def _search(self, request: web.Request) -> web.Response:
        body = _parsed(await request.clone(client_max_size=_LONGEST_BODY).read())
        if body.user is None:
            user = User()
        elif body.user in self._users:
            user = self._users[body.user]
        else:
            raise not_found(f"user {body.user[:100]} is not in the file of --ui_users")
        spec = model_pb2.ModelSpec(name=body.model)
        if body.version is not None:
            spec.version.value = body.version
        asked = Asked(body.query, user, body.k, body.conditions(), self._timeout)
        with self._server.admission:
            answer = await asyncio.get_running_loop().run_in_executor(None, self._reasons.ask, spec, asked)
        return _json(answer | {"past": self._past(user)})

    def _past(self, user: User) -> dict[str, list[str]]:
        """What a user did, items by title where the catalogue has one."""
        told = {name: values for name, values in dataclasses.asdict(user).items() if name not in SIGNALS}
        lists = {name: list(values) for name, values in told.items() if values}
        return {
            name: values if name == "history_queries" else [self._catalogue.title(one) or one for one in values]
            for name, values in lists.items()
        }


def _parsed(data: bytes) -> SearchBody:
    try:
        return SearchBody.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise invalid(f"{'.'.join(map(str, first['loc'])) or 'the body'}: {first['msg']}") from None


def _json(content: Any) -> web.Response:
    return web.Response(body=orjson.dumps(content), content_type="application/json")
