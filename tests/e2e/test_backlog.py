"""A large backlog lies on the disk: it costs the service neither memory nor another endpoint its pace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from roombell.testing.endpoint import ScriptedEndpoint
from support.metrics import metrics_when
from support.pouring import pour
from support.service import ServiceProcess, endpoint
from support.webhooks import Ledger, event_body

BACKLOG = 100_000
HEALTHY = 3_000
HEALTHY_ROOMS = 100
GROWTH_BYTES_MAX = 50 * 1024 * 1024
COST_RATIO_MAX = 4
"""How much more processor time an event may cost beside the backlog, the dead endpoint's attempts included."""
SELDOM = {"attempts": 1000, "base_delay": "5m", "max_delay": "1h"}


def bodies(kind: str, rooms: int, first: int, count: int) -> Iterator[bytes]:
    return (event_body(f"{kind}-{number % rooms}", number) for number in range(first, first + count))


@pytest.mark.parametrize("dead_rooms", [500, BACKLOG], ids=["long lanes", "as many lanes"])
async def test_a_hundred_thousand_pending_deliveries_cost_no_memory_and_slow_nobody(
    dead_rooms: int, tmp_path: Path
) -> None:
    ledger = Ledger()
    async with (
        ScriptedEndpoint() as dead,
        ScriptedEndpoint() as healthy,
        ServiceProcess(
            tmp_path,
            [
                endpoint("dead", dead, rooms=["dead-*"], retry=SELDOM),
                endpoint("healthy", healthy, rooms=["healthy-*"]),
            ],
        ) as service,
        aiohttp.ClientSession() as client,
    ):
        await dead.refuse()

        async def healthy_cost_s(first: int) -> float:
            """Processor time of the service for ``HEALTHY`` more events of the healthy endpoint."""
            before_s = service.cpu_s
            await pour(service, bodies("healthy", HEALTHY_ROOMS, first, HEALTHY))
            await healthy.wait_for(first + HEALTHY, deadline_s=120)
            return service.cpu_s - before_s

        await healthy_cost_s(0)  # warms up
        alone_s = await healthy_cost_s(HEALTHY)
        rss_bytes_before = service.rss_bytes
        await pour(service, bodies("dead", dead_rooms, 0, BACKLOG))
        await metrics_when(client, service, lambda now: now.pending("dead") == BACKLOG)
        beside_s = await healthy_cost_s(2 * HEALTHY)
        growth_bytes = service.rss_bytes - rss_bytes_before
        assert await service.stop() == 0
    for request in healthy.requests:
        ledger.take(request)
    assert (ledger.faults, ledger.taken) == ([], 3 * HEALTHY)
    assert growth_bytes < GROWTH_BYTES_MAX
    assert beside_s < COST_RATIO_MAX * alone_s
