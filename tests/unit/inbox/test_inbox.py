"""What an inbox promises to a sender and to handlers."""

from __future__ import annotations

import asyncio
import logging

import pytest

from roombell import (
    AttemptFinished,
    EventAccepted,
    OnDead,
    Overloaded,
    Receiver,
    RetryPolicy,
    Selection,
    Stopped,
    UsageError,
)
from roombell.engine.model import DeliveryState, EndpointState
from roombell.inbox import Collapse, GiveUp, HandlerSettings, Inbox, RetryLater
from roombell.receiver.delivery import NO_DELIVERY
from support.inbox import KEYS, QUICK, Holding, changed, event, take

PATIENT = HandlerSettings(retry=RetryPolicy(attempts=50, base_delay_ms=60_000, max_delay_ms=60_000))


class Recorder:
    """A handler that remembers, and waits for ``gate`` where it has one."""

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.ids: list[str] = []
        self.begun = asyncio.Event()
        self._gate = gate

    async def __call__(self, one) -> None:
        self.ids.append(one.id)
        self.begun.set()
        if self._gate is not None:
            await self._gate.wait()


def statuses(endpoints):
    return {endpoint.name.rpartition(".")[2]: endpoint for endpoint in endpoints}


async def test_each_handler_gets_each_event_it_asked_for_in_order_and_once(receiver, inbox):
    joined, everything, rest = [], [], []

    @receiver.on("participant_joined")
    async def greet(one):
        joined.append(one.id)

    @receiver.on("participant_*")
    def count(one, delivery):
        everything.append((one.id, delivery.sequence, delivery.attempt))

    @receiver.otherwise
    async def other(one):
        rest.append(one.type)

    async with inbox:
        events = [event(id=f"EV_{n}") for n in range(20)]
        await take(receiver, *events, event("participant_left", id="EV_20"), event("room_started"))
        await inbox.drain(timeout_s=30)
    assert joined == [f"EV_{n}" for n in range(20)]
    assert everything == [(f"EV_{n}", n + 1, 1) for n in range(21)]
    assert rest == ["room_started"]


async def test_a_repeat_is_taken_once_and_told_as_one(receiver, inbox):
    handler = receiver.on("*")(Recorder())
    async with inbox:
        assert await take(receiver, event(id="EV_1"), event(id="EV_1"), event(id="EV_2")) == [False, True, False]
        await inbox.drain(timeout_s=30)
    assert handler.ids == ["EV_1", "EV_2"]


async def test_what_an_egress_worker_repeats_under_another_id_is_collapsed_unless_the_rule_is_off(receiver, tmp_path):
    heard = []
    inbox = Inbox(
        receiver, store=f"sqlite:///{tmp_path}/a.db", collapse={Collapse.EGRESS_UPDATED}, hooks=[heard.append]
    )
    handler = receiver.on("egress_*")(Recorder())
    async with inbox:
        updates = [changed("egress_updated", id=f"EV_{n}", updatedAt="1") for n in range(3)]
        ends = [changed("egress_ended", id=f"EV_{n}", updatedAt="1") for n in range(3, 5)]
        assert await take(receiver, *updates, *ends) == [False, True, True, False, False]
        await inbox.drain(timeout_s=30)
    assert handler.ids == ["EV_0", "EV_3", "EV_4"]
    dropped = [one for one in heard if isinstance(one, EventAccepted) and one.duplicate]
    assert [(one.event_type, one.event_id.split("/")[0]) for one in dropped] == [
        ("egress_updated", "egress_updated")
    ] * 2


async def test_a_repeat_is_known_over_a_restart(receiver, store):
    handler = receiver.on("*")(Recorder())
    inbox = Inbox(receiver, store=store)
    for _ in range(2):
        async with inbox:
            await take(receiver, event(id="EV_1"), changed("egress_ended", id="EV_2"))
            await inbox.drain(timeout_s=30)
    assert handler.ids == ["EV_1", "EV_2"]


async def test_rooms_are_handled_at_once_and_within_a_room_one_after_the_other(receiver, inbox):
    gate = asyncio.Event()
    handler = receiver.on("*")(Recorder(gate))
    async with inbox:
        await take(receiver, *[event(id=f"EV_{room}_{n}", room=room) for room in "abc" for n in range(3)])
        while len(handler.ids) < 3:
            handler.begun.clear()
            await handler.begun.wait()
        assert sorted(handler.ids) == ["EV_a_0", "EV_b_0", "EV_c_0"]
        gate.set()
        await inbox.drain(timeout_s=30)
    assert [id_ for id_ in handler.ids if "_b_" in id_] == ["EV_b_0", "EV_b_1", "EV_b_2"]


async def test_no_more_calls_are_under_way_than_a_handler_allows(receiver, inbox):
    under_way = most = 0

    @receiver.on("*")
    @inbox.handler(HandlerSettings(concurrency=2))
    async def handler(_one):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    async with inbox:
        await asyncio.gather(*[receiver.take(event(room=f"r{n}"), NO_DELIVERY) for n in range(40)])
        await inbox.drain(timeout_s=30)
    assert most == 2


async def test_a_handler_that_fails_is_called_again_and_no_other_one_is(receiver, inbox, caplog):
    good = Recorder()
    receiver.on("*")(good)
    attempts = []

    @receiver.on("*")
    async def bad(one, delivery):
        attempts.append((one.id, delivery.attempt))
        if delivery.attempt < 3:
            raise ValueError("not yet")

    async with inbox:
        await take(receiver, event(id="EV_1"), event(id="EV_2"))
        await inbox.drain(timeout_s=30)
    assert attempts == [("EV_1", 1), ("EV_1", 2), ("EV_1", 3), ("EV_2", 1), ("EV_2", 2), ("EV_2", 3)]
    assert good.ids == ["EV_1", "EV_2"]
    assert "ValueError: not yet" in caplog.text


async def test_what_a_handler_cannot_do_is_dead_after_its_attempts_and_can_be_redriven(receiver, inbox, caplog):
    mended = False
    done = []

    @receiver.on("*")
    async def handler(one):
        if one.id == "EV_1" and not mended:
            raise LookupError("no such room")
        done.append(one.id)

    async with inbox:
        await take(receiver, event(id="EV_1"), event(id="EV_2"))
        await inbox.drain(timeout_s=30)
        assert done == ["EV_2"]
        (history,) = await inbox.attempts("EV_1")
        assert (history.delivery.state, history.delivery.reason) == (DeliveryState.DEAD, "attempts exhausted")
        assert [attempt.detail for attempt in history.attempts] == ["LookupError: no such room"] * 3
        mended = True
        assert (await inbox.redrive(Selection(states=(DeliveryState.DEAD,)))).done == 1
        await inbox.drain(timeout_s=30)
    assert done == ["EV_2", "EV_1"]
    assert "given up after 3 attempts" in caplog.text


async def test_a_handler_may_give_an_event_up_at_once(receiver, inbox):
    attempts = []

    @receiver.on("*")
    async def handler(one, delivery):
        attempts.append(delivery.attempt)
        raise GiveUp("This room is of another tenant.")

    async with inbox:
        await take(receiver, event(id="EV_1"))
        await inbox.drain(timeout_s=30)
        (history,) = await inbox.attempts("EV_1")
    assert attempts == [1]
    assert history.delivery.state is DeliveryState.DEAD
    assert history.attempts[0].detail == "This room is of another tenant."


async def test_a_handler_may_ask_for_time(receiver, store):
    heard = []
    finished = asyncio.Event()

    def hook(record):
        if isinstance(record, AttemptFinished):
            heard.append(record)
            finished.set()

    inbox = Inbox(receiver, store=store, hooks=[hook])

    @receiver.on("*")
    async def handler(one):
        raise RetryLater(120.5, "the quota is used up")

    async with inbox:
        await take(receiver, event(id="EV_1"))
        await asyncio.wait_for(finished.wait(), 30)
    (record,) = heard
    assert record.decision == "retry"
    assert record.next_due_at_ms - record.delivery.accepted_at_ms >= 120_500


async def test_a_lane_may_wait_until_a_person_decides(receiver, inbox):
    done = []

    @receiver.on("*")
    @inbox.handler(HandlerSettings(name="strict", retry=QUICK.retry, on_dead=OnDead.BLOCK))
    async def handler(one):
        if one.id == "EV_1":
            raise GiveUp("never")
        done.append(one.id)

    async with inbox:
        await take(receiver, event(id="EV_1", room="a"), event(id="EV_2", room="a"), event(id="EV_3", room="b"))
        while statuses(await inbox.endpoints())["strict"].blocked == 0 or done != ["EV_3"]:
            await asyncio.sleep(0)
        assert (await inbox.unblock(Selection(endpoint="strict"))).done == 1
        await inbox.drain(timeout_s=30)
    assert done == ["EV_3", "EV_2"]


async def test_what_is_not_done_at_the_stop_is_done_after_the_next_start(receiver, store):
    inbox = Inbox(receiver, store=store)
    handler = Holding(receiver)
    async with inbox:
        await take(receiver, *[event(id=f"EV_{n}") for n in range(3)])
        await asyncio.wait_for(handler.begun.wait(), 30)
        await inbox.stop(grace_s=0)
    assert handler.done == []
    handler.hold = False
    async with inbox:
        await inbox.drain(timeout_s=30)
    assert handler.done == ["EV_0", "EV_1", "EV_2"]


async def test_a_handler_that_fails_at_everything_is_probed_and_loses_nothing(receiver, store, caplog):
    broken = True
    done = []
    failing = asyncio.Event()
    inbox = Inbox(
        receiver, store=store, defaults=QUICK, hooks=[lambda r: "Failing" in type(r).__name__ and failing.set()]
    )

    @receiver.on("*")
    async def handler(one):
        if broken:
            raise ConnectionError("the database is down")
        done.append(one.id)

    async with inbox:
        await take(receiver, *[event(id=f"EV_{n}", room=f"r{n}") for n in range(40)])
        await asyncio.wait_for(failing.wait(), 30)
    assert "fails at everything" in caplog.text
    broken = False
    async with inbox:  # a restart may bring the release that mends it, so nothing of the outage is remembered
        await inbox.drain(timeout_s=30)
        (status,) = await inbox.endpoints()
    assert status.pending == 0
    assert len(done) + status.dead == 40
    assert status.dead < 10, "the breaker opened before many had used up their attempts"


async def test_events_for_a_handler_that_is_gone_are_kept_and_told_of(tmp_path, caplog):
    store = f"sqlite:///{tmp_path}/inbox.db"
    one = Receiver(keys=KEYS)
    begun = asyncio.Event()

    @one.on("*")
    async def old(_event):
        begun.set()
        await asyncio.Event().wait()

    inbox = Inbox(one, store=store)
    async with inbox:
        await take(one, event(id="EV_1"))
        await asyncio.wait_for(begun.wait(), 30)
        await inbox.stop(grace_s=0)
    two = Receiver(keys=KEYS)
    renamed = Recorder()
    inbox = Inbox(two, store=store)
    two.on("*")(renamed)
    async with inbox:
        gone = statuses(await inbox.endpoints())["old"]
        assert (gone.state, gone.pending) == (EndpointState.REMOVED, 1)
    assert f"HandlerSettings(name='{gone.name}')" in caplog.text
    inbox.handler(HandlerSettings(name=gone.name))(renamed)
    async with inbox:
        await inbox.drain(timeout_s=30)
    assert renamed.ids == ["EV_1"]


async def test_two_handlers_of_one_name_are_refused_with_the_mend(receiver, inbox):
    def register(pattern):
        @receiver.on(pattern)
        async def handler(_one): ...

        return handler

    register("room_*")
    second = register("track_*")
    with pytest.raises(UsageError, match=r"Two handlers are called .*HandlerSettings\(name="):
        await inbox.start()
    inbox.handler(HandlerSettings(name="tracks"))(second)
    async with inbox:
        assert {"tracks", "handler"} == set(statuses(await inbox.endpoints()))


async def test_a_function_registered_twice_is_one_handler(receiver, inbox):
    handler = Recorder()
    receiver.on("room_*")(handler)
    receiver.on("*")(handler)
    async with inbox:
        await take(receiver, event("room_started", id="EV_1"), event(id="EV_2"))
        await inbox.drain(timeout_s=30)
    assert handler.ids == ["EV_1", "EV_2"]


async def test_a_handler_registered_too_late_makes_the_sender_come_again(receiver, inbox):
    async with inbox:
        receiver.on("*")(Recorder())
        with pytest.raises(UsageError, match="after the inbox had started"):
            await take(receiver, event())


async def test_an_inbox_that_does_not_run_takes_nothing(receiver, inbox):
    receiver.on("*")(Recorder())
    with pytest.raises(Stopped, match="lifespan"):
        await take(receiver, event())
    async with inbox:
        await take(receiver, event())
        with pytest.raises(UsageError, match="running already"):
            await inbox.start()
    await inbox.stop()
    with pytest.raises(Stopped):
        await take(receiver, event())


async def test_an_event_that_nobody_wants_is_taken_all_the_same(receiver, inbox):
    async with inbox:
        assert await take(receiver, event(id="EV_1"), event(id="EV_1")) == [False, True]
        await inbox.drain(timeout_s=30)


async def test_the_answer_waits_for_the_disk_and_not_for_the_handler(receiver, inbox):
    gate = asyncio.Event()
    receiver.on("*")(Recorder(gate))
    async with inbox:
        await asyncio.wait_for(receiver.take(event(), NO_DELIVERY), 30)
        gate.set()


def test_a_receiver_has_one_inbox(receiver, inbox):
    with pytest.raises(UsageError, match="has an inbox already"):
        Inbox(receiver)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"timeout_s": 0}, "timeout_s"), ({"timeout_s": -1.0}, "timeout_s"), ({"concurrency": 0}, "concurrency")],
)
def test_handler_settings_that_cannot_work_are_refused(arguments, words):
    with pytest.raises(UsageError, match=words):
        HandlerSettings(**arguments)


def test_a_wrong_store_or_rule_is_refused(receiver):
    with pytest.raises(UsageError, match="sqlite:///"):
        Inbox(receiver, store="mysql://here")
    with pytest.raises(UsageError, match="egress_updated"):
        Inbox(receiver, collapse=["egress_paused"])


def test_what_is_given_for_something_else_is_refused_with_the_mend(receiver, inbox):
    with pytest.raises(UsageError, match="not the class Receiver"):
        Inbox(Receiver)
    with pytest.raises(UsageError, match=r"SqlAlchemy\(engine\).*not a str itself"):
        Inbox(receiver, database="postgresql://here")
    with pytest.raises(UsageError, match="takes settings"):

        @inbox.handler
        async def handler(_one): ...

    with pytest.raises(UsageError, match="may not begin with @"):
        HandlerSettings(name="@rooms")


async def test_a_lifespan_runs_it_for_as_long_as_the_application(receiver, inbox):
    async with inbox.lifespan(object()):
        assert inbox.running
        assert inbox.last_error is None
    assert not inbox.running


async def test_an_inbox_that_is_overloaded_says_when_to_come_again(receiver, inbox):
    async with inbox:
        taken = [asyncio.ensure_future(receiver.take(event(id=f"EV_{n}"), NO_DELIVERY)) for n in range(4_500)]
        results = await asyncio.gather(*taken, return_exceptions=True)
        refused = [one for one in results if isinstance(one, Overloaded)]
        assert refused
        assert {one.retry_after_s for one in refused} == {1}
        assert set(map(type, results)) == {bool, Overloaded}


async def test_logs_name_the_event_and_hold_no_body(receiver, inbox, caplog):
    @receiver.on("*")
    async def handler(_one):
        raise ValueError("no")

    with caplog.at_level(logging.DEBUG, "roombell"):
        async with inbox:
            await take(receiver, event("room_started", id="EV_1"))
            await inbox.drain(timeout_s=30)
    assert "EV_1" in caplog.text
    assert "not-a-secret" not in caplog.text
