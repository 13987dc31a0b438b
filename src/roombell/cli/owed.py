"""What ``roombell doctor`` says of what an endpoint is owed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from roombell.cli.findings import Finding, problem, warning
from roombell.engine.model import EndpointState, EndpointStatus
from roombell.signing.errors import span

OLD_S: Final = 600
"""An endpoint that has been owed something for longer than this is worth a word."""


def owed(endpoint: EndpointStatus, now_s: float) -> Iterator[Finding]:
    """What is wrong with an endpoint, as the store knows it."""
    check = f"store: {endpoint.name}"
    if endpoint.state is EndpointState.DISABLED:
        yield problem(
            check,
            f"It is disabled ({endpoint.reason}), and {endpoint.pending} deliveries wait.",
            "When the endpoint is right again, restart the service or send it SIGHUP: that makes it active.",
        )
    elif endpoint.state is EndpointState.REMOVED and endpoint.pending:
        yield warning(
            check,
            f"It is no longer configured, and {endpoint.pending} deliveries wait for it.",
            "Configure an endpoint of this name again to have them sent, or let them grow too old.",
        )
    if endpoint.dead:
        yield warning(
            check, f"{endpoint.dead} deliveries are dead.", "The log tells why each was given up: delivery given up."
        )
    waits_s = now_s - (endpoint.oldest_pending_at_ms or now_s * 1000) / 1000
    if endpoint.state is EndpointState.ACTIVE and waits_s > OLD_S:
        yield warning(
            check,
            f"{endpoint.pending} deliveries wait, the oldest for {span(waits_s)}.",
            "See what is said of this endpoint below, and whether the service runs.",
        )
