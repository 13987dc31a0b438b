"""One plain HTTP request, for what a command asks of a service or hands on to it. Blocking: call it in a thread.

Deliveries go through ``roombell.transport``, which signs and posts; this is for everything else: any method, headers
as they came, an answer with its headers and body.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Final

import msgspec

from roombell.engine.model import FailureKind
from roombell.transport.failures import Trouble, connect_trouble, dns_trouble
from roombell.transport.url import EndpointUrl, parse_url

BODY_BYTES_MAX: Final = 1 << 20
"""As much of an answer's body is read."""


class Reply(msgspec.Struct, frozen=True):
    """An answer. Header names are lower case; of a repeated one the last counts."""

    status: int
    headers: dict[str, str]
    body: bytes
    duration_ms: int


def fetch(
    method: str,
    url: str,
    *,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | None = None,
    timeout_s: float,
    tls: ssl.SSLContext | None = None,
) -> Reply | Trouble:
    """The answer, or why there is none. Redirects are not followed.

    :param timeout_s: for connecting, and for each wait after that.
    :param tls: for an https URL; by default the system's authorities are trusted.
    :raises UsageError: ``url`` is no URL.
    """
    parsed = parse_url(url)
    started_s = time.monotonic()
    connection = _connection(parsed, timeout_s, tls)
    try:
        trouble = _connect(connection, parsed)
        if trouble is not None:
            return trouble
        _send(connection, parsed, method, headers, body)
        answer = connection.getresponse()
        content = answer.read(BODY_BYTES_MAX)
        told = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, told, content, round((time.monotonic() - started_s) * 1000))
    except TimeoutError:
        return Trouble(FailureKind.TIMEOUT_WAIT, f"{parsed.origin} did not answer within {timeout_s:g} s.")
    except http.client.RemoteDisconnected:
        return Trouble(FailureKind.RESET, f"{parsed.origin} closed the connection without an answer.")
    except http.client.HTTPException:
        return Trouble(FailureKind.PROTOCOL, f"{parsed.origin} answered something that is not HTTP.")
    except OSError as error:
        return connect_trouble(error, parsed.origin, _address(parsed), is_tls=parsed.is_tls)
    finally:
        connection.close()


def _connection(url: EndpointUrl, timeout_s: float, tls: ssl.SSLContext | None) -> http.client.HTTPConnection:
    if url.is_tls:
        context = tls or ssl.create_default_context()
        return http.client.HTTPSConnection(url.host, url.port, timeout=timeout_s, context=context)
    return http.client.HTTPConnection(url.host, url.port, timeout=timeout_s)


def _connect(connection: http.client.HTTPConnection, url: EndpointUrl) -> Trouble | None:
    try:
        connection.connect()
    except socket.gaierror as error:
        return dns_trouble(error, url.host)
    except OSError as error:
        return connect_trouble(error, url.origin, _address(url), is_tls=url.is_tls)
    return None


def _send(
    connection: http.client.HTTPConnection,
    url: EndpointUrl,
    method: str,
    headers: Iterable[tuple[str, str]],
    body: bytes | None,
) -> None:
    connection.putrequest(method, url.target, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", url.host_header)
    connection.putheader("Connection", "close")
    for name, value in headers:
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)


def _address(url: EndpointUrl) -> str:
    return f"[{url.host}]:{url.port}" if ":" in url.host else f"{url.host}:{url.port}"
