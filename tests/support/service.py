"""The service as its users run it: a process of its own, with a configuration file and a store on disk."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from roombell.testing.endpoint import ScriptedEndpoint

API_KEY = "APItest"
SECRET = "a secret of at least thirty-two bytes"
READY_S_MAX = 60.0
EXIT_S_MAX = 60.0
QUICK_RETRY = {"attempts": 1000, "base_delay": "10ms", "max_delay": "50ms"}


COMMAND = (sys.executable, "-m", "roombell.cli", "serve")


class NotStarted(Exception):
    """The process ended before it served."""

    def __init__(self, code: int, output: str) -> None:
        self.code, self.output = code, output
        super().__init__(f"exit code {code}:\n{output}")


def endpoint(name: str, to: ScriptedEndpoint | str, **settings: object) -> dict[str, object]:
    """An endpoint as the configuration file has it; retries come quickly unless ``settings`` say otherwise."""
    url = to if isinstance(to, str) else to.url
    return {"name": name, "url": url, "timeout": "10s", "retry": QUICK_RETRY} | settings


class ServiceProcess:
    """``roombell serve`` on a free port, with its store in ``folder``. Use it as a context, or ``start`` it again and
    again: the store stays.
    """

    def __init__(
        self, folder: Path, endpoints: Sequence[Mapping[str, object]], *, flags: Sequence[str] = (), **settings: object
    ) -> None:
        self._flags = flags
        self.folder = folder
        self.program: Sequence[str] = COMMAND
        self.config_path = folder / "roombell.yaml"
        self.store_path = Path(str(settings.pop("store_path", folder / "roombell.db")))
        self._settings = settings
        self.configure(endpoints)
        self.port = 0
        self.serving = asyncio.Event()
        """Whether it serves, as far as is known."""
        self.kills = 0
        self.lines: list[str] = []
        """What it wrote to standard error since it was started."""
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._said = asyncio.Event()

    def configure(self, endpoints: Sequence[Mapping[str, object]]) -> None:
        """Writes the file; what runs is told by ``reload``."""
        document = {
            "port": 0,
            "bind_addresses": ["127.0.0.1"],
            "keys": {API_KEY: SECRET},
            "webhook": {"api_key": API_KEY},
            "store": f"sqlite:///{self.store_path}",
            "endpoints": list(endpoints),
        }
        self.config_path.write_text(json.dumps(document | self._settings))

    @property
    def command(self) -> tuple[str, ...]:
        """What is run."""
        return (*self.program, "--config", str(self.config_path), *self._flags)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def child_pids(self) -> list[int]:
        """The store's process; empty while there is none."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the service and its children."""
        return sum(rss_bytes(pid) for pid in (self.pid, *self.child_pids))

    @property
    def cpu_s(self) -> float:
        """Processor time that the service and its children have used."""
        return sum(cpu_s(pid) for pid in (self.pid, *self.child_pids))

    async def start(self) -> Self:
        """Returns when it serves.

        :raises NotStarted: it ended instead.
        """
        await self.spawn()
        await self.ready()
        return self

    async def spawn(self) -> None:
        """Starts the process and does not wait for it to serve."""
        self.lines, self.port = [], 0
        self.serving.clear()
        self._process = await asyncio.create_subprocess_exec(
            *self.command,
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if not name.startswith(("LIVEKIT_", "ROOMBELL_"))},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read())

    async def ready(self) -> None:
        """Returns when it serves.

        :raises NotStarted: it ended instead.
        """
        assert self._reading is not None
        async with asyncio.timeout(READY_S_MAX):
            while self.port == 0:
                self._said.clear()
                if self._reading.done():
                    raise NotStarted(await self._ended(), "\n".join(self.lines))
                await self._said.wait()

    async def kill(self) -> None:
        """SIGKILL; returns when it is gone, and its store's process too."""
        assert self._process is not None
        self.serving.clear()
        self.kills += 1
        self._process.kill()
        await self._ended()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Asks it to stop, and gives its exit code."""
        assert self._process is not None
        self.serving.clear()
        self._process.send_signal(number)
        return await self._ended()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def wait_for_line(self, *words: str, after: int = 0, deadline_s: float = READY_S_MAX) -> str:
        """The first line from number ``after`` on that holds all ``words``."""
        async with asyncio.timeout(deadline_s):
            while True:
                self._said.clear()
                for line in self.lines[after:]:
                    if all(word in line for word in words):
                        return line
                await self._said.wait()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            await self.kill()

    async def _ended(self) -> int:
        assert self._process is not None
        assert self._reading is not None
        async with asyncio.timeout(EXIT_S_MAX):
            await self._reading
            return await self._process.wait()

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        try:
            async for raw in self._process.stderr:
                line = raw.decode(errors="replace").rstrip()
                self.lines.append(line)
                if not self.port and (port := _port_in(line)):
                    self.port = port
                    self.serving.set()
                self._said.set()
        finally:
            asyncio.get_running_loop().call_soon(self._said.set)  # when this task is done


def _port_in(line: str) -> int:
    """The port in the line that says where it listens; 0 in any other."""
    found = re.search(r"Listening on http://[^ ]*:(\d+)", line)
    return int(found[1]) if found else 0


def rss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
