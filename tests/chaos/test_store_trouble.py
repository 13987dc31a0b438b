"""The store fails under a running service: 503s meanwhile, nothing accepted is lost, and it recovers by itself."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from roombell.testing.behaviours import reply
from roombell.testing.endpoint import ScriptedEndpoint
from support.metrics import metrics_when
from support.service import NotStarted, ServiceProcess, endpoint
from support.traffic import ROOMS, Producers, Receiver, assert_all_arrived, until
from support.webhooks import event_body, post

SEED = 7
STORE_KILLS = 5
EVENTS_BETWEEN_KILLS_MAX = 100
DISK_BYTES = 24 * 1024 * 1024
BALLAST_BYTES = 20 * 1024 * 1024
EXIT_STORE = 4


async def test_a_store_process_that_dies_is_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    draws = random.Random(SEED)
    receiver = Receiver(draws)
    stores = set()
    async with (
        ScriptedEndpoint(receiver) as far_end,
        ServiceProcess(tmp_path, [endpoint("app", far_end)]) as service,
        asyncio.TaskGroup() as group,
    ):
        producers = Producers(service)
        sending = group.create_task(producers.run())
        for _ in range(STORE_KILLS):
            await producers.get_in(draws.randint(1, EVENTS_BETWEEN_KILLS_MAX))
            (store,) = service.child_pids
            stores.add(store)
            os.kill(store, signal.SIGKILL)
            await producers.get_in(ROOMS + 1)  # one a room may have been on its way
        producers.stop()
        await sending
        stores.update(service.child_pids)
        await receiver.has_taken(producers.accepted.total())
        assert await service.stop() == 0
    assert len(stores) == STORE_KILLS + 1
    assert set(producers.statuses) <= {200, 503}, "the service itself stayed"
    assert_all_arrived(producers, receiver, repeats_per_lane_max=STORE_KILLS)


async def test_an_event_that_waits_for_a_store_process_that_dies_is_refused_and_taken_when_it_comes_again(
    tmp_path: Path,
) -> None:
    body = event_body("room", 1)
    async with (
        ScriptedEndpoint() as far_end,
        ServiceProcess(tmp_path, [endpoint("app", far_end)]) as service,
        aiohttp.ClientSession() as client,
    ):
        (store,) = service.child_pids
        os.kill(store, signal.SIGSTOP)  # whatever comes now waits
        refused = asyncio.create_task(post(client, service.url, body))
        await metrics_when(client, service, lambda now: now.value("roombell_ingest_waiting") == 1)
        os.kill(store, signal.SIGKILL)
        status, headers = await refused
        assert (status, headers["Retry-After"].isdigit()) == (503, True)
        while (await post(client, service.url, body))[0] != 200:
            pass  # as a sender does
        assert store not in service.child_pids
        (request,) = await far_end.wait_for(1)
        assert await service.stop() == 0
    assert (request.body, request.sequence) == (body, 1)


async def test_a_second_process_on_the_same_file_is_refused_with_a_clear_message(tmp_path: Path) -> None:
    async with ScriptedEndpoint() as far_end, ServiceProcess(tmp_path, [endpoint("app", far_end)]) as service:
        second = ServiceProcess(tmp_path, [endpoint("app", far_end)])
        with pytest.raises(NotStarted) as refused:
            await second.start()
        assert refused.value.code == EXIT_STORE
        (store,) = service.child_pids
        assert f"{service.store_path} is open in another process (pid {store})" in refused.value.output
        async with aiohttp.ClientSession() as client:
            assert (await post(client, service.url, event_body("room", 1)))[0] == 200
        await far_end.wait_for(1)
        assert await service.stop() == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, so small that it can be filled."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("a small disk is made with mount, which is root's")
    size = f"size={DISK_BYTES}"
    mounted = subprocess.run(
        [mount, "-t", "tmpfs", "-o", size, "tmpfs", folder], check=False, capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_refuses_events_loses_none_and_recovers_when_there_is_room(
    tmp_path: Path, small_disk: Path
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(BALLAST_BYTES))
    receiver = Receiver(random.Random(SEED))
    async with (
        ScriptedEndpoint(reply(500)) as far_end,
        ServiceProcess(tmp_path, [endpoint("app", far_end)], store_path=small_disk / "roombell.db") as service,
        asyncio.TaskGroup() as group,
    ):
        producers = Producers(service)
        sending = group.create_task(producers.run())
        await until(producers.changed, lambda: producers.statuses[503] > 100)
        async with aiohttp.ClientSession() as client:
            status, headers = await post(client, service.url, event_body("one-more", 1))
            assert (status, headers["Retry-After"].isdigit()) == (503, True)
            await service.wait_for_line("commit failed", "store_full")
            async with client.get(f"{service.url}/readyz") as ready:
                assert ready.status == 503
            async with client.get(f"{service.url}/healthz") as healthy:
                assert healthy.status == 200
        far_end.play(receiver)  # settling needs room, too
        ballast.unlink()
        await producers.get_in(200)
        producers.stop()
        await sending
        await receiver.has_taken(producers.accepted.total())
        assert await service.stop() == 0
    assert_all_arrived(producers, receiver, repeats_per_lane_max=0)
