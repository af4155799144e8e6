"""The page over HTTP: itself, what can be picked on it, and its searches."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tensorflow_serving.apis import model_pb2

from serving.retriever.request import SIGNALS, User
from serving.runtime.grpc_server import ModelServer
from serving.runtime.status import invalid, not_found
from serving.runtime.ui.files import Catalogue
from serving.runtime.ui.judged_figures import DEPTH, Grades, scored
from serving.runtime.ui.reasons import Asked, Reasons, Words

PATH = "/ui"
_PARTS = Path(__file__).with_name("page")
_SCRIPTS = ("hits", "search", "judged", "begin")  # in this order
_MOST_ITEMS, _MOST_OFFERED, _MOST_JUDGED = 200, 1_000, 1_000
_LONGEST_BODY = 1 << 20  # bytes
# Nothing from elsewhere is loaded, nothing is sent elsewhere, and no other site can frame the page.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

Body = TypeVar("Body", bound=BaseModel)


class SearchBody(BaseModel):
    """What the page sends."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: str
    model: str
    version: int | None = Field(None, ge=0, lt=1 << 63)
    item: str | None = None
    user: str | None = None
    past: dict[str, list[str]] | None = None
    k: int = Field(10, ge=1, le=_MOST_ITEMS)
    required_terms: list[str] = []
    allowed_leaves: list[str] = []
    allowed_brands: list[str] = []
    excluded_items: list[str] = []
    price_range: tuple[float | None, float | None] = (None, None)

    def conditions(self) -> dict[str, Any]:
        """As `retrieve` takes them."""
        return {
            "required_terms": self.required_terms,
            "allowed_leaves": self.allowed_leaves,
            "allowed_brands": self.allowed_brands,
            "excluded_items": self.excluded_items,
            "price_range": [math.nan if end is None else end for end in self.price_range],
        }


class JudgedBody(BaseModel):
    """Which version's figures the page wants."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    version: int | None = Field(None, ge=0, lt=1 << 63)


class Ui:
    """The page of a server."""

    def __init__(
        self,
        server: ModelServer,
        catalogue: Catalogue,
        users: dict[str, User],
        timeout: float,
        judged: Grades | None = None,
    ) -> None:
        self._server, self._catalogue, self._users, self._timeout = server, catalogue, users, timeout
        self._judged = judged or {}
        self._reasons = Reasons(server.predictor, catalogue, Words())

    def routes(self) -> list[web.RouteDef]:
        """What the REST port answers besides."""
        return [
            web.get(PATH, self._page),
            web.get(f"{PATH}/choices", self._choices),
            web.post(f"{PATH}/search", self._search),
            web.post(f"{PATH}/judged", self._figures),
        ]

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(
            body=whole_page(),
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
        counts = {"all_users": len(self._users), "items": len(self._catalogue), "judged": len(self._judged)}
        return _json({"models": models, "users": users} | counts)

    async def _search(self, request: web.Request) -> web.Response:
        body = _parsed(SearchBody, await request.clone(client_max_size=_LONGEST_BODY).read())
        user = User() if body.item else self._user(body)
        asked = Asked("" if body.item else body.query, user, body.k, body.conditions(), self._timeout, body.item or "")
        answer = await self._run(self._reasons.ask, _spec(body), asked)
        grades = self._judged.get(asked.query, {})
        for hit in answer["hits"]:
            if hit["item_id"] in grades:
                hit["grade"] = grades[hit["item_id"]]
        return _json(answer | self._past(user))

    def _user(self, body: SearchBody) -> User:
        """Whose past was written on the page, or stands in the file; nobody in particular without."""
        if body.past is not None:
            try:
                return User.of(body.past, "past")
            except ValueError as error:
                raise invalid(str(error)) from None
        if body.user is None:
            return User()
        if body.user not in self._users:
            raise not_found(f"user {body.user[:100]} is not in the file of --ui_users")
        return self._users[body.user]

    async def _figures(self, request: web.Request) -> web.Response:
        """How good a version's answers to the judged queries are."""
        body = _parsed(JudgedBody, await request.clone(client_max_size=_LONGEST_BODY).read())
        queries = list(self._judged)[:_MOST_JUDGED]
        found = await self._run(self._reasons.answers, _spec(body), queries, DEPTH, self._timeout)
        answers = found.pop("answers")
        return _json(found | scored(answers, self._judged))

    async def _run(self, work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
        with self._server.admission:
            return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)

    def _past(self, user: User) -> dict[str, dict[str, list[str]]]:
        """What a user did: as it is sent, and with items by title where the catalogue has one."""
        told = {name: values for name, values in dataclasses.asdict(user).items() if name not in SIGNALS}
        lists = {name: list(values) for name, values in told.items() if values}
        titles = {
            name: values if name == "history_queries" else [self._catalogue.title(one) or one for one in values]
            for name, values in lists.items()
        }
        return {"lists": lists, "past": titles}


def whole_page() -> bytes:
    """The page's parts as one file, which loads nothing."""
    page = (_PARTS / "page.html").read_text(encoding="utf-8")
    scripts = "".join((_PARTS / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    style = (_PARTS / "style.css").read_text(encoding="utf-8")
    return page.replace("/* style.css */", style).replace("/* scripts */", scripts).encode()


def _spec(body: SearchBody | JudgedBody) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=body.model)
    if body.version is not None:
        spec.version.value = body.version
    return spec


def _parsed(kind: type[Body], data: bytes) -> Body:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise invalid(f"{'.'.join(map(str, first['loc'])) or 'the body'}: {first['msg']}") from None


def _json(content: Any) -> web.Response:
    return web.Response(body=orjson.dumps(content), content_type="application/json")
