"""Endpoints: LiveKit's ``webhook`` section and our ``endpoints``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from roombell.config.connecting import read_network, read_proxy, read_secrets, read_timeouts, read_tls_settings
from roombell.config.document import Section, Value
from roombell.config.reference import known
from roombell.engine.model import OnDead
from roombell.engine.retry import RetryPolicy
from roombell.engine.router import EventFilter
from roombell.errors import UsageError
from roombell.events import EVENT_TYPES
from roombell.settings import OPERATIONS, RATE_PER_S_MAX, EndpointSettings, Keys, is_endpoint_name, name_of_url
from roombell.transport.guard import NetworkPolicy
from roombell.transport.headers import check_custom_headers
from roombell.transport.url import parse_url

ENDPOINTS_MAX: Final = 1000
PATTERNS_MAX: Final = 1000
_PATTERN_CHARS_MAX: Final = 256


class Endpoints(msgspec.Struct, frozen=True):
    """What was read, and what the operator should be told of it."""

    endpoints: tuple[EndpointSettings, ...]
    operations: EndpointSettings | None
    notes: tuple[str, ...]


class _Reader:
    """Reads both kinds of endpoint against the same keys, and keeps their names apart."""

    def __init__(
        self, keys: Keys, default_at: Value | None, network: NetworkPolicy, environ: Mapping[str, str]
    ) -> None:
        self.keys = keys
        self.network = network
        self.environ = environ
        self.default_at = default_at
        self.only_key = environ.get("LIVEKIT_API_KEY", "") or (next(iter(keys)) if len(keys) == 1 else "")
        self.notes: list[str] = []
        self.found: dict[str, EndpointSettings] = {}

    def add(self, endpoint: EndpointSettings, where: Value) -> None:
        if endpoint.name in self.found:
            raise where.error(f"there is another endpoint named {endpoint.name}; names are unique")
        self.found[endpoint.name] = endpoint

    def api_key(self, value: Value | None, where: Value) -> str:
        at = value or self.default_at
        api_key = at.text() if at is not None else self.only_key
        if not api_key:
            raise where.error(
                f"api_key is required to use webhooks: say which of the keys signs ({', '.join(self.keys)})"
            )
        if api_key not in self.keys:  # not shown: a secret may stand here by mistake
            raise (at or where).error(f"api_key is not one of the keys; there are: {', '.join(self.keys)}")
        return api_key

    def patterns(self, value: Value | None, *, event_types: bool = True) -> tuple[str, ...]:
        if value is None:
            return ()
        patterns = tuple(_pattern(item) for item in value.items(PATTERNS_MAX))
        for pattern in patterns if event_types else ():
            if not re.search(r"[*?\[]", pattern) and pattern not in EVENT_TYPES:
                self.notes.append(
                    f"{value.path} names {pattern!a}, which is no event type that LiveKit is known to send."
                )
        return patterns


def read_endpoints(top: Section, keys: Keys, environ: Mapping[str, str]) -> Endpoints:
    """The endpoints of ``webhook.urls`` and of ``endpoints``, in the file's order.

    :raises ConfigError: one of them is wrong, or names a key that there is not.
    """
    webhook = top.section("webhook", known("webhook"))
    reader = _Reader(keys, webhook.get("api_key"), read_network(top.get("network"), NetworkPolicy()), environ)
    _read_webhook(webhook, reader)
    listed = top.get("endpoints")
    for value in listed.items(ENDPOINTS_MAX) if listed is not None else ():
        section = value.section()
        section.check(known("endpoints[]"))
        reader.add(_endpoint(section, reader), value)
    return Endpoints(tuple(reader.found.values()), _operations(top, reader), tuple(reader.notes))


def _read_webhook(webhook: Section, reader: _Reader) -> None:
    for name in ("resource_url_notifier", "url_notifier"):
        if webhook.get(name) is not None:
            reader.notes.append(f"webhook.{name} has no effect: the queue is on disk and has no such bounds.")
    urls = webhook.get("urls")
    values = urls.items(ENDPOINTS_MAX) if urls is not None else ()
    filter_params = webhook.section("filter_params", known("webhook.filter_params"))
    filter_ = EventFilter(
        include=reader.patterns(filter_params.get("include_events")),
        exclude=reader.patterns(filter_params.get("exclude_events")),
    )
    for value in values:
        name, api_key = name_of_url(_url(value)), reader.api_key(None, value)
        if name in reader.found:
            reader.notes.append(f"{value.path} repeats an earlier URL, which gets every event once.")
        else:
            reader.add(_livekits(name, value, reader, api_key=api_key, filter_=filter_), value)


def _livekits(name: str, value: Value, reader: _Reader, *, api_key: str, filter_: EventFilter) -> EndpointSettings:
    """An endpoint of ``webhook.urls``."""
    return EndpointSettings(
        name=name,
        url=value.text(),
        api_key=api_key,
        filter=filter_,
        network=reader.network,
        proxy=read_proxy(None, parse_url(value.text()), reader.environ),
    )


def _operations(top: Section, reader: _Reader) -> EndpointSettings | None:
    value = top.get("operations")
    if value is None:
        return None
    section = value.section()
    section.check(known("operations"))
    url = section.get("url")
    if url is None:
        raise value.error("url is required: where operational events are posted")
    return EndpointSettings(
        name=OPERATIONS,
        url=_url(url),
        api_key=reader.api_key(section.get("api_key"), value),
        network=reader.network,
        proxy=read_proxy(None, parse_url(url.text()), reader.environ),
    )


def _endpoint(section: Section, reader: _Reader) -> EndpointSettings:
    defaults = EndpointSettings(name="", url="", api_key="")
    concurrency, on_dead, rate = (section.get(name) for name in ("concurrency", "on_dead", "rate_limit"))
    timeouts = read_timeouts(section.get("timeout"), defaults.timeout_ms)
    name, written = _name(_required(section, "name")), _url(_required(section, "url"))
    url = parse_url(written)
    return EndpointSettings(
        name=name,
        url=written,
        api_key=reader.api_key(section.get("api_key"), section.value),
        filter=EventFilter(
            include=reader.patterns(section.get("include_events")),
            exclude=reader.patterns(section.get("exclude_events")),
            rooms=reader.patterns(section.get("rooms"), event_types=False),
        ),
        headers=_headers(section.get("headers")),
        timeout_ms=timeouts.total_ms,
        connect_timeout_ms=timeouts.connect_ms,
        wait_timeout_ms=timeouts.wait_ms,
        concurrency=defaults.concurrency if concurrency is None else concurrency.integer(1, 1024),
        rate_limit_per_s=None if rate is None else rate.rate_per_s(RATE_PER_S_MAX),
        retry=_retry(section.section("retry", known("endpoints[].retry"))),
        on_dead=defaults.on_dead if on_dead is None else on_dead.word(tuple(OnDead)),
        secrets=read_secrets(section.get("secrets"), reader.environ),
        network=read_network(section.get("network"), reader.network),
        proxy=read_proxy(section.get("proxy"), url, reader.environ),
        tls=read_tls_settings(section.get("tls"), url, reader.environ),
    )


def _retry(section: Section) -> RetryPolicy:
    policy = RetryPolicy()
    attempts, base, longest, age = (section.get(name) for name in ("attempts", "base_delay", "max_delay", "max_age"))
    max_delay_ms = policy.max_delay_ms if longest is None else longest.duration_ms("1ms", "24h")
    base_delay_ms = min(policy.base_delay_ms, max_delay_ms) if base is None else base.duration_ms("1ms", "24h")
    if base is not None and base_delay_ms > max_delay_ms:
        raise base.error("base_delay is longer than max_delay")
    return RetryPolicy(
        attempts=policy.attempts if attempts is None else attempts.integer(1, 1000),
        base_delay_ms=base_delay_ms,
        max_delay_ms=max_delay_ms,
        max_age_ms=policy.max_age_ms if age is None else age.duration_ms("1s", "3650d"),
    )


def _required(section: Section, name: str) -> Value:
    value = section.get(name)
    if value is None:
        raise section.value.error(f"the endpoint has no {name}")
    return value


def _name(value: Value) -> str:
    name = value.text()
    if not is_endpoint_name(name):
        raise value.error("expected 1 to 64 letters, digits, '.', '_' or '-'")
    return name


def _url(value: Value) -> str:
    try:
        parse_url(value.text())
    except UsageError as error:
        raise value.error(str(error)) from None
    return value.text()


def _pattern(value: Value) -> str:
    pattern = value.text()
    if len(pattern) > _PATTERN_CHARS_MAX:
        raise value.error(f"the pattern is longer than {_PATTERN_CHARS_MAX} characters")
    return pattern


def _headers(value: Value | None) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    headers = tuple((name, content.text()) for name, content in value.pairs())
    try:
        check_custom_headers(headers)
    except UsageError as error:
        raise value.error(str(error)) from None
    return headers
