"""From a target to what opens its connections: directly or through a proxy, judged by its network policy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec

from roombell.transport.connect import Dialer, P, Progress, Resolver, is_address
from roombell.transport.failures import Trouble, TroubleError
from roombell.transport.guard import Reach, guard_of
from roombell.transport.proxy import parse_proxy
from roombell.transport.target import USER_AGENT, HttpLimits, HttpTarget
from roombell.transport.tls import TlsSettings, read_tls
from roombell.transport.tunnel import ProxyDialer, Way
from roombell.transport.url import parse_url


class Connects(Protocol):
    """Opens connections to the endpoint, directly or through a proxy."""

    async def connect(self, factory: Callable[[], P], progress: Progress) -> P:
        """The protocol of a new connection that is ready for a request.

        :raises TroubleError: there is none.
        """


def dialer_of(target: HttpTarget, *, resolver: Resolver, limits: HttpLimits, user_agent: str) -> Connects:
    """What opens connections to a target that was checked."""
    url, timeout_s = parse_url(target.url), target.timeout_ms / 1000
    tls = (target.tls or read_tls(TlsSettings())) if url.is_tls else None
    dialer = partial(Dialer, resolver=resolver, timeout_s=timeout_s, limits=limits)
    direct = dialer(url, guard=guard_of(target.network), tls=tls)
    if not target.proxy:
        return direct
    proxy = parse_proxy(target.proxy)
    # A proxy is always the operator's choice, whoever chose the endpoint, and stands in a private network mostly.
    operators = msgspec.structs.replace(target.network, reach=Reach.OPERATOR)
    proxy_tls = read_tls(TlsSettings()) if proxy.url.is_tls else None
    to_proxy = dialer(proxy.url, guard=guard_of(operators), tls=proxy_tls)
    is_judged_here = target.network.reach is Reach.PUBLIC or is_address(url.host)
    way = Way(url, proxy, tls, user_agent, timeout_s, is_judged_here)
    return ProxyDialer(way, to_proxy=to_proxy, to_endpoint=direct)


async def try_to_connect(target: HttpTarget, *, timeout_s: float) -> Trouble | None:
    """Connects as an attempt would, TLS and proxy included, and hangs up. Why it could not; None if it could."""
    limits, progress = HttpLimits(), Progress("connecting")
    resolver = Resolver(limits.addresses_max)
    dialer = dialer_of(target, resolver=resolver, limits=limits, user_agent=USER_AGENT)
    try:
        async with asyncio.timeout(timeout_s):
            connection = await dialer.connect(_HangUp, progress)
    except TroubleError as error:
        return error.trouble
    except TimeoutError:
        told = f"{parse_url(target.url).origin} could not be asked within {timeout_s:g} s: still {progress.doing}."
        return Trouble(progress.blames, told)
    finally:
        await resolver.close()
    await connection.lost
    return None


class _HangUp(asyncio.Protocol):
    """A connection that is closed as soon as it is there."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not at once: whoever is connecting still holds the transport.
        asyncio.get_running_loop().call_soon(transport.close)

    def connection_lost(self, _: Exception | None) -> None:
        self.lost.set_result(None)
