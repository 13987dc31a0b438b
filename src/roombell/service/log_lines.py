"""What a log line looks like: JSON for machines, text for people."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from roombell.engine.hooks import AttemptFinished
from roombell.errors import RoombellError
from roombell.events import parse

Fields = Mapping[str, str | int]

_LEVELS: Final = {"delivered": "info", "retry": "warning"}
_MESSAGES: Final = {
    "delivered": "webhook delivered",
    "retry": "webhook failed, will be sent again",
    "dead": "webhook failed, given up",
    "disable": "webhook refused, endpoint disabled",
}
_COLOURS: Final = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}
_DIM: Final = "\x1b[2m"
_RESET: Final = "\x1b[0m"


class AttemptLine(msgspec.Struct, omit_defaults=True):
    """Everything about one attempt. Fields that say nothing are left out."""

    ts: str
    level: str
    msg: str
    event: str
    event_id: str
    endpoint: str
    lane: str
    sequence: int
    attempt: int
    outcome: str
    duration_ms: int
    decision: str
    latency_ms: int
    """From acceptance to the end of this attempt."""
    status: int = 0
    reason: str = ""
    detail: str = ""
    """Why no answer came. What an endpoint answered is never logged: it may repeat the token."""
    next_attempt_in_ms: int = 0
    """0 where none follows; 1 also where it is due already."""
    room: str = ""


def attempt_line(record: AttemptFinished, ts: str, now_ms: int) -> AttemptLine:
    """The wide line of an attempt."""
    attempt, delivery, decision = record.attempt, record.delivery, record.decision
    return AttemptLine(
        ts=ts,
        level=_LEVELS.get(decision, "error"),
        msg=_MESSAGES.get(decision, decision),
        event=delivery.event_type,
        event_id=delivery.event_id,
        endpoint=record.endpoint,
        lane=record.lane,
        sequence=delivery.sequence,
        attempt=attempt.number,
        outcome=attempt.outcome,
        duration_ms=attempt.duration_ms,
        decision=decision,
        latency_ms=record.latency_ms,
        status=attempt.status,
        reason=record.reason,
        detail="" if attempt.status else _encodable(attempt.detail),
        next_attempt_in_ms=max(1, record.next_due_at_ms - now_ms) if record.next_due_at_ms else 0,
        room=_room(delivery.body),
    )


class _Named(msgspec.Struct, gc=False):
    name: str = ""


class _InRoom(msgspec.Struct, gc=False):
    room: _Named | None = None


_in_room: Final = msgspec.json.Decoder(_InRoom)


def _room(body: bytes) -> str:
    """The room's name, by a quarter of the work where the event carries its room, as most do."""
    try:
        room = _in_room.decode(body).room
        return (room and room.name) or parse(body).room_name
    except (RoombellError, msgspec.DecodeError, UnicodeDecodeError):
        return ""


class LineEncoder(Protocol):
    """Makes lines, each ending in a line feed."""

    def attempt(self, record: AttemptFinished) -> bytes:
        """The line of an attempt."""

    def note(self, level: str, message: str, fields: Fields) -> bytes:
        """The line of anything else."""

    def record(self, record: logging.LogRecord) -> bytes:
        """The line of a record of the standard library's logging, with its traceback if it has one."""


class _Stamp:
    """UTC time as text; what stays the same is not formatted anew."""

    __slots__ = ("_format", "_last", "_last_ms", "_now_ms", "_prefix", "_second")

    def __init__(self, now_ms: Callable[[], int], form: str) -> None:
        self._now_ms = now_ms
        self._format = form
        self._second = self._last_ms = -1
        self._prefix = self._last = ""

    def __call__(self) -> tuple[str, int]:
        """The text and the milliseconds since the epoch."""
        now_ms = self._now_ms()
        if now_ms != self._last_ms:
            second, rest_ms = divmod(now_ms, 1000)
            if second != self._second:
                self._second, self._prefix = second, time.strftime(self._format, time.gmtime(second))
            self._last, self._last_ms = f"{self._prefix}.{rest_ms:03d}Z", now_ms
        return self._last, now_ms


class JsonLines:
    """One object a line: ``ts``, ``level``, ``msg``, then what belongs to it."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._stamp = _Stamp(now_ms, "%Y-%m-%dT%H:%M:%S")
        self._encode = msgspec.json.Encoder().encode

    def attempt(self, record: AttemptFinished) -> bytes:
        """The line of an attempt."""
        return self._encode(attempt_line(record, *self._stamp())) + b"\n"

    def note(self, level: str, message: str, fields: Fields) -> bytes:
        """The line of anything else."""
        line: dict[str, str | int] = {"ts": self._stamp()[0], "level": level, "msg": _encodable(message)}
        for name, value in fields.items():
            line[name] = _encodable(value) if isinstance(value, str) else value
        return self._encode(line) + b"\n"

    def record(self, record: logging.LogRecord) -> bytes:
        """The line of a record of the standard library's logging."""
        return self.note(level_name(record.levelno), record.getMessage(), _origin(record))


class TextLines:
    """Time, level, what happened, and the rest behind it; for a terminal."""

    def __init__(self, now_ms: Callable[[], int], *, colour: bool) -> None:
        self._stamp = _Stamp(now_ms, "%H:%M:%S")
        self._colour = colour

    def attempt(self, record: AttemptFinished) -> bytes:
        """The line of an attempt."""
        line = attempt_line(record, *self._stamp())
        result = str(line.status) if line.status else line.outcome
        head = f"{line.event} to {line.endpoint}: {line.decision}, {result} in {line.duration_ms} ms"
        fields: dict[str, str | int] = {
            "room": line.room, "lane": line.lane, "sequence": line.sequence, "attempt": line.attempt,
            "id": line.event_id, "latency_ms": line.latency_ms, "next_attempt_in_ms": line.next_attempt_in_ms,
            "reason": line.reason, "detail": line.detail,
        }  # fmt: skip
        return self._line(line.ts, line.level, head, fields)

    def note(self, level: str, message: str, fields: Fields) -> bytes:
        """The line of anything else; a traceback follows on lines of its own."""
        return self._line(self._stamp()[0], level, message, fields)

    def record(self, record: logging.LogRecord) -> bytes:
        """The line of a record of the standard library's logging."""
        return self.note(level_name(record.levelno), record.getMessage(), _origin(record))

    def _line(self, ts: str, level: str, message: str, fields: Fields) -> bytes:
        told = "  ".join(
            f"{name}={printable(str(value))}" for name, value in fields.items() if value and name != "exception"
        )
        colour, dim, reset = (_COLOURS.get(level, ""), _DIM, _RESET) if self._colour else ("", "", "")
        line = f"{dim}{ts}{reset} {colour}{level.upper():<7}{reset} {printable(message)}"
        line += f"  {dim}{told}{reset}\n" if told else "\n"
        trace = str(fields.get("exception", ""))
        if trace:
            line += "".join(f"    {printable(part)}\n" for part in trace.splitlines())
        return line.encode(errors="backslashreplace")


def printable(text: str) -> str:
    """``text`` with everything escaped that would steer a terminal: names of rooms are strangers' input."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def level_name(number: int) -> str:
    """``debug``, ``info``, ``warning`` or ``error``."""
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


def _origin(record: logging.LogRecord) -> dict[str, str | int]:
    fields: dict[str, str | int] = {"logger": record.name}
    if record.exc_info and record.exc_info[0] is not None:
        fields["exception"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
    return fields


def _encodable(text: str) -> str:
    """Lone surrogates, as in file names that are not UTF-8, have no place in JSON."""
    return text.encode(errors="backslashreplace").decode()
