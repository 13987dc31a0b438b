"""Everything that endpoints do wrong with a request, by name, each with what is to be seen of it at the sender.

    for name, wrong in MISBEHAVIOURS.items():
        async with ScriptedEndpoint(wrong.behaviour) as endpoint:
            ...                                 # whatever it does, the sender sees wrong.outcome

What goes wrong before there is a request (a port that refuses, a black hole, TLS) is played by ``ScriptedEndpoint``
itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from roombell.engine.model import FailureKind
from roombell.testing import behaviours as play
from roombell.testing.behaviours import Behaviour


class Misbehaviour(msgspec.Struct, frozen=True):
    """One thing that an endpoint does wrong."""

    behaviour: Behaviour
    outcome: int | FailureKind
    """The status that counts, or the failure, of an attempt that meets it."""


def _asks_for(retry_after: str, status: int = 429) -> Misbehaviour:
    return Misbehaviour(play.reply(status, headers=(("Retry-After", retry_after),)), status)


_PART: Final = b"HTTP/1.1 200 OK\r\nContent-Le"
_MANY: Final = b"x" * 65_536

MISBEHAVIOURS: Final[Mapping[str, Misbehaviour]] = MappingProxyType(
    {
        "no-answer": Misbehaviour(play.silence(), FailureKind.TIMEOUT_WAIT),
        "byte-a-second-header": Misbehaviour(play.dripping_header(gap_s=1.0), FailureKind.TIMEOUT_READ),
        "byte-a-second": Misbehaviour(play.drip(gap_s=1.0), FailureKind.TIMEOUT_READ),
        "byte-a-second-body": Misbehaviour(play.dripping_body(500, gap_s=1.0), 500),
        "endless-body": Misbehaviour(play.endless_body(500), 500),
        "endless-header": Misbehaviour(play.endless(b"HTTP/1.1 200 OK\r\nX-Giant: ", _MANY), FailureKind.PROTOCOL),
        "failing": Misbehaviour(play.reply(500), 500),
        "overloaded": _asks_for("0", 503),
        "retry-after-0": _asks_for("0"),
        "retry-after-negative": _asks_for("-1"),
        "retry-after-ages": _asks_for("1000000000000"),
        "retry-after-1970": _asks_for("Thu, 01 Jan 1970 00:00:00 GMT"),
        "retry-after-garbage": _asks_for("\x80soon;;"),
        "redirect-loop": Misbehaviour(play.redirect("/webhook"), 302),
        "permanent-redirect-loop": Misbehaviour(play.redirect("/webhook", 308), 308),
        "close": Misbehaviour(play.close(), FailureKind.RESET),
        "close-in-header": Misbehaviour(play.close(_PART), FailureKind.RESET),
        "reset-in-header": Misbehaviour(play.reset(_PART), FailureKind.RESET),
        "close-in-body": Misbehaviour(play.truncated_body(), 200),
        "http-1.0": Misbehaviour(play.http_1_0(), 200),
        "continue-for-ever": Misbehaviour(play.interim(10_000), FailureKind.PROTOCOL),
        "continue-and-silence": Misbehaviour(play.interim(then=play.silence()), FailureKind.TIMEOUT_READ),
        "continue-and-417": Misbehaviour(play.interim(then=play.reply(417)), 417),
        "204-with-body": Misbehaviour(play.no_content_with_body(), 204),
        "invalid-chunks": Misbehaviour(play.invalid_chunking(), 200),
        "not-http": Misbehaviour(play.garbage(), FailureKind.PROTOCOL),
    }
)
"""The names can be endpoints'. Some of them are a success: the status counts, whatever becomes of the body."""
