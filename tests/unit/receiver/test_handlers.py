"""Handlers: which are called for an event, in which order, where, and what is said of those that cannot work."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import re
import threading

import pytest

from roombell.errors import HandlerFailed, UsageError
from roombell.events import WebhookEvent, parse
from roombell.receiver import DeliveryInfo, Receiver
from roombell.receiver.handlers import Handler
from roombell.testing.payloads import sample

JOINED = parse(sample("participant_joined"))
ENDED = parse(sample("egress_ended"))
NEWER = parse(b'{"event":"room_moved","id":"EV_9"}')
DELIVERY = DeliveryInfo("EV_1", attempt=2, sequence=7, lane="lane")


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(keys={"APIabc": "secret"})


async def handle(receiver: Receiver, event: WebhookEvent) -> None:
    await receiver.take(event, DELIVERY)


async def test_a_handler_is_called_for_the_events_it_names_alone(receiver: Receiver) -> None:
    seen = []
    receiver.on("participant_joined", "participant_left")(seen.append)
    for event in (JOINED, ENDED, parse(sample("participant_left"))):
        await handle(receiver, event)
    assert [event.type for event in seen] == ["participant_joined", "participant_left"]


@pytest.mark.parametrize(
    ("pattern", "types"),
    [
        ("egress_*", {"egress_started", "egress_updated", "egress_ended"}),
        ("*_ended", {"egress_ended", "ingress_ended", "agent_job_ended"}),
        ("room_finishe?", {"room_finished"}),
        ("[ei]*gress_ended", {"egress_ended", "ingress_ended"}),
    ],
)
def test_a_glob_stands_for_all_events_it_fits(receiver: Receiver, pattern: str, types: set[str]) -> None:
    from roombell.events import EVENT_TYPES

    receiver.on(pattern)(print)
    assert {name for name in EVENT_TYPES if receiver.handlers.matching(name)} == types


async def test_handlers_of_one_event_run_one_after_the_other_in_the_order_of_registration(receiver: Receiver) -> None:
    seen = []

    @receiver.on("participant_*")
    async def first(event: WebhookEvent) -> None:
        await asyncio.sleep(0)
        seen.append("first")

    @receiver.on("participant_joined")
    def second(event: WebhookEvent) -> None:
        seen.append("second")

    @receiver.on("*")
    async def third(event: WebhookEvent) -> None:
        seen.append("third")

    await handle(receiver, JOINED)
    assert seen == ["first", "second", "third"]


async def test_events_that_no_handler_asked_for_go_to_otherwise(receiver: Receiver) -> None:
    seen: list[str] = []
    receiver.on("participant_joined")(lambda event: seen.append("joined"))
    receiver.otherwise(lambda event: seen.append(event.type))
    for event in (JOINED, ENDED, NEWER):
        await handle(receiver, event)
    assert seen == ["joined", "egress_ended", "room_moved"]


async def test_a_star_is_called_for_events_of_newer_servers_too(receiver: Receiver) -> None:
    seen = []
    receiver.on("*")(seen.append)
    await handle(receiver, NEWER)
    assert seen == [NEWER]


async def test_an_event_of_a_newer_server_can_be_named(receiver: Receiver) -> None:
    seen = []
    receiver.on("room_moved", unknown=True)(seen.append)
    await handle(receiver, NEWER)
    assert seen == [NEWER]


async def test_a_handler_with_two_arguments_is_told_how_the_event_came(receiver: Receiver) -> None:
    seen = []

    @receiver.on("*")
    def handler(event: WebhookEvent, delivery: DeliveryInfo) -> None:
        seen.append((event, delivery))

    await handle(receiver, JOINED)
    receiver.take_blocking(ENDED, DELIVERY)
    assert seen == [(JOINED, DELIVERY), (ENDED, DELIVERY)]


async def test_a_second_argument_with_a_default_is_the_handlers_own(receiver: Receiver) -> None:
    seen = []

    @receiver.on("*")
    def handler(event: WebhookEvent, tries: int = 3) -> None:
        seen.append(tries)

    await handle(receiver, JOINED)
    assert seen == [3]


async def test_plain_handlers_run_in_a_thread_with_the_callers_context(receiver: Receiver) -> None:
    variable = contextvars.ContextVar[str]("variable")
    variable.set("here")
    seen = []
    receiver.on("*")(lambda event: seen.append((threading.get_ident(), variable.get())))
    await handle(receiver, JOINED)
    assert [told for _, told in seen] == ["here"]
    assert seen[0][0] != threading.get_ident()


async def test_coroutine_functions_run_in_the_loop_that_received(receiver: Receiver) -> None:
    seen = []

    @receiver.on("*")
    async def handler(event: WebhookEvent) -> None:
        seen.append(asyncio.get_running_loop())

    await handle(receiver, JOINED)
    assert seen == [asyncio.get_running_loop()]


def test_without_a_loop_plain_handlers_run_in_the_calling_thread_and_coroutine_functions_to_their_end(
    receiver: Receiver,
) -> None:
    seen = []
    receiver.on("*")(lambda event: seen.append(threading.get_ident()))

    @receiver.on("*")
    async def later(event: WebhookEvent) -> None:
        await asyncio.sleep(0)
        seen.append(threading.get_ident())

    receiver.take_blocking(JOINED, DELIVERY)
    assert seen == [threading.get_ident()] * 2


class Recorder:
    def __init__(self) -> None:
        self.seen: list[str] = []

    async def __call__(self, event: WebhookEvent) -> None:
        self.seen.append("called")

    async def method(self, event: WebhookEvent) -> None:
        self.seen.append("method")

    async def tagged(self, tag: str, event: WebhookEvent) -> None:
        self.seen.append(tag)


async def test_objects_methods_partials_and_lambdas_can_be_handlers(receiver: Receiver) -> None:
    recorder = Recorder()
    receiver.on("*")(recorder)
    receiver.on("*")(recorder.method)
    receiver.on("*")(functools.partial(recorder.tagged, "partial"))
    receiver.on("*")(lambda event: recorder.tagged("lambda", event))
    await handle(receiver, JOINED)
    assert recorder.seen == ["called", "method", "partial", "lambda"]
    receiver.take_blocking(JOINED, DELIVERY)
    assert recorder.seen[4:] == ["called", "method", "partial", "lambda"]


def test_a_handler_is_returned_as_it_was(receiver: Receiver) -> None:
    def handler(event: WebhookEvent) -> None: ...

    assert receiver.on("*")(handler) is handler
    assert receiver.otherwise(handler) is handler


def test_a_handlers_name_says_where_it_is(receiver: Receiver) -> None:
    receiver.on("*")(Recorder().method)
    receiver.on("*")(functools.partial(Recorder.tagged, Recorder(), "x"))
    receiver.on("*")(Recorder())
    names = [handler.name.rpartition("test_handlers.")[2] for handler in receiver.handlers.matching("x")]
    assert names == ["Recorder.method", "Recorder.tagged", "Recorder"]


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("participant_join", "participant_joined"),
        ("participant.joined", "participant_joined"),
        ("Egress_Ended", "egress_ended"),
        ("track-published", "track_published"),
        ("egress", "egress_*"),
        ("job", "agent_job_*"),
        ("egres_*", "egress_*"),
    ],
)
def test_a_name_that_no_event_has_is_refused_with_what_was_meant(receiver: Receiver, pattern: str, meant: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"did you mean {meant!r}?")) as caught:
        receiver.on(pattern)(print)
    assert "unknown=True" in str(caught.value)


def test_a_name_like_nothing_is_refused_without_a_guess(receiver: Receiver) -> None:
    with pytest.raises(UsageError, match="The event 'zzz' fits no event that LiveKit is known to send"):
        receiver.on("zzz")(print)
    with pytest.raises(UsageError, match="The pattern"):
        receiver.on("zzz*")(print)


def test_what_cannot_be_a_handler_is_refused_at_once(receiver: Receiver) -> None:
    def none() -> None: ...
    def three(a: object, b: object, c: object) -> None: ...
    def generator(event: object):
        yield event

    for function, words in ((none, "must take the event"), (three, "must take the event"), (generator, "generator")):
        with pytest.raises(UsageError, match=words):
            receiver.on("*")(function)  # type: ignore[type-var]
    with pytest.raises(UsageError, match="A handler is a function; str was given"):
        receiver.otherwise("handler")  # type: ignore[type-var]
    assert len(receiver.handlers) == 0


def test_forgotten_parentheses_and_names_are_told(receiver: Receiver) -> None:
    with pytest.raises(UsageError, match=r'write `@receiver.on\("participant_joined"\)`'):

        @receiver.on
        def handler(event: WebhookEvent) -> None: ...

    with pytest.raises(UsageError, match="needs the events"):
        receiver.on()
    with pytest.raises(UsageError, match="as text; int was given"):
        receiver.on(5)(print)  # type: ignore[arg-type]


def test_a_handler_that_is_added_later_is_called_from_then_on(receiver: Receiver) -> None:
    seen: list[str] = []
    receiver.otherwise(lambda event: seen.append("otherwise"))
    receiver.take_blocking(JOINED, DELIVERY)
    receiver.on("*")(lambda event: seen.append("on"))
    receiver.take_blocking(JOINED, DELIVERY)
    assert seen == ["otherwise", "on"]


def test_a_handler_that_is_added_while_a_thread_looks_for_others_is_not_missed(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    wants, late = Handler.wants, []

    def slowly(handler: Handler, event_type: str) -> bool:
        if not late:
            late.append(receiver.otherwise(print))
            receiver.on("room_started")(late.append)
        return wants(handler, event_type)

    receiver.on("*")(print)
    monkeypatch.setattr(Handler, "wants", slowly)
    assert len(receiver.handlers.matching("room_started")) == 1
    assert len(receiver.handlers.matching("room_started")) == 2


async def test_a_plain_handler_that_raises_stop_iteration_fails_and_hangs_nothing(receiver: Receiver) -> None:
    receiver.on("*")(lambda event: next(iter(())))
    with pytest.raises(HandlerFailed):
        await receiver.take(JOINED, DELIVERY)
    with pytest.raises(HandlerFailed):
        receiver.take_blocking(JOINED, DELIVERY)


async def test_a_handler_that_waits_for_something_cancelled_fails_as_any_other(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    @receiver.on("*")
    async def waits(event: WebhookEvent) -> None:
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lost.cancel()
        await lost

    with pytest.raises(HandlerFailed):
        await receiver.take(JOINED, DELIVERY)
    with pytest.raises(HandlerFailed):
        receiver.take_blocking(JOINED, DELIVERY)
    assert "waits waited for was cancelled" in caplog.text


async def test_a_request_that_is_cancelled_stays_cancelled(receiver: Receiver) -> None:
    began = asyncio.Event()

    @receiver.on("*")
    async def waits(event: WebhookEvent) -> None:
        began.set()
        await asyncio.get_running_loop().create_future()

    answering = asyncio.create_task(receiver.take(JOINED, DELIVERY))
    await began.wait()
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering


def test_event_types_off_the_wire_fill_no_memory(receiver: Receiver) -> None:
    receiver.on("*")(print)
    for number in range(5_000):
        assert len(receiver.handlers.matching(f"room_{number}")) == 1
    assert len(receiver.handlers._by_type) <= 1024
