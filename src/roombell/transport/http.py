"""The transport that delivers: one signed POST for each attempt, in the form in which LiveKit sends its webhooks.

The client is our own, on httptools and asyncio's protocols. Sending is what Roombell exists for, and library clients
cost three to seven times as much CPU for each request; an own one also decides which address it dials. What it does
not do is what a webhook never needs: redirects (a 3xx is an answer like any other), cookies, proxies, HTTP/2,
decompression, streaming.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl
from collections.abc import Callable, Mapping
from typing import Final

from roombell.engine.model import EndpointId, Failed, FailureKind, Outcome
from roombell.engine.ports import AttemptRequest, Clock
from roombell.errors import UsageError
from roombell.signing import KeyRing
from roombell.transport.connect import Dialer, Resolver
from roombell.transport.headers import fixed_head, header_safe
from roombell.transport.pool import CLOSED, Pool
from roombell.transport.target import USER_AGENT, HttpLimits, HttpTarget
from roombell.transport.url import parse_url

_log: Final = logging.getLogger("roombell.transport")


def default_tls(_: HttpTarget) -> ssl.SSLContext:
    """TLS 1.2 or newer, the system's certificate authorities, host names checked."""
    return _default_context()


@functools.cache
def _default_context() -> ssl.SSLContext:
    # One for all: loading the authorities takes tens of milliseconds and a megabyte.
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class HttpTransport:
    """Posts deliveries to endpoints over HTTP/1.1, on kept connections, each signed anew.

    Use it within one event loop. ``send`` may be called concurrently; each endpoint has its own connections and its
    own bounds, so that none can hold up another.

    :param targets: the endpoints.
    :param keys: signs; each target's ``api_key`` names one of its keys.
    :param clock: its wall time goes into tokens, its monotonic time measures. Deadlines are kept by the event loop.
    :param tls: makes the TLS context of an https endpoint; called once for each of them.
    :raises UsageError: a target cannot be sent to; the message names it and the mend.
    """

    def __init__(
        self,
        targets: Mapping[EndpointId, HttpTarget],
        *,
        keys: KeyRing,
        clock: Clock,
        user_agent: str = USER_AGENT,
        limits: HttpLimits | None = None,
        tls: Callable[[HttpTarget], ssl.SSLContext] = default_tls,
    ) -> None:
        self._clock = clock
        self._user_agent = user_agent
        self._limits = limits or HttpLimits()
        self._tls = tls
        self._resolver = Resolver(self._limits.addresses_max)
        self._targets: dict[EndpointId, HttpTarget] = {}
        self._routes: dict[EndpointId, tuple[Pool, str]] = {}
        self._retired: list[Pool] = []
        self._is_closed = False
        self.configure(targets, keys)

    def configure(self, targets: Mapping[EndpointId, HttpTarget], keys: KeyRing) -> None:
        """Replaces the endpoints and the keys; nothing changes if any of them is refused.

        Targets that are equal to what they were keep their connections. What is under way to the others ends as it
        began. Attempts from now on are signed with the new keys.

        :raises UsageError: a target cannot be sent to, or its key is not in the ring.
        """
        for target in targets.values():
            target.check()
            if target.api_key not in keys:
                raise UsageError(f"Endpoint {target.name!r}: API key {target.api_key!r} is not among the keys.")
        self._keys = keys
        for endpoint_id in [one for one in self._routes if self._targets[one] != targets.get(one)]:
            pool, _ = self._routes.pop(endpoint_id)
            pool.retire()
            self._retired.append(pool)
        self._targets = dict(targets)
        self._retired = [pool for pool in self._retired if not pool.is_quiet]

    async def send(self, request: AttemptRequest) -> Outcome:
        """One attempt within the endpoint's timeout. Returns an outcome whatever happens, and raises nothing.

        The body is sent byte for byte. A kept connection that turns out to be closed before the answer began is
        replaced by a fresh one within the same attempt. When the caller is cancelled, the connection is dropped.
        """
        started_s = self._clock.monotonic()
        try:
            if self._is_closed:
                return Failed(CLOSED.kind, CLOSED.detail, 0)
            route = self._routes.get(request.endpoint_id) or self._open_route(request.endpoint_id)
            if route is None:
                return Failed(FailureKind.CONFIGURATION, f"There is no endpoint number {request.endpoint_id}.", 0)
            pool, head = route
            return await pool.post(self._message(request, pool.target.api_key, head), started_s)
        except Exception as error:  # noqa: BLE001 - the port's promise: no fault of ours leaves a lane without an outcome
            _log.exception("An attempt failed by a fault in the transport")
            return Failed(FailureKind.CONFIGURATION, f"The transport has a fault: {type(error).__name__}.", 0)

    async def close(self) -> None:
        """Closes all connections; what is under way fails. Returns when the sockets are closed. Repeatable."""
        self._is_closed = True
        pools = [*(pool for pool, _ in self._routes.values()), *self._retired]
        await asyncio.gather(*(pool.close() for pool in pools))
        await self._resolver.close()

    def _message(self, request: AttemptRequest, api_key: str, head: str) -> bytes:
        delivery = request.delivery
        token = self._keys.sign(delivery.body, api_key=api_key, now=self._clock.now_ms() / 1000)
        variable = (
            f"{head}{token}\r\n"
            f"Webhook-Id: {header_safe(delivery.event_id)}\r\n"
            f"Webhook-Attempt: {request.attempt}\r\n"
            f"Webhook-Sequence: {delivery.sequence}\r\n"
            f"Webhook-Lane: {header_safe(request.lane_name)}\r\n"
            f"Content-Length: {len(delivery.body)}\r\n\r\n"
        )
        return variable.encode("ascii") + delivery.body

    def _open_route(self, endpoint_id: EndpointId) -> tuple[Pool, str] | None:
        target = self._targets.get(endpoint_id)
        if target is None:
            return None
        url = parse_url(target.url)
        dialer = Dialer(
            url,
            resolver=self._resolver,
            tls=self._tls(target) if url.is_tls else None,
            timeout_s=target.timeout_ms / 1000,
            limits=self._limits,
        )
        pool = Pool(target, url, dialer=dialer, clock=self._clock, limits=self._limits)
        route = self._routes[endpoint_id] = (pool, fixed_head(url, self._user_agent, target.headers))
        return route
