"""A headless Chromium over the DevTools protocol: real keys, real layout, no network.

    async with Chromium.started(tmp_path) as page:
        await page.open(path)
        await page.press("j")
        assert await page.value("document.title") == "..."
        assert page.problems == []

Hosts cannot be resolved and the network is emulated as offline; requests, errors and messages of the console and
dialogs are recorded.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

BINARY = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SLOW_S = 60  # a machine with other work starts a browser in many seconds

_KEYS = {"Escape": 27, "Enter": 13, "ArrowDown": 40, "ArrowUp": 38, "Home": 36, "End": 35}


class Chromium:
    """One tab. Made by `started`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self.requests: list[str] = []
        self.problems: list[str] = []
        self.loaded = False

    @classmethod
    @asynccontextmanager
    async def started(cls, folder: Path) -> AsyncIterator[Chromium]:
        """A browser with a profile of its own in `folder`, ended with the block."""
        assert BINARY is not None
        process = await asyncio.create_subprocess_exec(
            BINARY, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}", "about:blank",
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            address = await asyncio.wait_for(_address(process), SLOW_S)
            async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
                page = cls(socket)
                await page._attach()
                try:
                    yield page
                finally:
                    await page.send("Browser.close", whole=True)
        finally:
            if process.returncode is None:
                try:
                    await asyncio.wait_for(process.wait(), 10)
                except asyncio.TimeoutError:
                    process.kill()
            await process.communicate()

    async def _attach(self) -> None:
        target = await self.send("Target.createTarget", url="about:blank", whole=True)
        found = await self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True, whole=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            await self.send(f"{domain}.enable")
        await self.send("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0,
                        uploadThroughput=0)  # fmt: skip
        await self._prefer("light")

    async def _prefer(self, scheme: str) -> None:
        """What the reader prefers. Little motion always: a page that still glides is not where the mouse clicks."""
        features = [("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")]
        await self.send("Emulation.setEmulatedMedia", features=[{"name": n, "value": v} for n, v in features])

    async def send(self, method: str, *, whole: bool = False, **parameters: Any) -> dict[str, Any]:
        """One call of the protocol, to the tab or (`whole`) to the browser; returns its result."""
        number = next(self._numbers)
        call: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if not whole:
            call["sessionId"] = self._session
        await self._socket.send_str(json.dumps(call))
        while True:
            message = await asyncio.wait_for(self._socket.receive(), SLOW_S)
            if message.type != aiohttp.WSMsgType.TEXT:
                return {}
            answer = json.loads(message.data)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            await self._hear(answer.get("method", ""), answer.get("params", {}))

    async def _hear(self, event: str, found: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(found["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(found["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled":
            self.problems.append(json.dumps(found["args"]))
        elif event == "Log.entryAdded":
            self.problems.append(found["entry"]["text"])
        elif event == "Page.javascriptDialogOpening":
            self.problems.append(f"dialog: {found['message']}")
        elif event == "Page.loadEventFired":
            self.loaded = True

    async def open(self, path: Path, fragment: str = "") -> None:
        """Load a file from disk and wait until it is there."""
        self.loaded = False
        await self.send("Page.navigate", url=path.as_uri() + fragment)
        for _ in range(SLOW_S * 10):
            if self.loaded:
                return
            await self.value("0")
            await asyncio.sleep(0.1)
        raise TimeoutError(f"{path} did not load")

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression gives, as JSON."""
        found = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def becomes(self, expression: str, expected: Any) -> bool:
        """Whether an expression has a value, now or soon: pages answer some events only after they have been sent."""
        for _ in range(SLOW_S * 10):
            if await self.value(expression) == expected:
                return True
            await asyncio.sleep(0.1)
        return False

    async def press(self, *keys: str) -> None:
        """Press and release keys, named as in `KeyboardEvent.key`."""
        for key in keys:
            text = {} if key in _KEYS else {"text": key}
            code = _KEYS.get(key, ord(key[0].upper()))
            for kind in ("keyDown", "keyUp"):
                shown = text if kind == "keyDown" else {}
                await self.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **shown)

    async def click(self, selector: str) -> None:
        """Click at the middle of an element with the mouse, once two frames have been drawn with it in view."""
        box = await self.value(
            f"(async () => {{ const it = document.querySelector({selector!r});"
            " it.scrollIntoView({block: 'center', behavior: 'instant'});"
            " for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);"
            " const box = it.getBoundingClientRect(), at = [box.x + box.width / 2, box.y + box.height / 2];"
            " const met = document.elementFromPoint(...at);"
            " return it.contains(met) ? at : `${at} shows ${met && met.outerHTML.slice(0, 200)}` })()"
        )
        assert isinstance(box, list), f"{selector}: {box}"
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    async def size(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """The window's size in CSS pixels, and the color scheme that the reader prefers."""
        await self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                        mobile=phone)  # fmt: skip
        await self._prefer("dark" if dark else "light")

    async def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of the window, or of the whole page."""
        found = await self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    while line := await process.stderr.readline():
        found = re.search(rb"DevTools listening on (ws://\S+)", line)
        if found:
            return found[1].decode()
    raise RuntimeError("Chromium ended before it listened")
