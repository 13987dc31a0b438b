"""What tests of every folder share: a PostgreSQL server, started once, when a test first asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the whole session. A test that stops or kills one makes its own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def database_url(postgres: PostgresServer) -> str:
    """An empty database of the test's own."""
    return postgres.new_database()
