"""A headless Chromium with fake microphone and camera, steered from a test."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

NODE_FOLDER = Path(__file__).parents[1] / "compat" / "node"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ANSWER_S_MAX = 60.0


class Page:
    """One tab."""

    def __init__(self, browser: Browser, number: int) -> None:
        self._browser = browser
        self._number = number

    async def evaluate(self, code: str) -> Any:
        """The value of an expression; a promise's, when it has one."""
        return await self._browser.command("evaluate", page=self._number, code=code)

    async def wait_for(self, code: str, timeout_s: float = 30.0) -> None:
        """Until an expression is true."""
        try:
            await self._browser.command("waitFor", page=self._number, code=code, timeout=int(timeout_s * 1000))
        except AssertionError as error:
            told = "\n".join((await self.told())[-30:])
            raise AssertionError(f"{error}\nwaiting for: {code}\nthe console said:\n{told}") from None

    async def told(self) -> list[str]:
        """What the page has written on its console."""
        return list(await self._browser.command("told", page=self._number))

    async def screenshot(self, path: Path) -> None:
        await self._browser.command("screenshot", page=self._number, path=str(path))

    async def close(self) -> None:
        await self._browser.command("close", page=self._number)


class Browser:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._number = 0

    async def open(self, url: str, **options: object) -> Page:
        return Page(self, await self.command("open", url=url, **options))

    async def command(self, name: str, **arguments: object) -> Any:
        assert self._process.stdin is not None
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": self._number, "do": name, **arguments})
        self._process.stdin.write(line.encode() + b"\n")
        async with asyncio.timeout(ANSWER_S_MAX):
            return await answer

    async def read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            answer = self._answers.pop(told.get("id"), None)
            if answer is None or answer.done():
                continue
            if "error" in told:
                answer.set_exception(AssertionError(told["error"]))
            else:
                answer.set_result(told["value"])


def need_browser() -> str:
    """Skips where there is none."""
    if CHROMIUM is None:
        pytest.skip("chromium is not here")
    if shutil.which("node") is None or not (NODE_FOLDER / "node_modules" / "playwright-core").exists():
        pytest.skip("node with playwright-core is not here")
    return CHROMIUM


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    process = await asyncio.create_subprocess_exec(
        "node",
        "browser.js",
        cwd=NODE_FOLDER,
        env={"CHROMIUM": need_browser(), "PATH": "/usr/bin:/bin:/usr/local/bin"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    async with asyncio.timeout(ANSWER_S_MAX):
        assert await process.stdout.readline() == b'{"ready": true}\n'
    steered = Browser(process)
    reading = asyncio.create_task(steered.read())
    try:
        yield steered
    finally:
        process.stdin.close()
        async with asyncio.timeout(ANSWER_S_MAX):
            await process.wait()
            await reading
