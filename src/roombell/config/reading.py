"""From a text and the environment to ``Settings``."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from roombell.config.document import Section, Value, nearest, read_document, text_value
from roombell.config.endpoints import read_endpoints
from roombell.config.keys import SECRET_CHARS_ADVISED, read_keys, read_text, weak_keys
from roombell.config.reference import LIVEKIT_SECTIONS, known
from roombell.errors import UsageError
from roombell.settings import EndpointSettings, Keys, LimitSettings, Settings, StoreKind, StoreSettings

_PORT_MAX: Final = 65535
_ADDRESSES_MAX: Final = 64
DEV_KEYS: Final = Keys({"devkey": "secret"})
"""The key pair of ``livekit-server --dev``."""
_DEV_STORE: Final = StoreSettings(path="roombell-dev.db")
_LOOPBACK: Final = "127.0.0.1"


def load(path: Path | None, environ: Mapping[str, str], *, dev: bool = False) -> Settings:
    """The settings from the file at ``path``, else at ``ROOMBELL_CONFIG``, else from ``LIVEKIT_CONFIG``'s text, else
    from the environment alone.

    :raises ConfigError: a file cannot be read, or a setting is wrong; it names the file, the line and the setting.
    """
    named = path if path is not None else _path(environ.get("ROOMBELL_CONFIG", ""))
    if named is not None:
        return parse(read_text(named), source=str(named), environ=environ, dev=dev)
    body = environ.get("LIVEKIT_CONFIG", "")
    return parse(body, source="LIVEKIT_CONFIG" if body else "", environ=environ, dev=dev)


def parse(text: str, *, source: str, environ: Mapping[str, str], dev: bool = False) -> Settings:
    """The settings in a YAML text, with what the environment lays over them. Reads no file but the key file and
    those that ``tls`` names.

    :param source: what errors call the text.
    :param dev: what nobody sets gets the values for development: LiveKit's development key, the loopback address, a
        SQLite file of its own.
    :raises ConfigError: and nothing else, whatever the text.
    """
    defaults = Settings(keys=DEV_KEYS, bind_addresses=(_LOOPBACK,), store=_DEV_STORE) if dev else Settings(keys=Keys())
    top = read_document(text, source).section()
    ignored = _ignored_sections(top)
    keys = read_keys(top, environ, defaults.keys)
    read = read_endpoints(top, keys, environ)
    store = _store(_overridden("ROOMBELL_STORE", top.get("store"), environ), defaults.store)
    port = _overridden("ROOMBELL_PORT", None if ignored else top.get("port"), environ)
    lease, retention, stop_timeout = top.get("lease"), top.get("retention"), top.get("stop_timeout")
    return Settings(
        keys=keys,
        endpoints=read.endpoints,
        operations=read.operations,
        port=defaults.port if port is None else port.integer(0, _PORT_MAX),
        bind_addresses=_addresses(None if ignored else top.get("bind_addresses"), defaults.bind_addresses),
        store=store,
        lease_ms=defaults.lease_ms if lease is None else lease.duration_ms("5s", "10m"),
        retention_ms=defaults.retention_ms if retention is None else retention.duration_ms("1m", "3650d"),
        stop_timeout_ms=defaults.stop_timeout_ms if stop_timeout is None else stop_timeout.duration_ms("0", "10m"),
        limits=_limits(top.section("limits", known("limits"))),
        dev=dev,
        source=source,
        ignored_sections=ignored,
        notes=(*_livekit_notes(top, ignored), *read.notes, *(() if dev else _risks(keys, read.endpoints, store))),
    )


def dev_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """What ``--dev`` uses where no file is named; ``environ`` may still say otherwise.

    :raises ConfigError: a variable in ``environ`` is wrong.
    """
    return load(None, environ or {}, dev=True)


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _ignored_sections(top: Section) -> tuple[str, ...]:
    """LiveKit's own sections among the top-level names; whatever else is unknown is refused.

    A file that is plainly LiveKit's may come from a newer server than this list, so there a name that resembles none
    of ours counts as LiveKit's too.
    """
    ours = known()
    strangers = [name for name in top if name not in ours]
    is_livekits = not LIVEKIT_SECTIONS.isdisjoint(strangers)
    ignored = {name for name in strangers if name in LIVEKIT_SECTIONS or (is_livekits and not nearest(name, ours))}
    top.check(ours | ignored)
    return tuple(name for name in strangers if name in ignored)


def _livekit_notes(top: Section, ignored: tuple[str, ...]) -> Iterator[str]:
    if not ignored:
        return
    yield f"LiveKit server's own sections are ignored: {', '.join(ignored)}."
    if top.get("port") is not None:
        yield "port is LiveKit server's in this file and has no effect here; ROOMBELL_PORT sets Roombell's."
    if top.get("bind_addresses") is not None:
        yield "bind_addresses is LiveKit server's in this file and has no effect here."


def _risks(keys: Keys, endpoints: tuple[EndpointSettings, ...], store: StoreSettings) -> Iterator[str]:
    for api_key in weak_keys(keys):
        yield f"The secret of API key {api_key} has fewer than {SECRET_CHARS_ADVISED} characters: make a longer one."
    if not endpoints:
        yield "No endpoint is configured: events are accepted and kept, and delivered to nobody."
    if store.kind is StoreKind.MEMORY:
        yield "The store is in memory: everything is lost when the process ends."


def _overridden(name: str, value: Value | None, environ: Mapping[str, str]) -> Value | None:
    """What the environment says, else what the file says."""
    text = environ.get(name, "")
    return text_value(text, name) if text else value


def _addresses(value: Value | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses; none where one of them is empty, which is LiveKit's way to say every interface."""
    if value is None:
        return default
    items = value.items(_ADDRESSES_MAX)
    return () if any(item.is_empty for item in items) else tuple(_address(item) for item in items)


def _address(value: Value) -> str:
    try:
        return str(ipaddress.ip_address(value.text()))
    except ValueError:
        raise value.error("expected an IP address, such as 127.0.0.1 or ::") from None


def _store(value: Value | None, default: StoreSettings) -> StoreSettings:
    if value is None:
        return default
    try:
        return StoreSettings.of_url(value.text())
    except UsageError as error:
        raise value.error(str(error)) from None


def _limits(section: Section) -> LimitSettings:
    defaults = LimitSettings()

    def size(name: str, default: int, least: str, most: str) -> int:
        value = section.get(name)
        return default if value is None else value.size_bytes(least, most)

    def count(name: str, default: int, least: int, most: int) -> int:
        value = section.get(name)
        return default if value is None else value.integer(least, most)

    return LimitSettings(
        body_bytes_max=size("body_bytes_max", defaults.body_bytes_max, "1KiB", "64MiB"),
        header_bytes_max=size("header_bytes_max", defaults.header_bytes_max, "1KiB", "1MiB"),
        connections_max=count("connections_max", defaults.connections_max, 1, 1_000_000),
        accepts_waiting_max=count("accepts_waiting_max", defaults.accepts_waiting_max, 1, 1_000_000),
        held_deliveries_max=count("held_deliveries_max", defaults.held_deliveries_max, 100, 10_000_000),
        held_bytes_max=size("held_bytes_max", defaults.held_bytes_max, "1MiB", "64GiB"),
    )
