"""Settings as typed values. What they mean and may be stands in ``reference``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from roombell.engine.model import OnDead
from roombell.engine.retry import RetryPolicy
from roombell.engine.router import EventFilter
from roombell.errors import UsageError
from roombell.stores.postgres.url import SCHEMES, PostgresUrl, masked
from roombell.stores.postgres.url import parse_url as parse_postgres_url
from roombell.transport.guard import NetworkPolicy
from roombell.transport.tls import TlsSettings
from roombell.transport.url import parse_url

PORT_DEFAULT: Final = 7890
OPERATIONS: Final = "@operations"
"""The name of the internal endpoint for operational events; no configured one can have it."""
RATE_PER_S_MAX: Final = 100_000
_DAY_MS: Final = 86_400_000
_SPAN_MS_MAX: Final = 3650 * _DAY_MS
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PLAIN_URL: Final = re.compile(r"https://[a-z0-9.-]+(?:/|(?:/(?:[a-z][a-z.-]{0,23}|v[0-9]{1,2}))+)")
_HASH_CHARS: Final = 8
_NAME_CHARS_MAX: Final = 64


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
    POSTGRESQL = "postgresql"
    MEMORY = "memory"


class Role(StrEnum):
    """What a worker does. Those that do one half need a store that others share."""

    ALL = "all"
    INGEST = "ingest"
    """It takes events and delivers none."""
    DELIVER = "deliver"
    """It delivers and takes no events."""


class StoreSettings(msgspec.Struct, frozen=True):
    """Where events are kept. Its representation shows no password."""

    kind: StoreKind = StoreKind.SQLITE
    path: str = "roombell.db"
    """SQLite's file, relative to the working directory; empty for other kinds."""
    postgres: PostgresUrl | None = None
    """The database, where the kind is PostgreSQL."""

    @classmethod
    def of_url(cls, url: str) -> StoreSettings:
        """What ``url`` names: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``postgresql://…`` or ``memory:``.

        :raises UsageError: it names no store; the message says what was expected.
        """
        scheme, _, rest = url.partition(":")
        if scheme in SCHEMES:
            return cls(kind=StoreKind.POSTGRESQL, path="", postgres=parse_postgres_url(url))
        if scheme == "memory" and not rest.strip("/"):
            return cls(kind=StoreKind.MEMORY, path="")
        path = rest.removeprefix("///")
        if scheme != "sqlite" or path in (rest, "") or path.endswith("/"):
            raise UsageError(
                "expected sqlite:///relative.db, sqlite:////absolute.db, postgresql://user@host/database or memory:"
            )
        if path == ":memory:":
            raise UsageError("write memory: for a store in memory; it loses everything when the process ends")
        if "?" in path or "#" in path or path.startswith("~"):
            raise UsageError("the path of the store's file may have no '?', '#' and no '~' at its beginning")
        return cls(path=path)

    @property
    def url(self) -> str:
        """The setting as it is written, without a password."""
        if self.postgres is not None:
            return masked(self.postgres.dsn)
        return "memory:" if self.kind is StoreKind.MEMORY else f"sqlite:///{self.path}"


class EndpointSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint. Its representation hides headers, path, query, proxy and secrets."""

    name: str
    """Pending deliveries belong to the name: keep it and the URL may change."""
    url: str
    api_key: str
    filter: EventFilter = EventFilter()
    headers: tuple[tuple[str, str], ...] = ()
    timeout_ms: int = 15_000
    """For a whole attempt."""
    connect_timeout_ms: int | None = None
    """For the part until the connection is ready, where that is to be less."""
    wait_timeout_ms: int | None = None
    """For the part from the request to the answer, where that is to be less."""
    concurrency: int = 64
    rate_limit_per_s: float | None = None
    """How many attempts may begin in a second; None for no limit."""
    retry: RetryPolicy = RetryPolicy()
    on_dead: OnDead = OnDead.SKIP
    secrets: tuple[str, ...] = ()
    """Standard Webhooks' secrets (``whsec_...``): each signs besides LiveKit's token, two while one takes over."""
    network: NetworkPolicy = NetworkPolicy()
    """Where it may be. ``NetworkPolicy(reach=Reach.PUBLIC)`` is for a URL that somebody else may have chosen."""
    proxy: str | None = None
    """A forward proxy's URL; empty for none; None: what ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY`` say."""
    tls: TlsSettings = TlsSettings()

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
    role: Role = Role.ALL
    lease_ms: int = 60_000
    """How long a worker that is gone keeps its lanes."""
    retention_ms: int = 7 * _DAY_MS
    stop_timeout_ms: int = 5_000
    """Short: nothing is taken meanwhile, and LiveKit tries for 15 s only. What is cut goes out again at the start."""
    limits: LimitSettings = LimitSettings()
    operations: EndpointSettings | None = None
    """Where operational events go; named ``OPERATIONS``."""
    dev: bool = False
    """``--dev``: the service adds a built-in endpoint that shows what is delivered."""
    source: str = ""
    """The file or variable that was read; empty where there was none."""
    ignored_sections: tuple[str, ...] = ()
    """LiveKit server's own sections in the file, which mean nothing here."""
    notes: tuple[str, ...] = ()
    """What the operator should be told at the start, one sentence each."""

    @property
    def destinations(self) -> tuple[EndpointSettings, ...]:
        """Everything that is sent to: the endpoints, and where operational events go."""
        return self.endpoints if self.operations is None else (*self.endpoints, self.operations)


def is_endpoint_name(name: str) -> bool:
    """Whether an endpoint can be named so: names stand in URLs, metrics and logs."""
    return _NAME.fullmatch(name) is not None


def checked_endpoint(endpoint: EndpointSettings) -> EndpointSettings:
    """The same, with every value of the type that it should be. What is sent over the wire is not looked at here.

    :raises UsageError: names the endpoint, the field, and what it may be; no value of a field that can be secret.
    """
    if not isinstance(endpoint, EndpointSettings):
        raise UsageError(f"An endpoint is given as EndpointSettings, not {type(endpoint).__name__}.")
    try:
        given: object = msgspec.to_builtins(endpoint, builtin_types=(bytes, bytearray))
        typed = msgspec.convert(given, EndpointSettings)
    except (msgspec.ValidationError, TypeError) as error:
        raise UsageError(f"Endpoint {endpoint.name!a} cannot be used: {error}.") from None
    if not is_endpoint_name(typed.name):
        raise UsageError(
            f"Endpoint {typed.name[:80]!a}: the name may have 1 to {_NAME_CHARS_MAX} letters, digits, '.', '_' or '-'."
        )
    for field, value in _numbers(typed):
        if value is not None and not 1 <= value <= _SPAN_MS_MAX:
            raise UsageError(f"Endpoint {typed.name!r}: {field} is {value}; it may be from 1 to {_SPAN_MS_MAX}.")
    rate = typed.rate_limit_per_s
    if rate is not None and not 0 < rate <= RATE_PER_S_MAX:
        raise UsageError(
            f"Endpoint {typed.name!r}: rate_limit_per_s is {rate}; it must be more than 0 and up to {RATE_PER_S_MAX}."
        )
    return typed


def _numbers(endpoint: EndpointSettings) -> Iterator[tuple[str, int | None]]:
    yield "timeout_ms", endpoint.timeout_ms
    yield "connect_timeout_ms", endpoint.connect_timeout_ms
    yield "wait_timeout_ms", endpoint.wait_timeout_ms
    yield "concurrency", endpoint.concurrency
    for field in RetryPolicy.__struct_fields__:
        value: int = getattr(endpoint.retry, field)
        yield f"retry.{field}", value


def name_of_url(url: str) -> str:
    """An endpoint's name made from its URL alone, so that it stays when other URLs come, go or change places.

    ``https://app.example.com/livekit`` is ``app.example.com_livekit``. Of a URL that is less plain only the host is
    shown, with digits of the URL's hash: names appear in logs and metrics, and a path or a query may hold a secret.

    :raises UsageError: it is no URL that a webhook can be posted to.
    """
    parsed = parse_url(url)
    sent_to = parsed.origin + parsed.target
    readable = (parsed.host + parsed.target).rstrip("/").replace("/", "_")
    if _PLAIN_URL.fullmatch(sent_to) and len(readable) <= _NAME_CHARS_MAX:
        return readable
    digest = hashlib.sha256(sent_to.encode()).hexdigest()[:_HASH_CHARS]
    host = re.sub(r"[^a-z0-9.-]+", "_", parsed.host)
    return f"{host[: _NAME_CHARS_MAX - _HASH_CHARS - 1]}-{digest}"
