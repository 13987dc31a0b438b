"""The database's clock counts, whatever the worker's own says."""

import pytest

from roombell.stores.postgres.store import PostgresStore
from roombell.stores.postgres.url import parse_url
from roombell.testing.store_driver import opened
from roombell.wiring import FollowingClock
from support.postgres import PostgresServer


async def test_a_worker_whose_clock_is_hours_off_goes_by_the_database_s(
    postgres: PostgresServer, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_ns = __import__("time").time_ns
    monkeypatch.setattr("time.time_ns", lambda: real_ns() - 5 * 3600 * 10**9)
    async with opened(lambda: PostgresStore(parse_url(database_url))) as it:
        clock = FollowingClock()
        ((database_ms,),) = postgres.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        assert abs(clock.now_ms() - database_ms) > 4 * 3_600_000
        clock.follow(it.store)
        ((database_ms,),) = postgres.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        assert abs(clock.now_ms() - database_ms) < 60_000
        clock.follow(None)
        assert abs(clock.now_ms() - database_ms) > 4 * 3_600_000
