"""The memory store's disk outlives the process that used it."""

import pytest

from roombell.engine.model import DeliveryState
from roombell.errors import StoreError
from roombell.stores.memory import MemoryDisk, MemoryStore
from roombell.testing.store_driver import StoreDriver, attempt, event, opened, settle


async def test_a_crashed_process_can_do_nothing_more_and_another_goes_on() -> None:
    disk = MemoryDisk()
    dead = MemoryStore(disk)
    await dead.open()
    it = StoreDriver(dead)
    one = await it.endpoint()
    lane = await it.lease_one(event("a", one))
    disk.crash()
    with pytest.raises(StoreError):
        await it.settle(settle(lane, 1))
    async with opened(lambda: MemoryStore(disk)) as after:
        with pytest.raises(StoreError):
            await it.settle(settle(lane, 1))
        assert (await after.acquire_one(one)).generation == lane.generation + 1


async def test_the_disk_shows_every_delivery_with_its_attempts() -> None:
    disk = MemoryDisk("0badcafe")
    async with opened(lambda: MemoryStore(disk)) as it:
        assert it.store.store_id == "0badcafe"
        one = await it.endpoint()
        lane = await it.lease_one(event("a", one))
        await it.accept(event("b", one))
        await it.settle(settle(lane, 1, DeliveryState.DEAD, reason="rejected"))
    first, second = disk.deliveries()
    assert (first.event_id, first.state, first.reason) == ("a", DeliveryState.DEAD, "rejected")
    assert first.attempts == (attempt(1),)
    assert (second.event_id, second.state, second.attempts) == ("b", DeliveryState.PENDING, ())
