"""The transport that delivers: one signed POST for each attempt, in the form in which LiveKit sends its webhooks.

The client is our own, on httptools and asyncio's protocols. Sending is what Roombell exists for, and library clients
cost three to seven times as much CPU for each request; an own one also decides which address it dials. What it does
not do is what a webhook never needs: redirects (a 3xx is an answer like any other), cookies, HTTP/2, decompression,
streaming.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

import msgspec

from roombell.engine.model import EndpointId, Failed, FailureKind, Outcome
from roombell.engine.ports import AttemptRequest, Clock
from roombell.errors import UsageError
from roombell.signing import KeyRing
from roombell.signing.standard import StandardSigner
from roombell.transport.connect import Lookup, Resolver
from roombell.transport.dialers import dialer_of
from roombell.transport.headers import fixed_head, header_safe
from roombell.transport.hiding import hidden, secrets_of
from roombell.transport.pool import CLOSED, Pool
from roombell.transport.proxy import answer_trouble, parse_proxy
from roombell.transport.target import USER_AGENT, HttpLimits, HttpTarget
from roombell.transport.url import parse_url

_log: Final = logging.getLogger("roombell.transport")
_SUCCESS: Final = range(200, 300)


class _Route(msgspec.Struct, frozen=True):
    """What an endpoint's requests need."""

    pool: Pool
    head: str
    signer: StandardSigner | None
    secrets: tuple[bytes, ...]
    """What every request tells in confidence."""


class _Signatures(msgspec.Struct, frozen=True, gc=False):
    """What vouches for one attempt."""

    token: str
    webhook_id: str
    timestamp_s: int
    standard: str
    """Standard Webhooks' signatures; empty where the endpoint has no such secret."""

    @property
    def standard_lines(self) -> str:
        if not self.standard:
            return ""
        return f"Webhook-Timestamp: {self.timestamp_s}\r\nWebhook-Signature: {self.standard}\r\n"

    @property
    def secrets(self) -> Iterator[bytes]:
        yield self.token.encode("ascii")
        yield from (signature.encode("ascii") for signature in self.standard.split())


class HttpTransport:
    """Posts deliveries to endpoints over HTTP/1.1, on kept connections, each signed anew.

    Use it within one event loop. ``send`` may be called concurrently; each endpoint has its own connections and its
    own bounds, so that none can hold up another.

    :param targets: the endpoints.
    :param keys: signs; each target's ``api_key`` names one of its keys.
    :param clock: its wall time goes into tokens, its monotonic time measures. Deadlines are kept by the event loop.
    :param lookup: resolves names; by default the system's resolver does.
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
        lookup: Lookup | None = None,
    ) -> None:
        self._clock = clock
        self._user_agent = user_agent
        self._limits = limits or HttpLimits()
        self._resolver = Resolver(self._limits.addresses_max, lookup)
        self._targets: dict[EndpointId, HttpTarget] = {}
        self._routes: dict[EndpointId, _Route] = {}
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
            pool = self._routes.pop(endpoint_id).pool
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
            signatures = self._signatures(request, route)
            outcome = await route.pool.post(_message(request, route, signatures), started_s)
            return _told(outcome, signatures, route)
        except Exception as error:  # noqa: BLE001 - the port's promise: no fault of ours leaves a lane without an outcome
            _log.exception("An attempt failed by a fault in the transport")
            return Failed(FailureKind.CONFIGURATION, f"The transport has a fault: {type(error).__name__}.", 0)

    async def close(self) -> None:
        """Closes all connections; what is under way fails. Returns when the sockets are closed. Repeatable."""
        self._is_closed = True
        pools = [*(route.pool for route in self._routes.values()), *self._retired]
        await asyncio.gather(*(pool.close() for pool in pools))
        await self._resolver.close()

    def _signatures(self, request: AttemptRequest, route: _Route) -> _Signatures:
        delivery, now_s = request.delivery, self._clock.now_ms() / 1000
        token = self._keys.sign(delivery.body, api_key=route.pool.target.api_key, now=now_s)
        webhook_id = header_safe(delivery.event_id)
        standard = "" if route.signer is None else route.signer.sign(webhook_id, int(now_s), delivery.body)
        return _Signatures(token, webhook_id, int(now_s), standard)

    def _open_route(self, endpoint_id: EndpointId) -> _Route | None:
        target = self._targets.get(endpoint_id)
        if target is None:
            return None
        url = parse_url(target.url)
        proxy = parse_proxy(target.proxy) if target.proxy else None
        handed_to = None if url.is_tls else proxy
        pool = Pool(
            target,
            url.origin if handed_to is None else f"{url.origin} (through the proxy {handed_to.url.origin})",
            dialer=dialer_of(target, resolver=self._resolver, limits=self._limits, user_agent=self._user_agent),
            clock=self._clock,
            limits=self._limits,
            examine=None if handed_to is None else partial(answer_trouble, proxy=handed_to, origin=url.origin),
        )
        head = fixed_head(url, self._user_agent, target.headers, handed_to=handed_to)
        signer = StandardSigner(target.secrets) if target.secrets else None
        secrets = secrets_of(url, target.headers, handed_to)
        route = self._routes[endpoint_id] = _Route(pool, head, signer, secrets)
        return route


def _message(request: AttemptRequest, route: _Route, signed: _Signatures) -> bytes:
    delivery = request.delivery
    variable = (
        f"{route.head}{signed.token}\r\n"
        f"Webhook-Id: {signed.webhook_id}\r\n"
        f"{signed.standard_lines}"
        f"Webhook-Attempt: {request.attempt}\r\n"
        f"Webhook-Sequence: {delivery.sequence}\r\n"
        f"Webhook-Lane: {header_safe(request.lane_name)}\r\n"
        f"Content-Length: {len(delivery.body)}\r\n\r\n"
    )
    return variable.encode("ascii") + delivery.body


def _told(outcome: Outcome, signed: _Signatures, route: _Route) -> Outcome:
    """The outcome without what the endpoint repeats of the request's secrets. Of a 2xx no body is kept."""
    if isinstance(outcome, Failed) or outcome.status in _SUCCESS or not outcome.excerpt:
        return outcome
    return msgspec.structs.replace(outcome, excerpt=hidden(outcome.excerpt, (*signed.secrets, *route.secrets)))
