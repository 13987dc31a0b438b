"""What tests of every folder share: properties that no machine is too slow for, a PostgreSQL server, and how a run ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from support.postgres import PostgresServer

settings.register_profile("any_speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_speed")  # whether a property holds does not depend on the machine


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the whole session, started when a test first asks. A test that stops or kills one makes its own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def database_url(postgres: PostgresServer) -> str:
    """An empty database of the test's own."""
    return postgres.new_database()


_EXIT_STATUS = pytest.StashKey[int]()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends a run that had LiveKit's Python client without the interpreter's own end, in which the client's native part
    aborts now and then (exit status 134), after every test has passed. All fixtures are torn down by now.
    """
    if "livekit.rtc" in sys.modules and _EXIT_STATUS in config.stash:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[_EXIT_STATUS])
