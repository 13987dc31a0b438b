"""Whether an endpoint can be reached: name, connection, TLS, and an answer to a HEAD. No event is sent.

An endpoint's own verdict on a webhook cannot be had without sending one. What can be had is all that lies before it,
and the clock of the machine that answers.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Final

from roombell.cli.findings import Finding, ok, problem, warning
from roombell.cli.http_client import Reply, fetch
from roombell.config import EndpointSettings, Settings
from roombell.engine.model import FailureKind
from roombell.signing import LEEWAY_S
from roombell.signing.errors import span
from roombell.transport.dialers import try_to_connect
from roombell.transport.failures import Trouble
from roombell.transport.proxy import parse_proxy
from roombell.transport.target import USER_AGENT
from roombell.transport.url import EndpointUrl, parse_url
from roombell.wiring import http_target

TIMEOUT_S: Final = 5.0
CLOCK_WARNING_S: Final = 10
"""Dates have a resolution of one second, and the answer takes its time; more than this is a clock that is wrong."""

_MENDS: Final = {
    FailureKind.DNS: "Check the host name, and whether this machine's name server knows it.",
    FailureKind.REFUSED: "Start the application there, or mend the port in the URL.",
    FailureKind.UNREACHABLE: "Check the network between, its routes and firewalls.",
    FailureKind.TLS: "Mend the certificate there, or the scheme of the URL.",
    FailureKind.TIMEOUT_CONNECT: "A firewall that drops what it does not like looks like this: open the way.",
    FailureKind.TIMEOUT_WAIT: "The server takes connections and does not answer: look at the application there.",
    FailureKind.PROXY: "Look at the proxy, and at the credentials and the port in its URL.",
    FailureKind.BLOCKED: "Mend the URL; if the address is meant, open it with network.allow.",
    FailureKind.PROTOCOL: "Something else than a web server listens there: mend the port in the URL.",
}


def check_endpoint(endpoint: EndpointSettings, settings: Settings) -> tuple[Finding, ...]:
    """What an attempt to this endpoint would meet before its application sees it. Takes seconds: run it in a thread."""
    check = f"endpoint {endpoint.name}"
    url = parse_url(endpoint.url)
    if _is_ourselves(url, settings):
        return (
            problem(
                check,
                f"It points to this service itself, {url.origin}: events would come back as duplicates.",
                "Name the URL of the application that is to get the events.",
            ),
        )
    target = http_target(endpoint)
    trouble = asyncio.run(try_to_connect(target, timeout_s=TIMEOUT_S))
    if trouble is not None:
        return (_failed(check, trouble),)
    if target.proxy:
        proxy = parse_proxy(target.proxy).url.origin
        how = "opened a tunnel to it" if url.is_tls else "is there; it connects to the endpoint when it is asked to"
        return (ok(check, f"{url.origin} is reached through the proxy {proxy}, which {how}. No event was sent."),)
    headers = (("User-Agent", USER_AGENT), *endpoint.headers)
    tls = None if target.tls is None else target.tls.context
    reply = fetch("HEAD", endpoint.url, headers=headers, timeout_s=TIMEOUT_S, tls=tls)
    if isinstance(reply, Trouble):
        return (_failed(check, reply),)
    return (_answered(check, url, reply), *_clock(url, reply))


def _failed(check: str, trouble: Trouble) -> Finding:
    return problem(check, trouble.detail, _MENDS.get(trouble.kind, "Look at the server there."))


def _answered(check: str, url: EndpointUrl, reply: Reply) -> Finding:
    how = "over TLS " if url.is_tls else ""
    told = f"{url.origin} answers {how}in {reply.duration_ms} ms: {reply.status} to a HEAD. No event was sent."
    match reply.status:
        case 301 | 302 | 303 | 307 | 308:
            return warning(check, f"{told} It redirects.", "Redirects are never followed: configure the final URL.")
        case 401 | 403:
            mend = "Let requests whose User-Agent begins with LiveKit pass; webhooks carry a signature of their own."
            return warning(check, f"{told} A login or a firewall may stand before it.", mend)
        case 410:
            return warning(check, f"{told} A 410 to a webhook disables the endpoint.", "Check the URL's path.")
        case status if status >= 500:  # noqa: PLR2004
            return warning(check, f"{told} It may be down.", "Look at the application there, and the proxy before it.")
        case _:
            return ok(check, told)


def _clock(url: EndpointUrl, reply: Reply) -> Iterator[Finding]:
    try:
        their_s = parsedate_to_datetime(reply.headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return
    off_s = time.time() - reply.duration_ms / 2000 - their_s
    told = f"This clock is {span(off_s)} {'ahead of' if off_s > 0 else 'behind'} that of {url.host}."
    mend = "Synchronise both (NTP): a token is valid by the clocks of both sides."
    if abs(off_s) > LEEWAY_S:
        yield problem("clock", f"{told} Webhooks may be refused: {LEEWAY_S} s are allowed.", mend)
    elif abs(off_s) > CLOCK_WARNING_S:
        yield warning("clock", told, mend)
    else:
        yield ok("clock", f"It agrees with that of {url.host} within {CLOCK_WARNING_S} s.")


def _is_ourselves(url: EndpointUrl, settings: Settings) -> bool:
    if url.port != settings.port or url.is_tls:
        return False
    try:
        found = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    bound = settings.bind_addresses
    return any(_is_of_this_machine(ip) and (not bound or ip in bound) for ip in {str(one[4][0]) for one in found})


def _is_of_this_machine(ip: str) -> bool:
    """An address that can be bound is one of this machine's."""
    family = socket.AF_INET6 if ipaddress.ip_address(ip.partition("%")[0]).version == 6 else socket.AF_INET  # noqa: PLR2004
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
    return True
