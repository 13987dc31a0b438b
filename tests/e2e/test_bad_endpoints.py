"""Every misbehaviour on real sockets, up to the decision: it is the table's, and it costs no more than the bounds."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import ssl
import tracemalloc
import warnings
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trustme

from roombell import EndpointSettings, Notifier, RetryPolicy
from roombell.engine.answers import FAILURES, STATUSES, Follows, Rule
from roombell.engine.decide import ATTEMPTS_EXHAUSTED
from roombell.engine.hooks import AttemptFinished, Record
from roombell.engine.model import FailureKind
from roombell.settings import TlsSettings
from roombell.testing.bad_endpoints import MISBEHAVIOURS
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.testing.payloads import sample
from support.certificates import Certificates

KEYS = {"APItest": "a secret of at least thirty-two bytes"}
ATTEMPTS = 2
"""Too few for the endpoint to be taken to be down."""
CONNECTIONS_MAX = 2 * ATTEMPTS
PART_TIMEOUT_MS = 500
"""For connecting and for waiting, where nothing else ends an attempt."""
PATIENT_MS = 60_000
DRAIN_S_MAX = 60.0
MEMORY_BYTES_MAX = 16 * 1024 * 1024
LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)

NO_TLS = TlsSettings()

Outcome = int | FailureKind
"""A status or a failure."""


def rule_of(outcome: Outcome) -> Rule:
    if isinstance(outcome, FailureKind):
        return FAILURES[outcome]
    return next(one.rule for one in STATUSES if one.first <= outcome <= one.last)


def decisions(outcome: Outcome) -> list[tuple[str, str]]:
    """What the table says becomes of a delivery that meets it each time: decision and reason of each attempt."""
    follows = rule_of(outcome).follows
    if follows is Follows.DELIVERED:
        return [("delivered", "")]
    assert follows in {Follows.RETRY, Follows.RETRY_AS_ASKED}
    return [("retry", "")] * (ATTEMPTS - 1) + [("dead", ATTEMPTS_EXHAUSTED)]


async def attempts_at(url: str, *, tls: TlsSettings = NO_TLS, part_timeout_ms: int) -> list[AttemptFinished]:
    """Has one event delivered to ``url``; every attempt until nothing is owed."""
    made: list[AttemptFinished] = []

    def hear(record: Record) -> None:
        if isinstance(record, AttemptFinished):
            made.append(record)

    app = EndpointSettings(
        name="app",
        url=url,
        api_key="APItest",
        timeout_ms=PATIENT_MS,
        connect_timeout_ms=part_timeout_ms,
        wait_timeout_ms=part_timeout_ms,
        retry=RetryPolicy(attempts=ATTEMPTS, base_delay_ms=1, max_delay_ms=10),
        tls=tls,
    )
    async with Notifier(keys=KEYS, endpoints=[app], store="memory:", hooks=[hear]) as notifier:
        await notifier.notify(sample("room_started"))
        await notifier.drain(timeout_s=DRAIN_S_MAX)
    return made


async def assert_ends_as_in_the_table(url: str, outcome: Outcome, *, tls: TlsSettings = NO_TLS) -> None:
    ends_by_time = str(outcome).startswith("timeout")
    tracemalloc.start()
    try:
        made = await attempts_at(url, tls=tls, part_timeout_ms=PART_TIMEOUT_MS if ends_by_time else PATIENT_MS)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert {one.attempt.status or one.attempt.outcome for one in made} == {outcome}
    assert [(one.decision, one.reason) for one in made] == decisions(outcome)
    assert peak_bytes < MEMORY_BYTES_MAX


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(autouse=True)
async def nothing_stays_open() -> AsyncIterator[None]:
    """No descriptor is left of what a test opened, as soon as the loop has closed what was let go."""
    gc.collect()
    before = descriptors()
    yield
    gc.collect()
    async with asyncio.timeout(DRAIN_S_MAX):
        while descriptors() > before:
            await asyncio.sleep(0)


@pytest.mark.parametrize("name", MISBEHAVIOURS)
async def test_a_misbehaviour_ends_as_in_the_table_and_within_the_bounds(name: str) -> None:
    wrong = MISBEHAVIOURS[name]
    async with ScriptedEndpoint(wrong.behaviour) as endpoint:
        await assert_ends_as_in_the_table(endpoint.url, wrong.outcome)
        assert endpoint.connections_count <= CONNECTIONS_MAX
        assert len(endpoint.requests) == len(decisions(wrong.outcome)), "a redirect is never followed"


async def test_an_endpoint_that_refuses_ends_as_in_the_table() -> None:
    async with ScriptedEndpoint() as endpoint:
        await endpoint.refuse()
        await assert_ends_as_in_the_table(endpoint.url, FailureKind.REFUSED)


async def test_a_black_hole_that_takes_connections_ends_as_in_the_table() -> None:
    async with ScriptedEndpoint() as endpoint:
        await endpoint.black_hole()
        await assert_ends_as_in_the_table(endpoint.url, FailureKind.TIMEOUT_WAIT)


async def test_a_black_hole_that_takes_no_connection_ends_as_in_the_table() -> None:
    async with ScriptedEndpoint() as endpoint:
        await endpoint.black_hole(backlog=0)
        _, last = await asyncio.open_connection("127.0.0.1", endpoint.port)  # the one that the system takes
        await assert_ends_as_in_the_table(endpoint.url, FailureKind.TIMEOUT_CONNECT)
        last.close()
        await last.wait_closed()


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def speaking_an_old_protocol(authority: trustme.CA) -> ssl.SSLContext:
    context = serving(authority.issue_cert("127.0.0.1"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


TLS: dict[str, Callable[[trustme.CA], ssl.SSLContext]] = {
    "another name": lambda authority: serving(authority.issue_cert("other.example")),
    "expired": lambda authority: serving(
        authority.issue_cert("127.0.0.1", not_before=LONG_AGO, not_after=LONG_AGO + dt.timedelta(days=90))
    ),
    "unknown authority": lambda _: serving(trustme.CA().issue_cert("127.0.0.1")),
    "old protocol": speaking_an_old_protocol,
}


@pytest.mark.parametrize("name", TLS)
async def test_a_tls_connection_that_cannot_be_trusted_ends_as_in_the_table(name: str, tmp_path: Path) -> None:
    trusted = Certificates(tmp_path)
    async with ScriptedEndpoint(tls=TLS[name](trusted.authority)) as endpoint:
        await assert_ends_as_in_the_table(endpoint.url, FailureKind.TLS, tls=TlsSettings(ca=trusted.ca))
        assert endpoint.requests == []
