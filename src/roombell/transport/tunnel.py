"""Connections through a forward proxy. Which proxy, and whose fault a failure is, is judged in ``proxy``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final, cast

import msgspec

from roombell.engine.model import FailureKind
from roombell.transport.connect import Dialer, P, Progress, is_address, is_canonical
from roombell.transport.failures import TroubleError, connect_trouble
from roombell.transport.proxy import Proxy, tunnel_request, tunnel_trouble
from roombell.transport.tls import ClientTls
from roombell.transport.url import EndpointUrl

_HEAD_BYTES_MAX: Final = 65_536
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")
_NOT_THE_PROXYS: Final = frozenset((FailureKind.CONFIGURATION, FailureKind.BLOCKED))


class Tunnel(asyncio.Protocol):
    """What is said to a proxy before the tunnel is open."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._head = b""
        self._answer: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def ask(self, request: bytes) -> int | None:
        """The status of the proxy's answer; None where there was none that could be read."""
        self.transport.write(request)
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's has the methods and not the base class

    def data_received(self, data: bytes) -> None:
        self._head += data
        end = re.search(rb"\r?\n\r?\n", self._head)
        if end is not None:
            status = _STATUS.match(self._head)
            # In a tunnel the client speaks first: bytes after a success would be nobody's.
            is_clean = status is not None and (end.end() == len(self._head) or not status[1].startswith(b"2"))
            self._end(int(status[1]) if status is not None and is_clean else None)
        elif len(self._head) > _HEAD_BYTES_MAX:
            self._end(None)

    def connection_lost(self, _: Exception | None) -> None:
        self._end(None)

    def _end(self, status: int | None) -> None:
        if not self._answer.done():
            self._answer.set_result(status)


class Way(msgspec.Struct, frozen=True):
    """How an endpoint is reached through a proxy."""

    url: EndpointUrl
    proxy: Proxy
    tls: ClientTls | None
    """For the endpoint; None for an http endpoint, whose requests are handed to the proxy whole."""
    user_agent: str
    timeout_s: float
    is_judged_here: bool
    """Whether the endpoint's address is resolved and judged here; else the proxy alone does what it does."""


class ProxyDialer:
    """Opens connections to one endpoint through a proxy.

    :param to_proxy: opens connections to the proxy itself.
    :param to_endpoint: what would connect without the proxy; it is asked for the endpoint's addresses only.
    """

    def __init__(self, way: Way, *, to_proxy: Dialer, to_endpoint: Dialer) -> None:
        self._way = way
        self._to_proxy = to_proxy
        self._to_endpoint = to_endpoint

    async def connect(self, factory: Callable[[], P], progress: Progress) -> P:
        """The protocol of a new connection, its TLS handshake with the endpoint done.

        :raises TroubleError: whose kind is ``PROXY`` where the proxy is to blame.
        """
        if self._way.tls is None:
            await self._judge_whole(progress)
            return await self._reach_proxy(factory, progress)
        authority = await self._authority(progress)
        tunnel = await self._reach_proxy(Tunnel, progress)
        try:
            progress.doing = f"waiting for the proxy {self._way.proxy.url.origin} to connect to it"
            await self._open(tunnel, authority)
            progress.doing = "shaking hands through the proxy"
            return await self._encrypt(tunnel, self._way.tls, factory)
        except BaseException:
            tunnel.transport.abort()
            raise

    async def _judge_whole(self, progress: Progress) -> None:
        """A request in absolute form names the host, and the proxy resolves it: only an address can be judged here."""
        url = self._way.url
        if not self._way.is_judged_here:
            return
        if not is_address(url.host):
            told = (
                f"{url.origin} may not be sent to: only public addresses are allowed for it, and the proxy would "
                "resolve its name unseen. Use https, which is tunnelled to the very address that was judged."
            )
            raise TroubleError(FailureKind.BLOCKED, told)
        address = (await self._to_endpoint.addresses(progress))[0]
        if not is_canonical(url.host):
            told = (
                f"{url.origin} may not be sent to through a proxy, which may read {url.host} as another address than "
                f"{address.ip}, the one that was judged. Write {address.ip} in the URL."
            )
            raise TroubleError(FailureKind.BLOCKED, told)

    async def _authority(self, progress: Progress) -> str:
        if not self._way.is_judged_here:
            return self._way.url.authority
        return str((await self._to_endpoint.addresses(progress))[0])

    async def _reach_proxy(self, factory: Callable[[], P], progress: Progress) -> P:
        progress.blames = FailureKind.PROXY
        try:
            protocol = await self._to_proxy.connect(factory, progress)
        except TroubleError as error:
            trouble = error.trouble
            if trouble.kind in _NOT_THE_PROXYS:
                raise
            raise TroubleError(FailureKind.PROXY, f"No way through the proxy: {trouble.detail}") from None
        progress.blames = FailureKind.TIMEOUT_CONNECT
        return protocol

    async def _open(self, tunnel: Tunnel, authority: str) -> None:
        way = self._way
        status = await tunnel.ask(tunnel_request(way.proxy, authority, way.user_agent))
        if status is None:
            told = f"The proxy {way.proxy.url.origin} gave no valid answer when asked for a tunnel to {way.url.origin}."
            raise TroubleError(FailureKind.PROXY, told)
        trouble = tunnel_trouble(status, way.proxy, way.url.origin)
        if trouble is not None:
            raise TroubleError(trouble.kind, trouble.detail)

    async def _encrypt(self, tunnel: Tunnel, tls: ClientTls, factory: Callable[[], P]) -> P:
        way, protocol = self._way, factory()
        try:
            transport = await asyncio.get_running_loop().start_tls(
                tunnel.transport,
                protocol,
                tls.context,
                server_hostname=way.url.host,
                ssl_handshake_timeout=way.timeout_s + 1,
            )
        except OSError as error:
            trouble = connect_trouble(error, way.url.origin, f"the proxy {way.proxy.url.origin}", is_tls=True)
            raise TroubleError(trouble.kind, trouble.detail) from None
        if transport is None:
            raise TroubleError(FailureKind.RESET, f"{way.url.origin} closed the connection after the TLS handshake.")
        protocol.connection_made(transport)
        return protocol
