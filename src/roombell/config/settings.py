"""Settings as typed values. What they mean and may be stands in ``reference``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from roombell.engine.model import OnDead
from roombell.engine.retry import RetryPolicy
from roombell.engine.router import EventFilter
from roombell.transport.url import parse_url

PORT_DEFAULT: Final = 7890
_DAY_MS: Final = 86_400_000


class Keys(Mapping[str, str]):
    """API secrets by the name of their API key, in the order given. Its representation shows no secret."""

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._secrets = dict(secrets or {})

    def __getitem__(self, api_key: str) -> str:
        return self._secrets[api_key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._secrets)

    def __len__(self) -> int:
        return len(self._secrets)

    def __repr__(self) -> str:
        return f"<Keys {', '.join(self._secrets) or 'none'}>"


class StoreKind(StrEnum):
    """Which store keeps the events."""

    SQLITE = "sqlite"
    MEMORY = "memory"


class StoreSettings(msgspec.Struct, frozen=True):
    """Where events are kept. ``path`` is SQLite's file, relative to the working directory; empty for memory."""

    kind: StoreKind = StoreKind.SQLITE
    path: str = "roombell.db"

    @property
    def url(self) -> str:
        """The setting as it is written."""
        return "memory:" if self.kind is StoreKind.MEMORY else f"sqlite:///{self.path}"


class EndpointSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint. Its representation hides headers, path and query: they may hold secrets."""

    name: str
    """Pending deliveries belong to the name: keep it and the URL may change."""
    url: str
    api_key: str
    filter: EventFilter = EventFilter()
    headers: tuple[tuple[str, str], ...] = ()
    timeout_ms: int = 15_000
    concurrency: int = 64
    retry: RetryPolicy = RetryPolicy()
    on_dead: OnDead = OnDead.SKIP

    def __repr__(self) -> str:
        return f"<EndpointSettings {self.name!r} {parse_url(self.url).origin}>"


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The service's named bounds."""

    body_bytes_max: int = 1 << 20
    header_bytes_max: int = 64 << 10
    connections_max: int = 4096
    accepts_waiting_max: int = 4096
    held_deliveries_max: int = 20_000
    held_bytes_max: int = 64 << 20


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``roombell serve`` is told."""

    keys: Keys
    endpoints: tuple[EndpointSettings, ...] = ()
    port: int = PORT_DEFAULT
    bind_addresses: tuple[str, ...] = ()
    """Empty: every interface."""
    store: StoreSettings = StoreSettings()
    retention_ms: int = 7 * _DAY_MS
    stop_timeout_ms: int = 30_000
    limits: LimitSettings = LimitSettings()
    dev: bool = False
    """``--dev``: the service adds a built-in endpoint that shows what is delivered."""
    source: str = ""
    """The file or variable that was read; empty where there was none."""
    ignored_sections: tuple[str, ...] = ()
    """LiveKit server's own sections in the file, which mean nothing here."""
    notes: tuple[str, ...] = ()
    """What the operator should be told at the start, one sentence each."""
