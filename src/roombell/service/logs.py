"""Structured logs: one JSON object a line for machines, one coloured line for people.

Lines are gathered for a twentieth of a second and handed in one piece to a thread that writes them, because a terminal
or a pipe whose reader has stopped blocks its writer. (Waking the thread at each turn of the loop cost a tenth of all
time under load: a system call and a fight for the interpreter's lock.) What waits is bounded; past the bound lines are
dropped and counted, and the log says so when it flows again. Nothing secret is ever in a line: no body, no header,
no token.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from roombell.engine.hooks import (
    AttemptFinished,
    BacklogGrowing,
    CommitFailed,
    DeliveryDead,
    EndpointDisabled,
    EndpointFailing,
    EndpointRecovered,
    LeaseLost,
    Record,
)
from roombell.engine.operations import (
    BACKLOG_GROWING,
    DELIVERY_DEAD,
    ENDPOINT_DISABLED,
    ENDPOINT_FAILING,
    ENDPOINT_RECOVERED,
)
from roombell.service.dev_page import Shown, as_line
from roombell.service.log_lines import JsonLines, LineEncoder, TextLines

_BUFFER_BYTES_MAX: Final = 8 * 1024 * 1024
_CLOSE_S_MAX: Final = 2.0
_GATHER_S: Final = 0.05
_FAILURE_AGAIN_MS: Final = 1000


class LogFormat(StrEnum):
    """How lines look. ``auto`` is text on a terminal and JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class LogWriter:
    """Writes lines to a file descriptor without ever making the event loop wait.

    :param dropped_line: makes the line that tells how many were dropped.
    """

    def __init__(
        self, descriptor: int, dropped_line: Callable[[int], bytes], *, buffer_bytes_max: int = _BUFFER_BYTES_MAX
    ) -> None:
        self._descriptor = descriptor
        self._dropped_line = dropped_line
        self._buffer_bytes_max = buffer_bytes_max
        self._turn = threading.Condition()
        self._lines: list[bytes] = []
        self._waiting_bytes = 0
        self._gathering: asyncio.AbstractEventLoop | None = None
        self._untold = 0
        self._closed = False
        self.dropped = 0
        """Lines dropped so far."""
        self._thread = threading.Thread(target=self._run, name="roombell log", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Takes a line, which ends in a line feed. From any thread; it is written soon, or dropped and counted."""
        with self._turn:
            if self._closed or self._waiting_bytes + len(line) > self._buffer_bytes_max:
                self.dropped += 1
                self._untold += 1
                return
            self._waiting_bytes += len(line)
            self._lines.append(line)
        self._wake_soon()

    def close(self) -> None:
        """Writes what waits, for two seconds at most; what comes later is dropped. Calling it twice is fine."""
        with self._turn:
            self._closed = True
            self._turn.notify()
        self._thread.join(_CLOSE_S_MAX)

    def _wake_soon(self) -> None:
        """A little later, so that lines go out together; at once where no loop runs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._wake()
            return
        if loop is not self._gathering:
            self._gathering = loop
            loop.call_later(_GATHER_S, self._wake)

    def _wake(self) -> None:
        self._gathering = None
        with self._turn:
            self._turn.notify()

    def _run(self) -> None:
        while lines := self._next():
            data = b"".join(lines)
            self._put(data)
            with self._turn:
                self._waiting_bytes -= len(data)

    def _next(self) -> list[bytes]:
        """The lines to be written; waits for some. Empty when it is over."""
        with self._turn:
            while not self._lines and not self._closed:
                self._turn.wait()
            lines, self._lines = self._lines, []
            if self._untold and lines:
                line = self._dropped_line(self._untold)
                self._waiting_bytes += len(line)
                self._untold = 0
                lines.append(line)
        return lines

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            # Nobody reads any more, or the disk is full. There is nowhere to say so, and it must stop nothing.
            self.dropped += bytes(view).count(b"\n")


class LineHandler(logging.Handler):
    """Brings the standard library's records into the same stream and form."""

    def __init__(self, writer: LogWriter, encoder: LineEncoder) -> None:
        super().__init__()
        self._writer = writer
        self._encoder = encoder

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record. One whose arguments do not fit its template is told of by the template alone."""
        try:
            line = self._encoder.record(record)
        except Exception:  # noqa: BLE001 - formatting runs strangers' code
            record.msg, record.args = f"{record.msg} (its arguments do not fit)".replace("%", "%%"), ()
            line = self._encoder.record(record)
        self._writer.write(line)


class Logs:
    """The service's log. ``observe`` is an engine hook; the standard library's logging comes here, too.

    :param now_ms: UTC milliseconds since the epoch.
    :param descriptor: where to write; standard error by default.
    :param level: lines below it are not written: ``debug``, ``info``, ``warning`` or ``error``.
    """

    def __init__(
        self,
        now_ms: Callable[[], int],
        *,
        descriptor: int = 2,
        form: LogFormat = LogFormat.AUTO,
        level: str = "info",
    ) -> None:
        self._now_ms = now_ms
        self._failure_said_at_ms = 0
        terminal = os.isatty(descriptor)
        text = form is LogFormat.TEXT or (form is LogFormat.AUTO and terminal)
        colour = terminal and "NO_COLOR" not in os.environ
        self._lines: LineEncoder = TextLines(now_ms, colour=colour) if text else JsonLines(now_ms)
        self._level = logging.getLevelNamesMapping()[level.upper()]
        self._writer = LogWriter(descriptor, self._dropped_line)
        self._handler = LineHandler(self._writer, self._lines)
        logging.getLogger().addHandler(self._handler)
        logging.getLogger().setLevel(self._level)

    @property
    def dropped(self) -> int:
        """Lines dropped so far because nobody read them fast enough."""
        return self._writer.dropped

    def observe(self, record: Record) -> None:
        """Writes a line where people would want one: every attempt, and everything that went wrong."""
        match record:
            case AttemptFinished(decision=decision):
                if decision != "delivered" or self._level <= logging.INFO:
                    self._writer.write(self._lines.attempt(record))
            case DeliveryDead():
                self.note(
                    "error",
                    "delivery given up",
                    operation=DELIVERY_DEAD,
                    event=record.event_type, event_id=record.event_id, endpoint=record.endpoint,
                    reason=record.reason, attempts=record.attempts,
                )  # fmt: skip
            case EndpointDisabled():
                self.note(
                    "error",
                    "endpoint disabled",
                    operation=ENDPOINT_DISABLED, endpoint=record.endpoint, reason=record.reason,
                )  # fmt: skip
            case EndpointFailing() | EndpointRecovered() | BacklogGrowing():
                self._health(record)
            case CommitFailed():
                self._commit_failed(record)
            case LeaseLost():
                self.note("warning", "lease lost", lane_id=record.lane_id)
            case _:
                pass

    def _commit_failed(self, record: CommitFailed) -> None:
        """One line a second: while a store is away, every sender's try is a failed commit."""
        now_ms = self._now_ms()
        if abs(now_ms - self._failure_said_at_ms) >= _FAILURE_AGAIN_MS:
            self._failure_said_at_ms = now_ms
            self.note("error", "commit failed", error=record.code, reason=record.message)

    def _health(self, record: EndpointFailing | EndpointRecovered | BacklogGrowing) -> None:
        match record:
            case EndpointFailing(endpoint, reason):
                self.note("error", "endpoint failing", operation=ENDPOINT_FAILING, endpoint=endpoint, reason=reason)
            case EndpointRecovered(endpoint, down_ms):
                recovered: dict[str, str | int] = {"endpoint": endpoint, "down_ms": down_ms}
                self.note("info", "endpoint recovered", operation=ENDPOINT_RECOVERED, **recovered)
            case BacklogGrowing(endpoint, pending, oldest_ms):
                backlog: dict[str, str | int] = {"endpoint": endpoint, "pending": pending, "oldest_ms": oldest_ms}
                self.note("warning", "backlog growing", operation=BACKLOG_GROWING, **backlog)

    def note(self, level: str, message: str, **fields: str | int) -> None:
        """Writes a line about anything else."""
        if logging.getLevelNamesMapping()[level.upper()] >= self._level:
            self._writer.write(self._lines.note(level, message, fields))

    def show(self, shown: Shown) -> None:
        """Writes a line about a delivery to the built-in endpoint of ``--dev``."""
        self.note("info" if shown.verified else "warning", as_line(shown))

    def close(self) -> None:
        """Writes what waits and lets go of the standard library's logging."""
        logging.getLogger().removeHandler(self._handler)
        self._writer.close()

    def _dropped_line(self, lines: int) -> bytes:
        return self._lines.note("warning", "log lines dropped: nobody read them fast enough", {"lines": lines})
