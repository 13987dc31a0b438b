"""The store's process: it outlives signals, dies with its parent, is restarted, and leaves nothing behind."""

import asyncio
import errno
import gc
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from roombell.engine.model import Batch, DeliveryState, EndpointId, Generation, LaneId, Sequence, Settle
from roombell.errors import StoreError, StoreLocked, StoreUnavailable
from roombell.stores.sqlite import client as client_module
from roombell.stores.sqlite.client import SqliteStore
from roombell.testing.store_driver import NOW_MS, StoreDriver, attempt, event

DEADLINE_S = 60.0


def child_pids() -> set[int]:
    """The processes, zombies included, whose parent is this one."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(stat.rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(folder.name))
    return found


def open_descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def store_pid(path: Path) -> int:
    return int(Path(f"{path}.lock").read_text())


async def gone(pid: int) -> None:
    """Returns when a process that is not ours has exited."""
    async with asyncio.timeout(DEADLINE_S):
        while Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
            await asyncio.sleep(0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path)
    await store.open()
    yield store
    await store.close()


async def test_the_store_leaves_no_process_and_no_descriptor_behind(path: Path) -> None:
    children, descriptors = child_pids(), open_descriptors()
    for _ in range(3):
        store = SqliteStore(path)
        await store.open()
        assert len(child_pids() - children) == 1
        await store.close()
    gc.collect()
    assert child_pids() == children
    assert open_descriptors() == descriptors


async def test_a_store_that_cannot_be_opened_says_why_and_leaves_nothing_behind(path: Path) -> None:
    children, descriptors = child_pids(), open_descriptors()
    path.write_bytes(b"no database at all, and long enough to be looked at" * 100)
    store = SqliteStore(path)
    with pytest.raises(StoreError, match=r"store\.db"):
        await store.open()
    await store.close()
    gc.collect()
    assert child_pids() == children
    assert open_descriptors() == descriptors


async def test_a_restart_for_which_no_descriptor_is_left_is_a_store_error_and_is_tried_again(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_descriptor_left() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with asyncio.timeout(DEADLINE_S):
        with monkeypatch.context() as patched:
            patched.setattr("roombell.stores.sqlite.child.socket.socketpair", no_descriptor_left)
            (pid,) = child_pids()
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(StoreUnavailable):
                await store.endpoints()
            with pytest.raises(StoreError, match="cannot be started"):
                await store.endpoints()
        while True:
            try:
                await store.endpoints()
            except StoreUnavailable:
                await asyncio.sleep(0.01)
            else:
                break


async def test_signals_for_the_service_leave_the_store_alone(path: Path, store: SqliteStore) -> None:
    pid = store_pid(path)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    await StoreDriver(store).endpoint()
    assert store_pid(path) == pid


async def test_a_dead_store_is_unavailable_once_and_then_works_again(path: Path, store: SqliteStore) -> None:
    it = StoreDriver(store)
    one = await it.endpoint()
    lane = await it.lease_one(event("a", one))
    os.kill(store_pid(path), signal.SIGSTOP)
    waiting = [asyncio.ensure_future(store.endpoints()) for _ in range(3)]
    await asyncio.sleep(0)
    os.kill(store_pid(path), signal.SIGKILL)
    for answer in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(answer, StoreUnavailable)
    assert (await it.accept(event("a", one)))[0].duplicate
    assert await it.renew(lane, NOW_MS), "the worker lives, so its leases do"


async def test_a_store_that_keeps_dying_is_not_restarted_without_pause(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "RESTART_PAUSE_S_MIN", 3_600.0)
    monkeypatch.setattr(client_module, "RESTART_PAUSE_S_MAX", 3_600.0)
    for refusal in ("", "in a moment"):
        os.kill(store_pid(path), signal.SIGSTOP)
        waiting = asyncio.ensure_future(store.endpoints())
        await asyncio.sleep(0)
        os.kill(store_pid(path), signal.SIGKILL)
        with pytest.raises(StoreUnavailable):
            await waiting
        if refusal:
            with pytest.raises(StoreUnavailable, match=refusal):
                await store.endpoints()
        else:
            await store.endpoints()


async def test_a_cancelled_call_takes_nobody_elses_answer(store: SqliteStore) -> None:
    it = StoreDriver(store)
    one = await it.endpoint()
    calls = [asyncio.ensure_future(it.accept(event(f"e{number}", one))) for number in range(40)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
    sequences = [answer[0].placed[0].sequence for answer in answers[1::2]]
    assert sequences == list(range(2, 41, 2)), "the cancelled ones were stored all the same, in their places"


async def test_closing_finishes_what_was_asked(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    it = StoreDriver(store)
    one = await it.endpoint()
    calls = [asyncio.ensure_future(it.accept(event(f"e{number}", one))) for number in range(20)]
    await asyncio.sleep(0)
    await store.close()
    assert len(await asyncio.gather(*calls)) == 20


async def test_a_store_that_hangs_is_killed_when_it_is_closed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CLOSE_DEADLINE_S", 0.01)
    store = SqliteStore(path)
    await store.open()
    pid = store_pid(path)
    os.kill(pid, signal.SIGSTOP)
    await store.close()
    assert not Path(f"/proc/{pid}").exists()


async def test_a_fault_of_ours_is_no_store_error_and_the_store_goes_on(store: SqliteStore) -> None:
    it = StoreDriver(store)
    one = await it.endpoint()
    lane = await it.lease_one(event("a", one))
    wrong = Settle(
        LaneId(lane.lane_id), Generation(lane.generation), Sequence(7), DeliveryState.DELIVERED, attempt(), NOW_MS
    )
    with pytest.raises(AssertionError, match="only the oldest pending"):
        await store.commit(Batch("w", 0, accepts=(event("b", one),), settles=(wrong,)))
    assert not (await it.accept(event("b", one)))[0].duplicate, "nothing of the faulty commit was written"


async def test_text_that_is_no_unicode_is_refused(store: SqliteStore) -> None:
    it = StoreDriver(store)
    one = await it.endpoint()
    with pytest.raises(StoreError):
        await it.accept(event("\ud800", one))
    await it.accept(event("a", one))


async def test_another_process_cannot_open_it_and_is_told_who_has_it(path: Path, store: SqliteStore) -> None:
    second = SqliteStore(path, lock_wait_s=0.0)
    with pytest.raises(StoreLocked, match=rf"store\.db.*pid {store_pid(path)}\b"):
        await second.open()
    await second.close()
    await StoreDriver(store).endpoint()


async def test_several_stores_live_side_by_side(tmp_path: Path) -> None:
    stores = [SqliteStore(tmp_path / f"{number}.db") for number in range(3)]
    await asyncio.gather(*(store.open() for store in stores))
    ids = await asyncio.gather(*(StoreDriver(store).endpoint() for store in stores))
    assert ids == [EndpointId(1)] * 3
    assert len({store.store_id for store in stores}) == 3
    await asyncio.gather(*(store.close() for store in stores))


def test_it_works_on_uvloop(path: Path) -> None:
    async def use() -> None:
        store = SqliteStore(path)
        await store.open()
        it = StoreDriver(store)
        one = await it.endpoint()
        body = b"x" * 5_000_000
        answers = await asyncio.gather(*(it.accept(event(f"e{number}", one, body=body)) for number in range(3)))
        assert [answer[0].placed[0].sequence for answer in answers] == [1, 2, 3]
        assert len((await it.acquire(one, body_bytes_max=20_000_000)).lanes[0].heads) == 3
        os.kill(store_pid(path), signal.SIGKILL)
        await gone(store_pid(path))
        await asyncio.sleep(0)
        try:
            await store.endpoints()
        except StoreUnavailable:
            await store.endpoints()
        await store.close()

    children = child_pids()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(use())
    assert child_pids() == children


HOLDER = """
import asyncio, os, sys
from roombell.stores.sqlite.client import SqliteStore
from roombell.testing.store_driver import StoreDriver, event
async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    it = StoreDriver(store)
    await it.accept(event("kept", await it.endpoint()))
    if len(sys.argv) > 2 and os.fork() == 0:
        os.read(0, 1)
        os._exit(0)
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def start_holder(path: Path, folder: Path, *more: str) -> subprocess.Popen[str]:
    """A service of its own that has the store open, started in another folder with a path that is relative to it."""
    paths = [entry or "." for entry in sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.relpath(entry, folder) for entry in paths)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), *more],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


async def test_the_store_dies_with_a_killed_service_and_keeps_what_was_answered(path: Path, tmp_path: Path) -> None:
    with start_holder(path, tmp_path) as holder:
        pid = store_pid(path)
        holder.kill()
    store = SqliteStore(path)
    await store.open()
    await gone(pid)
    assert (await StoreDriver(store).accept(event("kept")))[0].duplicate
    await store.close()


async def test_the_store_dies_with_its_service_though_a_fork_holds_the_socket(path: Path, tmp_path: Path) -> None:
    with start_holder(path, tmp_path, "fork") as holder:
        pid = store_pid(path)
        holder.kill()
        await gone(pid)
