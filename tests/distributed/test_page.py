"""The page in a real headless Chromium: what a person sees of searches, users, empty answers and very long queries."""

from __future__ import annotations

import asyncio
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
    catalogue, users = write_files(folder)
    config = []
    for seed, name in enumerate(("first", "second"), 1):
        (folder / name).mkdir()
        write_version(folder / name, 1, seed=seed)
        config.append(f'config {{ name: "{name}" base_path: "{folder / name}" model_platform: "tensorflow" }}')
    (folder / "models").write_text(f"model_config_list {{ {' '.join(config)} }}")
    command = [sys.executable, "-m", "serving.server", "--model-config-file", str(folder / "models"), "--port", "auto"]
    command += ["--rest-api-port", "auto", "--ui", "--ui-catalog", str(catalogue), "--ui-users", str(users)]
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
            await page.until("document.getElementById('model').options.length > 0")
            await see(page)
            await page.picture(PICTURES / f"{name}.png")
            assert page.complaints() == []
            assert {url.split("#")[0].rsplit("/ui")[0] for url in page.requested()} == {address.removesuffix("/ui")}

    asyncio.run(looked())


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
        assert "Blue thing 7" in await page.evaluate("document.getElementById('past').innerText")
        horizons = "[...document.querySelectorAll('li:first-child .horizon')].map(one => one.textContent.split(' ')[0])"
        assert await page.evaluate(horizons) == ["today", "long-term"]
        assert await page.evaluate("document.querySelectorAll('li:first-child .most').length") == 1
        bob = await search(page, user="bob")
        assert "green things" in await page.evaluate("document.getElementById('past').innerText")
        assert nobody != ann != bob

    look(address, "user", see)


def test_two_models_side_by_side(address: str) -> None:
    async def see(page: Page) -> None:
        await page.evaluate("document.getElementById('beside').selectedIndex = 3")
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
