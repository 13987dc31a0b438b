"""What tests of every folder share: properties that no machine is too slow for, a PostgreSQL server, and how a run ends."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from support.client_end import pytest_sessionfinish, pytest_unconfigure
from support.postgres import PostgresServer

__all__ = ["pytest_sessionfinish", "pytest_unconfigure"]

settings.register_profile("any_speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_speed")  # whether a property holds does not depend on the machine

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job: what tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the whole session, started when a test first asks. A test that stops or kills one makes its own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def database_url(postgres: PostgresServer) -> str:
    """An empty database of the test's own."""
    return postgres.new_database()
