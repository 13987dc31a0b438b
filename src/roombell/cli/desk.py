"""Where a person's orders are carried out: by the service that runs, or on its store where none does.

A store belongs to the one process that has it open, so a command asks the service, with a token that it makes from the
same keys. Only where nothing listens at the service's address does it open the store itself.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol, TypeVar
from urllib.parse import urlencode

import msgspec

from roombell.cli.exits import NetworkTrouble
from roombell.cli.http_client import Reply, fetch
from roombell.cli.options import host_to_reach
from roombell.config import Keys, Settings, StoreKind, load
from roombell.engine.model import EndpointState, FailureKind
from roombell.engine.operator import Action, DeliveryPage, Operator, Progress, Selection
from roombell.engine.selection import DeliveryHistory
from roombell.errors import StoreError, StoreLocked, UsageError
from roombell.service.api import PREFIX, Named, Order
from roombell.signing import KeyRing
from roombell.transport.failures import Trouble
from roombell.wiring import FollowingClock, make_store

TIMEOUT_S: Final = 60.0
_BY: Final = "the command line"
_OK: Final = 200
_BAD_REQUEST: Final = 400
_UNAUTHORIZED: Final = 401
_CONFIGURING: Final = (
    "ROOMBELL_CONFIG", "LIVEKIT_CONFIG", "LIVEKIT_KEYS", "LIVEKIT_KEY_FILE", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"
)  # fmt: skip
"""Variables without any of which there is no key, so that ``serve`` starts with ``--dev`` alone."""
_UNCONFIGURED: Final = (
    "Nothing is configured here, so this is what serve --dev has: --config names another service's file."
)

T = TypeVar("T")


class EndpointLine(msgspec.Struct, frozen=True):
    """An endpoint as the command line shows it."""

    name: str
    state: EndpointState
    reason: str
    changed_at_ms: int
    pending: int
    dead: int
    blocked: int
    oldest_pending_at_ms: int | None


class _Endpoints(msgspec.Struct, frozen=True):
    endpoints: tuple[EndpointLine, ...]


class _Histories(msgspec.Struct, frozen=True):
    deliveries: tuple[DeliveryHistory, ...]


class _Nothing(msgspec.Struct, frozen=True):
    pass


class _Refusal(msgspec.Struct, frozen=True):
    error: str
    message: str


class Desk(Protocol):
    """What a command can ask for."""

    async def endpoints(self) -> Sequence[EndpointLine]:
        """Every endpoint."""

    async def deliveries(self, selection: Selection, *, after: str, limit: int) -> DeliveryPage:
        """A page of deliveries."""

    async def attempts(self, event_id: str) -> Sequence[DeliveryHistory]:
        """An event's deliveries with their attempts."""

    async def step(self, action: Action, selection: Selection, *, after: str, dry_run: bool) -> Progress:
        """One step of something long."""

    async def pause(self, name: str) -> None:
        """Sends an endpoint nothing more."""

    async def resume(self, name: str) -> None:
        """Sends to an endpoint again."""


class StoreDesk:
    """On the store itself, which is open."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    async def endpoints(self) -> Sequence[EndpointLine]:
        return [
            msgspec.convert(endpoint, EndpointLine, from_attributes=True)
            for endpoint in await self._operator.endpoints()
        ]

    async def deliveries(self, selection: Selection, *, after: str, limit: int) -> DeliveryPage:
        return await self._operator.deliveries(selection, after=after, limit=limit)

    async def attempts(self, event_id: str) -> Sequence[DeliveryHistory]:
        return await self._operator.attempts(event_id)

    async def step(self, action: Action, selection: Selection, *, after: str, dry_run: bool) -> Progress:
        return await self._operator.step(action, selection, after=after, dry_run=dry_run, by=_BY)

    async def pause(self, name: str) -> None:
        await self._operator.pause(name, by=_BY)

    async def resume(self, name: str) -> None:
        await self._operator.resume(name, by=_BY)


class ServiceDesk:
    """At the service that runs at ``url``.

    :param hint: what else to say where it refuses the key.
    """

    def __init__(self, url: str, keys: Keys, hint: str = "") -> None:
        self._url, self._keys, self._api_key = url.rstrip("/"), KeyRing(keys), next(iter(keys))
        self._hint = hint

    async def endpoints(self) -> Sequence[EndpointLine]:
        return self._asked("GET", "endpoints", _Endpoints).endpoints

    async def deliveries(self, selection: Selection, *, after: str, limit: int) -> DeliveryPage:
        named = {
            "endpoint": selection.endpoint, "lane": selection.lane, "room": selection.room,
            "event_id": selection.event_id, "since_ms": selection.since_ms, "until_ms": selection.until_ms,
        }  # fmt: skip
        query: list[tuple[str, str | int]] = [(name, value) for name, value in named.items() if value is not None]
        query += [("state", state.value) for state in selection.states]
        query += [("after", after), ("limit", limit)]
        return self._asked("GET", f"deliveries?{urlencode(query)}", DeliveryPage)

    async def attempts(self, event_id: str) -> Sequence[DeliveryHistory]:
        return self._asked("GET", f"attempts?{urlencode({'event_id': event_id})}", _Histories).deliveries

    async def step(self, action: Action, selection: Selection, *, after: str, dry_run: bool) -> Progress:
        return self._asked("POST", action.value, Progress, Order(selection=selection, after=after, dry_run=dry_run))

    async def pause(self, name: str) -> None:
        self._asked("POST", "pause", _Nothing, Named(name))

    async def resume(self, name: str) -> None:
        self._asked("POST", "resume", _Nothing, Named(name))

    def ask(self, method: str, path: str, body: msgspec.Struct | None = None) -> Reply | Trouble:
        """The service's answer, or why there is none."""
        token = self._keys.sign_admin(api_key=self._api_key, now=time.time())
        headers = [("Authorization", f"Bearer {token}"), ("Content-Type", "application/json")]
        content = None if body is None else msgspec.json.encode(body)
        return fetch(method, f"{self._url}{PREFIX}/{path}", headers=headers, body=content, timeout_s=TIMEOUT_S)

    def _asked(self, method: str, path: str, kind: type[T], body: msgspec.Struct | None = None) -> T:
        reply = self.ask(method, path, body)
        if isinstance(reply, Trouble):
            raise NetworkTrouble(f"The service cannot be asked: {reply.detail}")
        if reply.status != _OK:
            raise _refused(self._url, reply, self._hint)
        try:
            return msgspec.json.decode(reply.body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise NetworkTrouble(f"What answers at {self._url} is no Roombell of this version.") from None


def desk_settings(config: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the service was started with; those of ``serve --dev`` where nothing is configured.

    :raises ConfigError: the file or the environment is wrong.
    """
    is_configured = config is not None or any(environ.get(name) for name in _CONFIGURING)
    return load(config, environ, dev=not is_configured)


@asynccontextmanager
async def opened_desk(settings: Settings, keys: Keys, service: str | None) -> AsyncIterator[Desk]:
    """The service if one listens, else the store.

    :param service: the service's URL; then the store is never opened.
    :raises UsageError: there is no key to make a token with, or ``service`` is no URL.
    """
    url = service or f"http://{host_to_reach(settings.bind_addresses)}:{settings.port}"
    hint = f" {_UNCONFIGURED}" if settings.dev and keys == settings.keys else ""
    at_service = ServiceDesk(url, keys, hint)
    if service is not None or (settings.port and _listens(at_service)):
        yield at_service
        return
    store_settings = settings.store
    if store_settings.kind is StoreKind.MEMORY:
        raise StoreError(f"The store is in memory, so only the service has it, and nothing listens at {url}.")
    is_file = store_settings.kind is StoreKind.SQLITE
    if is_file and not await asyncio.to_thread(Path(store_settings.path).exists):
        raise StoreError(f"There is no store at {store_settings.path}, and no service listens at {url}.{hint}")
    store = make_store(store_settings)
    try:
        await store.open()
    except StoreLocked as error:
        raise StoreLocked(f"{error} Nothing listens at {url}: name the service with --service URL.") from None
    try:
        clock = FollowingClock()
        clock.follow(store)
        yield StoreDesk(Operator(store, clock))
    finally:
        await store.close()


def _listens(desk: ServiceDesk) -> bool:
    reply = desk.ask("GET", "endpoints")
    return not (isinstance(reply, Trouble) and reply.kind is FailureKind.REFUSED)


def _refused(url: str, reply: Reply, hint: str) -> Exception:
    try:
        message = msgspec.json.decode(reply.body, type=_Refusal).message
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return NetworkTrouble(f"What answers at {url} is no Roombell: it said {reply.status}.")
    if reply.status == _BAD_REQUEST:
        return UsageError(message)
    also = hint if reply.status == _UNAUTHORIZED else ""
    return NetworkTrouble(f"The service at {url} refused with {reply.status}: {message}{also}")
