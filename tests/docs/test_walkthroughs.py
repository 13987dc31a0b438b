"""The README's first steps and the tutorial, done as a reader does them: same commands, same files, real processes.

Blocks are steps, in the page's order. What a step may say of itself:

- ``sh``: runs to its end with exit code 0, or ``exit=N``. ``terminal=NAME until=TEXT``: runs in a terminal of its own
  and is left running once it has printed the text. ``skip=REASON``: is not run.
- ``file=NAME``: the block is written to that file.
- ``text`` with ``output``: lines that the last command printed; with ``shows=NAME``: lines that a terminal prints, now
  or soon. Each line is looked for behind the one before it. Ids, times and durations may differ.
- ``interrupt=NAME`` or ``kill=NAME``: Ctrl-C, or SIGKILL, in that terminal.

Ports are replaced by free ones, and replaced back in what is printed.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import sys
from pathlib import Path

import pytest

from support.markdown import DOCS, ROOT, Block, page_blocks

PAGES = [ROOT / "README.md", DOCS / "tutorial.md"]
PORTS = ("7890", "7891", "8000")
STEP_S_MAX = 60.0
CHANGING = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\b\d\d:\d\d:\d\d(?:\.\d+)?Z?"), "TIME"),
    (re.compile(r"\b(EV|RM|PA|TR|EG|IN)_[0-9A-Za-z]{12}\b"), r"\1_ID"),
    (re.compile(r"\b\d+ ms\b"), "MS"),
    (re.compile(r"_ms=\d+"), "_ms=MS"),
    (re.compile(r"\bprocess \d+"), "process PID"),
    (re.compile(r"[\d,]+ (KiB|MiB)"), r"SIZE \1"),
    (re.compile(r"\bdemo-[0-9a-f]{4}\b"), "demo-ROOM"),
    (re.compile(r"\s+"), " "),
)


def alike(line: str) -> str:
    """A line without what differs from run to run."""
    for pattern, told in CHANGING:
        line = pattern.sub(told, line)
    return line.strip()


def free_ports() -> dict[str, str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    try:
        return {port: str(one.getsockname()[1]) for port, one in zip(PORTS, sockets, strict=True)}
    finally:
        for one in sockets:
            one.close()


class Terminal:
    """A window of the reader's: a process, and what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process, ports: dict[str, str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._ports = ports
        self._seen = 0
        self._said = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            for documented, real in self._ports.items():
                line = line.replace(real, documented)
            self.lines.append(line)
            self._said.set()
        self._said.set()

    async def wait_for(self, text: str) -> None:
        while not any(text in line for line in self.lines):
            if self._reading.done():
                pytest.fail(f"ended without {text!r}:\n" + "\n".join(self.lines))
            self._said.clear()
            await self._said.wait()

    async def wait_for_lines(self, expected: list[str]) -> None:
        """Each line, in order, from where the last look at this terminal ended."""
        for wanted in expected:
            try:
                async with asyncio.timeout(STEP_S_MAX):
                    while not self._found(wanted):
                        self._said.clear()
                        await self._said.wait()
            except TimeoutError:
                pytest.fail(f"never printed: {wanted}\nprinted:\n" + "\n".join(map(alike, self.lines)))

    def _found(self, wanted: str) -> bool:
        for number in range(self._seen, len(self.lines)):
            if alike(self.lines[number]) == wanted:
                self._seen = number + 1
                return True
        return False

    async def end(self, number: signal.Signals) -> None:
        if self.process.returncode is None:
            os.killpg(self.process.pid, number)
        async with asyncio.timeout(STEP_S_MAX):
            await self._reading
            await self.process.wait()


class Reader:
    """Somebody who follows a page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        self.ports = free_ports()
        self.terminals: dict[str, Terminal] = {}
        self.printed: list[str] = []
        self._env = self._environment(folder / "bin")

    def _environment(self, programs: Path) -> dict[str, str]:
        programs.mkdir()
        for name, arguments in (("roombell", "-m roombell.cli"), ("python", "")):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
            program.chmod(0o755)
        env = {name: value for name, value in os.environ.items() if not name.startswith(("LIVEKIT_", "ROOMBELL_"))}
        return env | {
            "PATH": f"{programs}{os.pathsep}{env['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONUNBUFFERED": "1",
            "ROOMBELL_PORT": self.ports["7890"],  # as if 7890 were free
        }

    def _real(self, text: str) -> str:
        for documented, real in self.ports.items():
            text = re.sub(rf"\b{documented}\b", real, text)
        return text

    async def _run(self, text: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "/bin/sh", "-ec", self._real(text),
            cwd=self.folder, env=self._env, start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip

    async def step(self, block: Block) -> None:
        told = block.directives
        if "file" in told:
            (self.folder / told["file"]).write_text(self._real(block.text), encoding="utf-8")
        elif block.language == "sh" and "skip" not in told:
            await self._command(block)
        elif "output" in told:
            shown = iter(map(alike, self.printed))
            missing = [line for line in expected_lines(block) if line not in shown]
            assert missing == [], "\n".join(self.printed)
        elif "shows" in told:
            await self.terminals[told["shows"]].wait_for_lines(expected_lines(block))
        elif "interrupt" in told:
            await self.terminals[told["interrupt"]].end(signal.SIGINT)
        elif "kill" in told:
            await self.terminals[told["kill"]].end(signal.SIGKILL)

    async def _command(self, block: Block) -> None:
        told = block.directives
        if "terminal" in told:
            process = await self._run("exec " + block.text.lstrip())
            terminal = self.terminals[told["terminal"]] = Terminal(process, self.ports)
            async with asyncio.timeout(STEP_S_MAX):
                await terminal.wait_for(told["until"])
            return
        terminal = Terminal(await self._run(block.text), self.ports)
        async with asyncio.timeout(STEP_S_MAX):
            await terminal._reading
            code = await terminal.process.wait()
        self.printed = terminal.lines
        assert code == int(told.get("exit", "0")), "\n".join(self.printed)

    async def leave(self) -> None:
        for terminal in self.terminals.values():
            await terminal.end(signal.SIGKILL)


def expected_lines(block: Block) -> list[str]:
    return [alike(line) for line in block.text.splitlines() if line.strip() not in ("", "...")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_a_reader_who_follows_the_page_sees_what_it_says(page: Path, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not here, and a reader is told to use it")
    reader = Reader(tmp_path)
    try:
        for block in page_blocks(page):
            try:
                await reader.step(block)
            except AssertionError as error:
                raise AssertionError(f"{block}: {error}") from error
    finally:
        await reader.leave()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_is_left_out_without_a_reason(page: Path) -> None:
    commands = [block for block in page_blocks(page) if block.language == "sh"]
    assert len([block for block in commands if "skip" not in block.directives]) >= 3
    assert [str(block) for block in commands if block.directives.get("skip", "reason") == ""] == []
