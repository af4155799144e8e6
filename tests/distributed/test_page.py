"""The page in a real headless Chromium: what a person sees of searches, users, empty answers and very long queries."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from browser import Page, missing_tool, opened

from tests.serving.runtime.small_model import write_version
from tests.serving.runtime.ui.page import write_files

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "out" / "pictures"
pytestmark = pytest.mark.skipif(missing_tool() is not None, reason=str(missing_tool()))
ITEMS = "document.querySelectorAll('li').length"
IDS = "[...document.querySelectorAll('.about')].map(one => one.textContent.split('·').pop().trim())"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of two models with its page."""
    folder = tmp_path_factory.mktemp("page")
    catalogue, users, judgments = write_files(folder)
    config = []
    for seed, name in enumerate(("first", "second"), 1):
        (folder / name).mkdir()
        write_version(folder / name, 1, seed=seed)
        config.append(f'config {{ name: "{name}" base_path: "{folder / name}" model_platform: "tensorflow" }}')
    (folder / "models").write_text(f"model_config_list {{ {' '.join(config)} }}")
    command = [sys.executable, "-m", "serving.server", "--model-config-file", str(folder / "models"), "--port", "auto"]
    command += ["--rest-api-port", "auto", "--ui", "--ui-catalog", str(catalogue), "--ui-users", str(users)]
    command += ["--ui-judgments", str(judgments)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split("page ")[1].strip()
        process.terminate()
        assert process.wait(60) == 0


def look(address: str, name: str, see: Callable[[Page], Awaitable[None]], width: int = 1280) -> None:
    """Opens the page, does something on it, keeps a picture; the page may not complain or ask elsewhere."""

    async def looked() -> None:
        async with opened(width) as page:
            await page.go(address)
            await page.until("document.querySelector('#versions input')")
            await see(page)
            await page.picture(PICTURES / f"{name}.png")
            for scheme in ("dark", "light"):
                await page.prefer(scheme)
                assert await page.barriers() == [], scheme
            assert page.complaints() == []
            assert {url.split("#")[0].rsplit("/ui")[0] for url in page.requested()} == {address.removesuffix("/ui")}

    asyncio.run(looked())


async def pick(page: Page, *places: int) -> None:
    """Checks the boxes of these versions alone."""
    boxes = "[...document.querySelectorAll('#versions input')]"
    await page.evaluate(f"{boxes}.forEach((one, place) => {{ one.checked = {list(places)}.includes(place); }})")


async def click(page: Page, what: str) -> None:
    """The first element that a selector finds."""
    await page.evaluate(f"document.querySelector({json.dumps(what)}).click()")


async def search(page: Page, items: int = 10, **fields: str) -> list[str]:
    """Fills in fields, presses Enter, waits for so many items; their ids."""
    for name, text in fields.items():
        await page.type(name, text)
    await page.evaluate("document.getElementById('columns').replaceChildren()")
    await page.press("Enter", 13)
    await page.until(f"document.querySelector('section') && {ITEMS} === {items}")
    return await page.evaluate(IDS)


def test_a_search(address: str) -> None:
    async def see(page: Page) -> None:
        await search(page, query="red thing")
        first = await page.evaluate("document.querySelector('li').innerText")
        assert "thing" in first.lower()
        assert "acme" in first
        assert await page.evaluate("document.querySelectorAll('mark').length") >= 10
        assert "first, version 1" in await page.evaluate("document.querySelector('h2').textContent")
        assert "ms in the server" in await page.evaluate("document.querySelector('.took').textContent")

    look(address, "search", see)


def test_a_changed_user(address: str) -> None:
    async def see(page: Page) -> None:
        nobody = await search(page, query="red thing")
        assert await page.evaluate("document.querySelectorAll('.horizon').length") == 0
        ann = await search(page, user="ann")
        assert "Blue thing 7" in await page.evaluate("document.querySelector('#past summary').innerText")
        horizons = "[...document.querySelectorAll('li:first-child .horizon')].map(one => one.textContent.split(' ')[0])"
        assert await page.evaluate(horizons) == ["today", "long-term"]
        assert await page.evaluate("document.querySelectorAll('li:first-child .most').length") == 1
        bob = await search(page, user="bob")
        assert "green things" in await page.evaluate("document.querySelector('#past summary').innerText")
        assert nobody != ann != bob

    look(address, "user", see)


def test_two_models_side_by_side(address: str) -> None:
    async def see(page: Page) -> None:
        await pick(page, 1, 3)  # of each model its version 1, not what is newest
        ids = await search(page, 20, query="red thing", user="ann")
        both = len(set(ids[:10]) & set(ids[10:]))
        assert (
            await page.evaluate("document.getElementById('shared').textContent") == f"{both} of 10 items are in both."
        )
        assert await page.evaluate("document.querySelectorAll('.only').length") == 2 * (10 - both)

    look(address, "two-models", see)


def test_an_empty_answer_and_one_that_is_refused(address: str) -> None:
    async def see(page: Page) -> None:
        await search(page, 0, query="red thing", terms="nothing")
        assert "Nothing found" in await page.evaluate("document.querySelector('section').innerText")
        await search(page, 0, terms="one two three")
        said = await page.evaluate("document.querySelector('.bad').textContent")
        assert said == "required_terms: 3 given, this model takes 2"

    look(address, "empty", see)


def test_a_very_long_query_on_a_narrow_screen(address: str) -> None:
    async def see(page: Page) -> None:
        await search(page, query="red " + "veryveryveryverylong" * 500 + " <b>thing</b> 连衣裙")
        assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert await page.evaluate("document.querySelectorAll('li b').length") == 0

    look(address, "long-query", see, width=420)


def test_three_versions_and_an_address_that_says_it_all(address: str) -> None:
    """Whoever opens the address sees what its sender saw."""

    async def see(page: Page) -> None:
        await pick(page, 0, 1, 3)
        await search(page, 30, query="red thing", user="ann", leaves="red_things, blue_things")
        assert await page.evaluate("document.querySelectorAll('section').length") == 3
        assert len((await page.evaluate("document.getElementById('shared').textContent")).split(",")) == 2
        ids, sent = await page.evaluate(IDS), await page.evaluate("location.href")
        await page.go("about:blank")
        await page.go(sent)
        await page.until(f"{ITEMS} === 30")
        assert await page.evaluate(IDS) == ids and await page.evaluate("location.href") == sent

    look(address, "three-versions", see)


def test_neighbours_of_an_item(address: str) -> None:
    async def see(page: Page) -> None:
        first, *_ = await search(page, query="red thing")
        await page.evaluate("document.getElementById('columns').dataset.seen = '1'")
        await click(page, "li .small")
        await page.until(
            f"document.getElementById('item').value === {json.dumps(first)} && document.title === {json.dumps(first)}"
        )
        assert first not in await page.evaluate(IDS) and await page.evaluate(ITEMS) == 10
        await search(page, 0, item="nobody")
        assert "This version has no such item." in await page.evaluate("document.querySelector('section').innerText")
        await search(page, item=first)

    look(address, "neighbours", see)


def test_a_past_written_by_hand(address: str) -> None:
    async def see(page: Page) -> None:
        ann = await search(page, query="red thing", user="ann")
        await click(page, "#past summary")
        assert await page.evaluate("document.getElementById('realtime_items').value") == "item7 item8"
        await page.type("realtime_items", "item30 item31")
        assert await search(page) != ann
        assert await page.evaluate("document.getElementById('user').value") == ""
        sent = await page.evaluate("location.href")
        assert "realtime_items=item30+item31" in sent and "edited=1" in sent

    look(address, "past", see)


def test_judged_queries_by_the_keyboard(address: str) -> None:
    """The table, the way from row to row, and the two lists of one that is chosen."""

    async def see(page: Page) -> None:
        await pick(page, 0, 3)
        await page.type("brands", "acme")
        await click(page, "#set summary")
        await page.until("document.querySelectorAll('#set tbody tr').length === 3")
        cells = await page.evaluate("[...document.querySelectorAll('#set tfoot tr > *')].map(one => one.textContent)")
        assert cells[0] == "Mean of 3" and len(cells) == 5 and all(0 <= float(one) <= 1 for one in cells[1:])
        await page.evaluate("document.querySelector('#set td button').focus()")
        await page.press("ArrowDown", 40)
        query = await page.evaluate("document.activeElement.textContent")
        await page.press("Enter", 13)
        await page.until(f"{ITEMS} === 20 && document.title === {json.dumps(query)}")
        assert await page.evaluate("document.getElementById('brands').value") == ""  # it was judged without
        assert await page.evaluate("document.querySelectorAll('.grade').length") > 0
        await page.until("document.querySelector('tr[aria-current]')")
        assert await page.evaluate("document.querySelector('tr[aria-current] button').textContent") == query
        await page.evaluate("document.activeElement.blur()")
        await page.press("/", 191)
        assert await page.evaluate("document.activeElement.id") == "query"

    look(address, "judged", see)


def test_a_barrier_would_be_found(address: str) -> None:
    async def looked() -> None:
        async with opened() as page:
            await page.go(address)
            await page.until("document.querySelector('#versions input')")
            await page.evaluate("document.querySelector('main').append(document.createElement('button'))")
            assert any(one.startswith("button-name") for one in await page.barriers())

    asyncio.run(looked())
