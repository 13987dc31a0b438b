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
        "no answer": Misbehaviour(play.silence(), FailureKind.TIMEOUT_WAIT),
        "a header of a byte a second": Misbehaviour(play.dripping_header(gap_s=1.0), FailureKind.TIMEOUT_READ),
        "an answer of a byte a second": Misbehaviour(play.drip(gap_s=1.0), FailureKind.TIMEOUT_READ),
        "a body of a byte a second": Misbehaviour(play.dripping_body(500, gap_s=1.0), 500),
        "an endless body": Misbehaviour(play.endless_body(500), 500),
        "a header of ten gigabytes": Misbehaviour(
            play.endless(b"HTTP/1.1 200 OK\r\nX-Giant: ", _MANY), FailureKind.PROTOCOL
        ),
        "failing": Misbehaviour(play.reply(500), 500),
        "overloaded": _asks_for("0", 503),
        "Retry-After: 0": _asks_for("0"),
        "Retry-After: -1": _asks_for("-1"),
        "Retry-After: a million million": _asks_for("1000000000000"),
        "Retry-After: 1970": _asks_for("Thu, 01 Jan 1970 00:00:00 GMT"),
        "Retry-After: garbage": _asks_for("\x80soon;;"),
        "a redirect to itself": Misbehaviour(play.redirect("/webhook"), 302),
        "a redirect for ever": Misbehaviour(play.redirect("/webhook", 308), 308),
        "a close without an answer": Misbehaviour(play.close(), FailureKind.RESET),
        "a close in the middle of the headers": Misbehaviour(play.close(_PART), FailureKind.RESET),
        "a reset in the middle of the headers": Misbehaviour(play.reset(_PART), FailureKind.RESET),
        "a close in the middle of the body": Misbehaviour(play.truncated_body(), 200),
        "HTTP/1.0": Misbehaviour(play.http_1_0(), 200),
        "100 again and again": Misbehaviour(play.interim(10_000), FailureKind.PROTOCOL),
        "100 and nothing more": Misbehaviour(play.interim(then=play.silence()), FailureKind.TIMEOUT_READ),
        "100 and then 417": Misbehaviour(play.interim(then=play.reply(417)), 417),
        "204 with a body": Misbehaviour(play.no_content_with_body(), 204),
        "invalid chunks": Misbehaviour(play.invalid_chunking(), 200),
        "another protocol": Misbehaviour(play.garbage(), FailureKind.PROTOCOL),
    }
)
"""By what they do. Some of them are taken for a success: the status counts, whatever becomes of the body."""
