"""An inbox is started and stopped in whatever way, and used from wherever: it says what is wrong, and never hangs."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from roombell import Receiver, RetryPolicy, Stopped, UsageError
from roombell.inbox import HandlerSettings, Inbox, running
from roombell.inbox.databases import AsyncDatabase
from roombell.inbox.databases.sqlite import Sqlite
from roombell.receiver.delivery import NO_DELIVERY
from support.inbox import KEYS, QUICK, Holding, event, take

WAIT_S = 30


@pytest.mark.parametrize("turns", [1, 2, 5, 20, 50])
async def test_a_stop_whose_caller_is_cancelled_goes_on_and_the_next_start_waits_for_it(receiver, inbox, turns):
    handler = Holding(receiver)
    await inbox.start()
    await take(receiver, event(id="EV_1"))
    await asyncio.wait_for(handler.begun.wait(), WAIT_S)
    stopping = asyncio.create_task(inbox.stop(grace_s=0.2))
    for _ in range(turns):
        await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    handler.hold = False
    async with inbox:
        await inbox.drain(timeout_s=WAIT_S)
    assert handler.done == ["EV_1"]
    assert names_of_tasks() == []


async def test_a_second_stop_returns_when_the_first_one_has_ended(inbox):
    await inbox.start()
    first = asyncio.create_task(inbox.stop())
    await asyncio.sleep(0)
    await inbox.stop()
    assert names_of_tasks() == []
    await first


async def test_a_handler_may_stop_the_inbox(receiver, inbox):
    @receiver.on("*")
    async def handler(_one):
        await inbox.stop(grace_s=0)

    await inbox.start()
    await take(receiver, event())
    await asyncio.to_thread(lambda: None)
    while inbox.running:
        await asyncio.sleep(0)
    await inbox.stop()
    assert names_of_tasks() == []


async def test_of_two_starts_at_once_one_is_refused_at_once(inbox):
    results = await asyncio.gather(inbox.start(), inbox.start(), return_exceptions=True)
    await inbox.stop()
    assert [type(one) for one in results] == [type(None), UsageError]


class Silent(AsyncDatabase[None]):
    """A database that answers nothing once it was prepared."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    @contextlib.asynccontextmanager
    async def begin(self):
        self.asked.set()
        await asyncio.Event().wait()
        yield

    async def execute(self, _transaction, _statement):
        raise AssertionError("never")

    async def prepare(self):
        pass


async def test_a_database_that_does_not_answer_does_not_hold_up_the_stop(receiver, store, monkeypatch):
    monkeypatch.setattr(running, "STORE_GRACE_S", 0)
    silent = Silent()
    inbox = Inbox(receiver, store=store, database=silent)
    await inbox.start()
    await asyncio.wait_for(silent.asked.wait(), WAIT_S)
    await asyncio.wait_for(inbox.stop(), WAIT_S)
    assert names_of_tasks() == []


@pytest.mark.parametrize("closed", [True, False])
def test_an_inbox_whose_event_loop_does_not_run_says_so_and_takes_nothing(closed):
    receiver = Receiver(keys=KEYS)
    inbox = Inbox(receiver, store="memory:")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(inbox.start())
    try:
        if closed:
            loop.run_until_complete(inbox._running.stop(0))  # as the end of `asyncio.run` ends its tasks
            loop.close()
        with pytest.raises(Stopped, match="start_in_thread"):
            receiver.take_blocking(event(), NO_DELIVERY)
        with pytest.raises(Stopped, match="start_in_thread"):
            asyncio.run(receiver.take(event(), NO_DELIVERY))
    finally:
        if not closed:
            loop.run_until_complete(inbox.stop())
            loop.close()


async def test_who_would_hold_up_the_inbox_s_event_loop_is_told_so(receiver, inbox):
    async with inbox:
        with pytest.raises(UsageError, match="await receiver"):
            receiver.take_blocking(event(), NO_DELIVERY)


def test_who_asks_from_another_event_loop_is_told_where_to_ask(receiver, store):
    inbox = Inbox(receiver, store=store, rooms=True)
    inbox.start_in_thread()
    try:
        for ask in (inbox.rooms, inbox.endpoints, inbox.drain, inbox.deliveries):
            with pytest.raises(UsageError, match="another event loop"):
                asyncio.run(ask())
    finally:
        inbox.stop_in_thread()


def test_the_thread_s_event_loop_outlives_a_handler_that_exits(receiver, store):
    inbox, done = Inbox(receiver, store=store, defaults=QUICK), threading.Event()

    @receiver.on("*")
    async def handler(one):
        if one.id == "EV_1":
            raise SystemExit(3)
        done.set()

    inbox.start_in_thread()
    try:
        for number in (1, 2):
            receiver.take_blocking(event(id=f"EV_{number}", room=str(number)), NO_DELIVERY)
        assert done.wait(WAIT_S)
    finally:
        inbox.stop_in_thread()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"store": None}, "a URL.* not a NoneType"),
        ({"store": "inbox.db"}, "'inbox.db': expected sqlite:///"),
        ({"store": "mysql://app:secret-word@here"}, "'mysql:…': expected sqlite:///"),
        ({"defaults": RetryPolicy()}, "HandlerSettings.* not a RetryPolicy"),
        ({"retention": 7}, "timedelta.* not a int"),
    ],
)
def test_what_an_inbox_is_given_is_named_when_it_is_wrong(receiver, given, words):
    with pytest.raises(UsageError, match=words) as caught:
        Inbox(receiver, **given)
    assert "secret-word" not in str(caught.value)


def test_the_inbox_s_own_file_is_no_database_for_transactions(receiver, store, tmp_path):
    with pytest.raises(UsageError, match="own file"):
        Inbox(receiver, store=store, database=Sqlite(tmp_path / "x" / ".." / "inbox.db"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": None}, "name is a text; None"),
        ({"timeout_s": "30"}, "timeout_s is a number of seconds; '30'"),
        ({"timeout_s": float("nan")}, "timeout_s must be more than nothing"),
        ({"concurrency": 1.5}, r"concurrency is a whole number; 1\.5"),
        ({"retry": 5}, r"retry is a policy, as RetryPolicy\(attempts=20\); 5"),
        ({"on_dead": "block"}, r"on_dead is OnDead\.SKIP or OnDead\.BLOCK; 'block'"),
    ],
)
def test_what_a_handler_s_settings_are_given_is_named_when_it_is_wrong(given, words):
    with pytest.raises(UsageError, match=words):
        HandlerSettings(**given)


def names_of_tasks() -> list[str]:
    """What of the inbox runs on."""
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("roombell")]
