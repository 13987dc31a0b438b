"""Where and how an endpoint may be connected to: its ``timeout``, ``network``, ``proxy``, ``tls`` and ``secrets``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import msgspec

from roombell.config.document import Value
from roombell.config.reference import known
from roombell.errors import ConfigError, UsageError
from roombell.signing.standard import SECRETS_MAX, StandardSigner
from roombell.transport.guard import NETWORKS_MAX, NetworkPolicy, parse_network
from roombell.transport.proxy import parse_proxy, proxy_from_environment
from roombell.transport.tls import TLS_VERSIONS, TlsFileError, TlsSettings, read_tls
from roombell.transport.url import EndpointUrl

NO_PROXY: Final = "none"
_VARIABLE: Final = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})", re.ASCII)


class Timeouts(msgspec.Struct, frozen=True):
    """The parts of ``timeout``; None where a part has no bound of its own."""

    total_ms: int
    connect_ms: int | None = None
    wait_ms: int | None = None


def read_timeouts(value: Value | None, default_ms: int) -> Timeouts:
    """A plain duration for the whole attempt, or a section of ``total``, ``connect`` and ``wait``."""
    if value is None:
        return Timeouts(default_ms)
    if not value.is_section:
        return Timeouts(value.duration_ms("100ms", "10m"))
    section = value.section()
    section.check(known("endpoints[].timeout"))
    total = section.get("total")
    total_ms = default_ms if total is None else total.duration_ms("100ms", "10m")

    def part(name: str) -> int | None:
        given = section.get(name)
        if given is None:
            return None
        part_ms = given.duration_ms("1ms", "10m")
        if part_ms > total_ms:
            raise given.error(f"{name} is longer than the whole attempt may take")
        return part_ms

    return Timeouts(total_ms, part("connect"), part("wait"))


def read_network(value: Value | None, default: NetworkPolicy) -> NetworkPolicy:
    """The networks that are allowed and denied; ``default`` where the section is absent."""
    if value is None:
        return default
    section = value.section()
    section.check(known("network"))
    return NetworkPolicy(allow=_networks(section.get("allow")), deny=_networks(section.get("deny")))


def read_proxy(value: Value | None, url: EndpointUrl, environ: Mapping[str, str]) -> str | None:
    """The proxy's URL, empty for ``none``; None where the environment decides, whose proxy is then checked too."""
    if value is None:
        name, text = proxy_from_environment(url, environ)
        if text:
            _checked(lambda: parse_proxy(text), lambda told: ConfigError(told, source=name))
        return None
    if value.text() == NO_PROXY:
        return ""
    expanded = _expanded(value, environ)
    _checked(lambda: parse_proxy(expanded), value.error)
    return expanded


def read_tls_settings(value: Value | None, url: EndpointUrl, environ: Mapping[str, str]) -> TlsSettings:
    """The section ``tls``. Its files are read to find out whether they can be used."""
    if value is None:
        return TlsSettings()
    section = value.section()
    section.check(known("endpoints[].tls"))
    if not url.is_tls:
        raise value.error("tls has no meaning for an http:// URL; write https://, or leave tls out")
    paths = {name: _path(section.get(name), environ) for name in ("ca", "cert", "key")}
    version = section.get("min_version")
    least = TlsSettings().min_version if version is None else version.word(tuple(TLS_VERSIONS))
    settings = TlsSettings(**paths, min_version=least)
    try:
        read_tls(settings)
    except TlsFileError as error:
        raise (section.get(error.setting) or value).error(str(error)) from None
    return settings


def read_secrets(value: Value | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Standard Webhooks' secrets."""
    if value is None:
        return ()
    return tuple(_secret(item, environ) for item in value.items(SECRETS_MAX))


def _secret(value: Value, environ: Mapping[str, str]) -> str:
    secret = _expanded(value, environ)
    _checked(lambda: StandardSigner((secret,)), value.error)
    return secret


def _networks(value: Value | None) -> tuple[str, ...]:
    if value is None:
        return ()
    for item in (items := value.items(NETWORKS_MAX)):
        _checked(partial(parse_network, item.text()), item.error)
    return tuple(item.text() for item in items)


def _path(value: Value | None, environ: Mapping[str, str]) -> str:
    return "" if value is None else _expanded(value, environ)


def _checked(check: Callable[[], object], error: Callable[[str], ConfigError]) -> None:
    """Runs a check of another package; what it refuses is an error at the setting's place."""
    try:
        check()
    except UsageError as refused:
        raise error(str(refused)) from None


def _expanded(value: Value, environ: Mapping[str, str]) -> str:
    """The text with ``$NAME`` and ``${NAME}`` replaced from the environment, where secrets are at home."""

    def variable(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if not environ.get(name):
            raise value.error(f"the environment has no {name}")
        return environ[name]

    return _VARIABLE.sub(variable, value.text())
