"""How handlers are called: within their time, never two at once in a lane, in threads and loops of their own."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from contextlib import closing

import pytest

from roombell import DeliveryDead, Receiver, RetryPolicy, Stopped, StoreError, UsageError
from roombell.engine.model import DeliveryState
from roombell.inbox import HandlerSettings, Inbox
from roombell.inbox.databases.sqlite import Sqlite
from roombell.receiver.delivery import NO_DELIVERY
from roombell.transport.threads import Threads
from support.inbox import KEYS, QUICK, event, take

BRIEF = HandlerSettings(timeout_s=0.05, retry=RetryPolicy(attempts=3, base_delay_ms=1, max_delay_ms=1))
WAIT_S = 30


async def outcomes(inbox, event_id="EV_1"):
    (history,) = await inbox.attempts(event_id)
    return history.delivery.state, [attempt.outcome for attempt in history.attempts]


async def test_a_coroutine_that_is_out_of_time_is_cancelled_and_called_again(receiver, store):
    cancelled = []
    inbox = Inbox(receiver, store=store, defaults=BRIEF)

    @receiver.on("*")
    async def handler(_one, delivery):
        if delivery.attempt < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(delivery.attempt)
                raise

    async with inbox:
        await take(receiver, event(id="EV_1"))
        await inbox.drain(timeout_s=WAIT_S)
        assert await outcomes(inbox) == (DeliveryState.DELIVERED, ["timeout_wait", "timeout_wait", "answered"])
    assert cancelled == [1, 2]


async def test_a_thread_that_is_out_of_time_is_left_to_itself_and_its_lane_has_no_second_call(receiver, store):
    gate, calls = threading.Event(), []
    inbox = Inbox(receiver, store=store, defaults=BRIEF)

    @receiver.on("*")
    def handler(one, delivery):
        calls.append((one.id, delivery.attempt))
        if one.id == "EV_1":
            gate.wait(WAIT_S)

    async with inbox:
        await take(receiver, event(id="EV_1", room="a"), event(id="EV_2", room="b"))
        await inbox.drain(timeout_s=WAIT_S)
        assert sorted(calls) == [("EV_1", 1), ("EV_2", 1)]
        assert await outcomes(inbox) == (DeliveryState.DEAD, ["timeout_wait"] * 3)
        gate.set()


async def test_calls_that_hang_in_their_threads_take_none_from_other_handlers(receiver, store):
    gate, dead, done = threading.Event(), asyncio.Event(), []
    settings = HandlerSettings(timeout_s=0.05, concurrency=1, retry=RetryPolicy(attempts=1))
    hung = [event("room_started", id=f"EV_{room}", room=room) for room in "abc"]
    left = len(hung)

    def count_dead(record):
        nonlocal left
        left -= isinstance(record, DeliveryDead)
        if left == 0:
            dead.set()

    inbox = Inbox(receiver, store=store, defaults=settings, hooks=[count_dead])

    @receiver.on("room_started")
    def hangs(_one):
        gate.wait(WAIT_S)

    @receiver.on("participant_joined")
    @inbox.handler(HandlerSettings(concurrency=1))
    def works(one):
        done.append(one.id)

    async with inbox:
        await take(receiver, *hung)
        await asyncio.wait_for(dead.wait(), WAIT_S)
        await take(receiver, event(id="EV_1", room="d"))
        await inbox.drain(timeout_s=WAIT_S - 5)
        gate.set()
    assert done == ["EV_1"]


async def test_a_coroutine_that_takes_no_notice_of_being_cancelled_is_left_to_itself_too(receiver, store):
    gate, calls = asyncio.Event(), []
    inbox = Inbox(receiver, store=store, defaults=BRIEF)

    @receiver.on("*")
    async def handler(_one, delivery):
        calls.append(delivery.attempt)
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue

    async with inbox:
        await take(receiver, event(id="EV_1"))
        await inbox.drain(timeout_s=WAIT_S)
        assert await outcomes(inbox) == (DeliveryState.DEAD, ["timeout_wait"] * 3)
        gate.set()
    assert calls == [1]


async def test_a_zombie_commits_nothing_once_its_time_is_over(receiver, store, tmp_path):
    """A thread that was out of time, and goes on later, must not write beside the call that came after it."""
    path, gate, entered = tmp_path / "app.db", threading.Event(), asyncio.Event()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE effect (attempt INTEGER)")
    retry = RetryPolicy(attempts=1000, base_delay_ms=1, max_delay_ms=1)
    inbox = Inbox(receiver, store=store, database=Sqlite(path), defaults=HandlerSettings(timeout_s=0.2, retry=retry))
    loop = asyncio.get_running_loop()

    @receiver.on("*")
    def handler(one, delivery):
        with receiver.transaction(one) as database:
            database.execute("INSERT INTO effect VALUES (?)", (delivery.attempt,))
            if delivery.attempt == 1:
                loop.call_soon_threadsafe(entered.set)
                gate.wait(WAIT_S)

    async with inbox:
        await take(receiver, event(id="EV_1"))
        await asyncio.wait_for(entered.wait(), WAIT_S)
        while (await outcomes(inbox))[1] == []:
            await asyncio.sleep(0)
        gate.set()
        await inbox.drain(timeout_s=WAIT_S)
    with closing(sqlite3.connect(path)) as connection:
        ((attempt,),) = connection.execute("SELECT attempt FROM effect").fetchall()
    assert attempt > 1


async def test_whatever_a_handler_raises_is_a_failed_attempt(receiver, inbox):
    def leave():
        raise SystemExit(3)

    @receiver.on("*")
    async def cancelled(_one):
        raise asyncio.CancelledError

    @receiver.on("*")
    def exits(_one):
        leave()

    @receiver.on("*")
    async def leaves(_one):
        leave()

    @receiver.on("*")
    def awaitable(_one):
        return asyncio.get_running_loop().create_future()  # no loop runs in a thread

    async with inbox:
        await take(receiver, event(id="EV_1"))
        await inbox.drain(timeout_s=WAIT_S)
        details = {
            history.delivery.endpoint.rpartition(".")[2]: history.attempts[-1].detail
            for history in await inbox.attempts("EV_1")
        }
    assert details["cancelled"].startswith("RuntimeError: Something that the handler")
    assert "SystemExit" in details["exits"]
    assert "SystemExit" in details["leaves"], "and the event loop goes on"
    assert details["awaitable"].startswith("RuntimeError")


async def test_a_transaction_that_was_committed_before_a_failure_is_not_repeated(receiver, store, tmp_path):
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE effect (id TEXT)")
    inbox = Inbox(receiver, store=store, database=Sqlite(path), defaults=QUICK)
    calls = []

    @receiver.on("*")
    def handler(one, delivery):
        calls.append(delivery.attempt)
        with receiver.transaction(one) as database:
            database.execute("INSERT INTO effect VALUES (?)", (one.id,))
        raise RuntimeError("after the commit")

    async with inbox:
        await take(receiver, event(id="EV_1"))
        await inbox.drain(timeout_s=WAIT_S)
        assert (await outcomes(inbox))[0] is DeliveryState.DELIVERED
    assert calls == [1, 2]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT id FROM effect").fetchall() == [("EV_1",)]


def test_a_transaction_needs_an_inbox_and_a_database(receiver):
    with pytest.raises(UsageError, match="needs an inbox"):
        receiver.transaction(event())
    inbox = Inbox(receiver, store="memory:")
    for transaction in (receiver.transaction, inbox.transaction):
        with pytest.raises(UsageError, match=r"roombell\.inbox\.databases"):
            transaction(event())


async def test_a_database_that_cannot_be_used_keeps_the_inbox_from_starting(receiver, store, tmp_path):
    inbox = Inbox(receiver, store=store, database=Sqlite(tmp_path / "nowhere" / "app.db"))
    with pytest.raises(StoreError, match="unable to open"):
        await inbox.start()
    assert not inbox.running


def test_without_an_event_loop_it_runs_in_a_thread_of_its_own(receiver, inbox):
    seen, done = [], threading.Event()

    @receiver.on("*")
    def plain(one):
        seen.append(one.id)

    @receiver.on("*")
    async def coroutine(one):
        seen.append(one.id)
        if one.id == "EV_3":
            done.set()

    inbox.start_in_thread()
    try:
        with pytest.raises(UsageError, match="running already"):
            inbox.start_in_thread()
        taken = [receiver.take_blocking(event(id=f"EV_{n}"), NO_DELIVERY) for n in (1, 2, 2, 3)]
        assert taken == [False, False, True, False]
        assert done.wait(WAIT_S)
    finally:
        inbox.stop_in_thread()
    inbox.stop_in_thread()
    assert sorted(seen) == sorted(["EV_1", "EV_2", "EV_3"] * 2)
    with pytest.raises(Stopped):
        receiver.take_blocking(event(), NO_DELIVERY)


async def test_another_event_loop_may_hand_over_events_to_it(receiver, inbox):
    handled = threading.Event()
    receiver.on("*")(lambda _one: handled.set())
    await asyncio.to_thread(inbox.start_in_thread)
    try:
        assert await take(receiver, event(id="EV_1"), event(id="EV_1")) == [False, True]
        assert await asyncio.to_thread(handled.wait, WAIT_S)
    finally:
        await asyncio.to_thread(inbox.stop_in_thread)


def test_a_file_that_another_inbox_has_open_keeps_it_from_starting_and_says_the_mend(receiver, inbox, store):
    other = Inbox(Receiver(keys=KEYS), store=store)
    other.start_in_thread()
    try:
        with pytest.raises(StoreError, match=r"(?s)run one worker.*PostgreSQL"):
            inbox.start_in_thread()
    finally:
        other.stop_in_thread()
    inbox.start_in_thread()
    inbox.stop_in_thread()


def test_a_process_that_was_forked_off_is_told_to_start_its_own(receiver, inbox, monkeypatch):
    receiver.on("*")(lambda _one: None)
    inbox.start_in_thread()
    try:
        with monkeypatch.context() as forked:
            forked.setattr(os, "getpid", lambda: -1)
            with pytest.raises(Stopped, match="before this process was forked"):
                receiver.take_blocking(event(), NO_DELIVERY)
    finally:
        inbox.stop_in_thread()


def test_threads_are_started_as_they_are_needed_and_no_more_than_allowed():
    threads, together = Threads(3), threading.Barrier(3)

    def meet():
        together.wait(WAIT_S)
        return threading.current_thread().name

    names = {future.result(WAIT_S) for future in [threads.submit(meet) for _ in range(9)]}
    assert len(names) == 3
    assert threads.submit(lambda: threading.current_thread().name).result(WAIT_S) in names
    threads.close()


def test_what_has_not_begun_in_a_thread_can_be_taken_back():
    threads, gate = Threads(1), threading.Event()
    held, waiting = threads.submit(lambda: gate.wait(WAIT_S)), threads.submit(lambda: "never")
    assert waiting.cancel()
    gate.set()
    assert held.result(WAIT_S)
    threads.close()


def test_where_no_more_threads_can_be_started_those_there_are_do_the_work(monkeypatch):
    threads, gate = Threads(2), threading.Event()
    held = threads.submit(lambda: gate.wait(WAIT_S))
    with monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", no_thread)
        waiting = threads.submit(lambda: "done")
        with pytest.raises(RuntimeError, match="new thread"):
            Threads(1).submit(lambda: None)
    gate.set()
    assert held.result(WAIT_S)
    assert waiting.result(WAIT_S) == "done"
    threads.close()


def no_thread(_thread):
    raise RuntimeError("can't start new thread")
