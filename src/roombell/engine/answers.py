"""What every answer and every failure means: one table. Pure.

``decide`` and ``health`` read it, and the table in the documentation is written from it, so the three cannot disagree.
Each rule says what follows for the delivery, and what the endpoint has shown of itself.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from roombell.engine.model import Answered, FailureKind, Outcome


class Follows(StrEnum):
    """What follows for the delivery."""

    DELIVERED = "delivered"
    DISABLE = "the endpoint is disabled, the delivery kept"
    RETRY = "retried by back-off"
    RETRY_AS_ASKED = "retried as `Retry-After` asks, within the policy's bounds; without it by back-off"


class Evidence(StrEnum):
    """What an attempt says of its endpoint."""

    UP = "up"
    """It took the event, or refused it with thought: it is there."""
    BUSY = "busy"
    """It is there, and asks for less."""
    FALTERING = "faltering"
    """It failed, or this event makes it fail."""
    DOWN = "down"
    """It failed, whatever the event."""
    NOTHING = "nothing"
    """The attempt failed on our side."""


class Rule(msgspec.Struct, frozen=True):
    """One line of the table."""

    meaning: str
    follows: Follows
    evidence: Evidence


class StatusRule(msgspec.Struct, frozen=True):
    """The rule for the statuses from ``first`` to ``last``; the first that matches counts."""

    first: int
    last: int
    rule: Rule

    @property
    def label(self) -> str:
        """The statuses as people write them."""
        if self.first == self.last:
            return str(self.first)
        if self.first % 100 == 0 and self.last == self.first + 99:
            return f"{self.first // 100}xx"
        return f"{self.first}-{self.last}"


_OVERLOADED: Final = Rule("too many requests", Follows.RETRY_AS_ASKED, Evidence.BUSY)
_GATEWAY: Final = Rule("nothing behind the gateway", Follows.RETRY, Evidence.DOWN)

STATUSES: Final = (
    StatusRule(200, 299, Rule("taken", Follows.DELIVERED, Evidence.UP)),
    StatusRule(410, 410, Rule("gone for good", Follows.DISABLE, Evidence.UP)),
    StatusRule(408, 408, Rule("the endpoint was too slow to read", Follows.RETRY, Evidence.BUSY)),
    StatusRule(425, 425, Rule("too early", Follows.RETRY, Evidence.BUSY)),
    StatusRule(429, 429, _OVERLOADED),
    StatusRule(502, 502, _GATEWAY),
    StatusRule(503, 503, Rule("unavailable", Follows.RETRY_AS_ASKED, Evidence.DOWN)),
    StatusRule(504, 504, _GATEWAY),
    StatusRule(300, 399, Rule("a redirect, which is never followed", Follows.RETRY, Evidence.UP)),
    StatusRule(400, 499, Rule("refused", Follows.RETRY, Evidence.UP)),
    StatusRule(500, 599, Rule("failed", Follows.RETRY, Evidence.FALTERING)),
    StatusRule(100, 999, Rule("no status of HTTP's", Follows.RETRY, Evidence.FALTERING)),
)

FAILURES: Final = MappingProxyType(
    {
        FailureKind.DNS: Rule("the name has no address", Follows.RETRY, Evidence.DOWN),
        FailureKind.REFUSED: Rule("nobody listens", Follows.RETRY, Evidence.DOWN),
        FailureKind.UNREACHABLE: Rule("no way there", Follows.RETRY, Evidence.DOWN),
        FailureKind.TLS: Rule("no trusted TLS connection", Follows.RETRY, Evidence.DOWN),
        FailureKind.TIMEOUT_CONNECT: Rule("no connection in time", Follows.RETRY, Evidence.DOWN),
        FailureKind.BLOCKED: Rule("an address that may not be reached", Follows.RETRY, Evidence.DOWN),
        FailureKind.PROXY: Rule("no way through the proxy", Follows.RETRY, Evidence.DOWN),
        FailureKind.RESET: Rule("the connection broke", Follows.RETRY, Evidence.FALTERING),
        FailureKind.TIMEOUT_SEND: Rule("the request was not taken in time", Follows.RETRY, Evidence.FALTERING),
        FailureKind.TIMEOUT_WAIT: Rule("no answer in time", Follows.RETRY, Evidence.FALTERING),
        FailureKind.TIMEOUT_READ: Rule("an answer begun and not ended in time", Follows.RETRY, Evidence.FALTERING),
        FailureKind.PROTOCOL: Rule("an answer that is not HTTP", Follows.RETRY, Evidence.FALTERING),
        FailureKind.CONFIGURATION: Rule("a fault on our side", Follows.RETRY, Evidence.NOTHING),
    }
)

_RULE_OF_STATUS: Final = {
    status: next(one.rule for one in STATUSES if one.first <= status <= one.last) for status in range(100, 1000)
}


def rule_of(outcome: Outcome) -> Rule:
    """The rule for an outcome."""
    if isinstance(outcome, Answered):
        return _RULE_OF_STATUS[outcome.status]
    return FAILURES[outcome.kind]


def table() -> str:
    """The table as Markdown."""
    lines = ["| what came | what it means | the delivery | the endpoint |", "| --- | --- | --- | --- |"]
    rows = [(one.label, one.rule) for one in STATUSES] + [(f"`{kind}`", rule) for kind, rule in FAILURES.items()]
    lines += [f"| {label} | {rule.meaning} | {rule.follows} | {rule.evidence} |" for label, rule in rows]
    return "\n".join(lines)
