"""What a transport is told about an endpoint, and the bounds it works within."""

from __future__ import annotations

from typing import Final

import msgspec

from roombell._version import __version__
from roombell.errors import UsageError
from roombell.transport.headers import check_custom_headers
from roombell.transport.url import parse_url

USER_AGENT: Final = f"LiveKit (Roombell/{__version__})"
"""Begins as LiveKit's own does, so that firewalls and proxies that let LiveKit's webhooks pass let ours pass too."""


class HttpTarget(msgspec.Struct, frozen=True):
    """An endpoint, as the transport needs to know it. Its representation hides headers, path and query."""

    name: str
    url: str
    api_key: str
    """Which key of the ring signs."""
    headers: tuple[tuple[str, str], ...] = ()
    """The operator's own headers; none of the protocol's may be among them."""
    timeout_ms: int = 15_000
    """For a whole attempt, from the moment it is asked for to the end of the answer's headers."""
    connections_max: int = 64

    def check(self) -> None:
        """Refuses what could not be sent.

        :raises UsageError: names the endpoint, the field and what it may be; ``EndpointUrlError`` for the URL.
        """
        try:
            parse_url(self.url)
            check_custom_headers(self.headers)
            _check_at_least_one("timeout_ms", self.timeout_ms)
            _check_at_least_one("connections_max", self.connections_max)
        except UsageError as error:
            raise type(error)(f"Endpoint {self.name!r}: {error}") from None

    def __repr__(self) -> str:
        return f"<HttpTarget {self.name!r}>"


def _check_at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise UsageError(f"{name} is {value}; it must be at least 1.")


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on what any one endpoint can make the transport do."""

    header_bytes_max: int = 65_536
    """An answer whose status line and headers are longer is a protocol failure."""
    body_bytes_max: int = 65_536
    """An answer's body is read to here; past it the answer counts as it stands and the connection is dropped."""
    excerpt_bytes_max: int = 1_024
    """How much of the body is kept for people to read."""
    body_grace_ms: int = 1_000
    """How long the body may take once the headers are complete, within the attempt's timeout."""
    interim_max: int = 16
    """How many 1xx answers are skipped before the real one."""
    idle_timeout_ms: int = 30_000
    """An unused connection is closed after this; ``Keep-Alive: timeout`` may make it shorter."""
    addresses_max: int = 8
    """How many of a name's addresses are tried."""
    address_timeout_ms: int = 3_000
    """How long one address is tried while there is another; the last one has what is left of the attempt's time."""
