"""The bounds of the HTTP server."""

from __future__ import annotations

import msgspec


class HttpLimits(msgspec.Struct, frozen=True):
    """What a client may take. Past a bound it gets the status named here, and the connection ends."""

    body_bytes_max: int = 1024 * 1024
    """One request's body; 413, before it is read where its length is announced."""
    bodies_bytes_max: int = 256 * 1024 * 1024
    """All bodies in memory together; 503."""
    head_bytes_max: int = 32 * 1024
    """Header names and values of one request together; 431."""
    target_bytes_max: int = 8 * 1024
    """The request line's target; 414."""
    connections_max: int = 4096
    """Connections open at once; 503."""
    pipeline_max: int = 16
    """Requests of one connection under way at once; beyond it nothing is read from the connection."""
    head_s: float = 10.0
    """From a request's first byte to the end of its headers; 408."""
    body_s: float = 30.0
    """From there to the end of its body; 408."""
    answer_s: float = 30.0
    """From the whole request to the handler's answer; 503. What the handler does goes on."""
    idle_s: float = 75.0
    """Between requests; the connection is closed."""
    write_s: float = 30.0
    """For a client to take in an answer; the connection is cut."""
    linger_s: float = 5.0
    """How long a connection that was refused in the middle of a request still swallows what comes, so that the
    client gets to read the refusal instead of a reset (RFC 9112, section 9.6)."""
