"""Headless Chromium with its fake camera, on a page of tests/js that uses the official JavaScript SDK."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "tests" / "js"
SDK = ROOT / ".tools" / "js-sdk" / "node_modules" / "@overshoot" / "sdk" / "dist" / "index.mjs"
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # A camera, and leave to use it. Of its 20 fps the SDK's default ratio would take 2 a clip, and the API asks for 3.
    *("--use-fake-device-for-media-stream=fps=30", "--use-fake-ui-for-media-stream"),
)
_MANY = 1_000  # things told, more than any test asks for


def missing() -> str | None:
    """What is lacking to run the SDK in a browser, and where it comes from."""
    if shutil.which("chromium") is None:
        return "no chromium: install what Debian calls chromium"
    return None if SDK.exists() else "no JavaScript SDK: get it with tools/js-sdk"


@dataclass
class Page:
    """What the page told, in order: (what, value)."""

    log: Path
    told: asyncio.Queue[tuple[str, Any]] = field(default_factory=lambda: asyncio.Queue(_MANY))

    async def hear(self, what: str, bound: float = 30.0) -> Any:
        """The value of the next thing told, which must be `what`; fails after `bound` seconds."""
        try:
            async with asyncio.timeout(bound):
                told, value = await self.told.get()
        except TimeoutError:
            pytest.fail(f"the page did not tell {what} within {bound:g} s: {self.log.read_text()[-2000:]}")
        assert told == what, (told, value)
        return value

    async def told_by_page(self, request: web.Request) -> web.Response:
        self.told.put_nowait((request.match_info["what"], await request.json(loads=json.loads)))
        return web.Response(status=204)


@asynccontextmanager
async def publishing_page(folder: Path, **query: str | int) -> AsyncIterator[Page]:
    """The page open in a browser of its own, until the end. `folder` takes the browser's profile and log."""
    page = Page(folder / "chromium.log")
    app = web.Application()
    app.router.add_post("/told/{what}", page.told_by_page)
    app.router.add_get("/sdk.mjs", _file(SDK))
    app.router.add_get("/publish.mjs", _file(PAGE / "publish.mjs"))
    app.router.add_get("/", _file(PAGE / "page.html"))
    async with TestServer(app) as server, _browser(server.make_url("/").with_query(query), folder, page.log):
        yield page


def _file(path: Path) -> Any:
    async def serve(request: web.Request) -> web.FileResponse:
        kind = "text/html" if path.suffix == ".html" else "text/javascript"
        return web.FileResponse(path, headers={"Content-Type": kind})

    return serve


@asynccontextmanager
async def _browser(url: URL, folder: Path, log: Path) -> AsyncIterator[None]:
    """Ended with all its processes, which are a group."""
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *("chromium", *_FLAGS, f"--user-data-dir={folder / 'profile'}", str(url)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
