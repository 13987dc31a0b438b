"""Commands as a user runs them, and the configuration files they are given."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from dataclasses import dataclass
from pathlib import Path

DEADLINE_S = 60
SECRET = "a secret of at least thirty-two bytes"


@dataclass
class Ended:
    code: int
    out: str
    err: str

    @property
    def records(self):
        return [json.loads(line) for line in self.out.splitlines()]


class Running:
    """A command in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._said = asyncio.Event()
        self._readers = [asyncio.create_task(self._read(stream)) for stream in (process.stdout, process.stderr)]

    async def until(self, pattern: str) -> re.Match[str]:
        """The first match in a line of stdout or stderr."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                self._said.clear()
                for line in self.lines:
                    if found := re.search(pattern, line):
                        return found
                if all(reader.done() for reader in self._readers):
                    raise AssertionError(f"it ended without saying {pattern!r}: {self.lines}")
                await self._said.wait()

    async def url(self) -> str:
        return (await self.until(r"http://127\.0\.0\.1:\d+"))[0]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*self._readers)
            return await self.process.wait()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return await self.ended()

    async def _read(self, stream: asyncio.StreamReader) -> None:
        try:
            async for raw in stream:
                self.lines.append(raw.decode().rstrip())
                self._said.set()
        finally:
            asyncio.get_running_loop().call_soon(self._said.set)


def write_config(path: Path, *, urls: tuple[str, ...] = (), **settings: object) -> Path:
    """A configuration file; JSON is YAML."""
    document = {
        "port": 0,
        "bind_addresses": ["127.0.0.1"],
        "keys": {"APItest": SECRET},
        "webhook": {"api_key": "APItest", "urls": list(urls)},
        "store": "sqlite:///test.db",
    }
    path.write_text(json.dumps(document | settings))
    return path
