"""What a receiver does with a verified event: listeners, then the sink or the handlers; and what it answers."""

from __future__ import annotations

import json
import logging

import pytest

from roombell.errors import HandlerFailed, Overloaded, StoreUnavailable, UsageError
from roombell.events import WebhookEvent, parse
from roombell.receiver import Answer, DeliveryInfo, Receiver
from roombell.receiver.delivery import NO_DELIVERY
from roombell.signing import KeyRing
from roombell.testing.payloads import sample

NOW = 1_789_411_342.0
KEYS = {"APIabc": "secret"}
BODY = sample("participant_joined")
EVENT = parse(BODY)
HEADERS = {
    "Authorization": KeyRing(KEYS).sign(BODY, api_key="APIabc", now=NOW),
    "Webhook-Id": "EV_%E2%82%AC",
    "Webhook-Attempt": "2",
    "Webhook-Sequence": "7",
    "Webhook-Lane": "app%20/%20room",
}
DELIVERY = DeliveryInfo("EV_€", attempt=2, sequence=7, lane="app / room")


def make(**settings: str) -> Receiver:
    return Receiver(KEYS, now=lambda: NOW, **settings)


def told(answer: Answer) -> tuple[int, dict[str, object]]:
    return answer.status, json.loads(answer.body)


async def both(receiver: Receiver, body: bytes = BODY, headers: dict[str, str] = HEADERS) -> tuple[int, dict]:
    """The answer, which is the same with a loop and without."""
    answer = await receiver.answer(headers.get, body)
    assert answer == receiver.answer_blocking(headers.get, body)
    return told(answer)


class MemorySink:
    def __init__(self, error: Exception | None = None) -> None:
        self.events: list[tuple[WebhookEvent, DeliveryInfo]] = []
        self._error = error

    async def put(self, event: WebhookEvent, delivery: DeliveryInfo) -> bool:
        return self.put_blocking(event, delivery)

    def put_blocking(self, event: WebhookEvent, delivery: DeliveryInfo) -> bool:
        if self._error:
            raise self._error
        self.events.append((event, delivery))
        return len(self.events) > 1


def raising(error: Exception):
    def handler(event: WebhookEvent) -> None:
        raise error

    return handler


async def test_a_handled_event_is_answered_200_with_its_id() -> None:
    receiver = make()
    seen = []
    receiver.on("*")(lambda event, delivery: seen.append((event, delivery)))
    assert await both(receiver) == (200, {"id": EVENT.id, "duplicate": False})
    assert seen == [(EVENT, DELIVERY)] * 2


async def test_a_failing_handler_is_answered_500_so_that_it_comes_again_and_nothing_of_the_error_leaks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver = make()
    seen = []
    receiver.on("*")(raising(ValueError("password 123")))
    receiver.on("*")(seen.append)
    status, body = await both(receiver)
    assert (status, body["error"]) == (500, "handler_failed")
    assert "password" not in json.dumps(body)
    assert seen == []  # those behind it run when it comes again
    failures = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "The handler" in failures[0].getMessage()
    assert failures[0].exc_info is not None
    assert "Refused" not in caplog.text


async def test_a_failing_handler_can_be_logged_and_the_others_called(caplog: pytest.LogCaptureFixture) -> None:
    receiver = make(on_failure="log")
    seen = []
    receiver.on("*")(raising(ValueError("oh")))
    receiver.on("*")(seen.append)
    assert (await both(receiver))[0] == 200
    assert seen == [EVENT] * 2
    assert "ValueError: oh" in caplog.text


async def test_the_failure_of_a_handler_is_the_cause_of_what_take_raises() -> None:
    receiver, error = make(), KeyError("x")
    receiver.on("*")(raising(error))
    with pytest.raises(HandlerFailed) as caught:
        await receiver.take(EVENT, NO_DELIVERY)
    assert caught.value.__cause__ is error
    assert caught.value.event_id == EVENT.id


async def test_a_sink_gets_every_event_in_the_handlers_stead() -> None:
    receiver, sink, seen = make(), MemorySink(), []
    receiver.on("*")(seen.append)
    receiver.use(sink)
    first = await receiver.answer(HEADERS.get, BODY)
    again = receiver.answer_blocking(HEADERS.get, BODY)
    assert [told(answer)[1]["duplicate"] for answer in (first, again)] == [False, True]
    assert sink.events == [(EVENT, DELIVERY)] * 2
    assert seen == []


@pytest.mark.parametrize(
    ("error", "after"), [(Overloaded("full", retry_after_s=9), "9"), (StoreUnavailable("gone"), "1")]
)
async def test_a_sink_that_cannot_take_an_event_is_answered_503_with_when_to_come_again(
    error: Exception, after: str
) -> None:
    receiver = make()
    receiver.use(MemorySink(error))
    answer = await receiver.answer(HEADERS.get, BODY)
    assert answer.status == 503
    assert dict(answer.headers)["Retry-After"] == after
    assert answer == receiver.answer_blocking(HEADERS.get, BODY)


def test_a_second_sink_is_refused() -> None:
    receiver = make()
    receiver.use(MemorySink())
    with pytest.raises(UsageError, match="inbox already"):
        receiver.use(MemorySink())


async def test_listeners_hear_of_every_verified_webhook_first_and_of_no_other() -> None:
    receiver, seen = make(), []
    receiver.listen(lambda event, delivery: seen.append(("listener", event, delivery)))
    receiver.on("*")(lambda event: seen.append(("handler", event)))
    await receiver.answer(HEADERS.get, BODY)
    await receiver.answer(HEADERS.get, BODY + b" ")
    assert seen == [("listener", EVENT, DELIVERY), ("handler", EVENT)]


async def test_a_failing_listener_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    receiver, seen = make(), []
    receiver.listen(lambda event, delivery: 1 / 0)
    receiver.listen(lambda event, delivery: seen.append("second"))
    receiver.on("*")(lambda event: seen.append("handler"))
    assert (await receiver.answer(HEADERS.get, BODY)).status == 200
    assert seen == ["second", "handler"]
    assert "ZeroDivisionError" in caplog.text


async def test_it_is_told_once_when_nothing_handles_what_comes(caplog: pytest.LogCaptureFixture) -> None:
    await both(make())
    assert [record.getMessage() for record in caplog.records] == [
        "Webhooks come in and nothing handles them: register handlers with `@receiver.on(…)`"
    ]


async def test_a_receiver_with_handlers_for_other_events_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    receiver = make()
    receiver.on("egress_*")(print)
    assert (await both(receiver))[0] == 200
    assert caplog.records == []


@pytest.mark.parametrize(
    ("body", "change", "status", "code"),
    [
        (BODY + b" ", {}, 401, "body_hash_mismatch"),
        (BODY, {"Authorization": "Bearer x"}, 401, "malformed_token"),
        (BODY, {"Authorization": KeyRing({"APIx": "s"}).sign(BODY, api_key="APIx", now=NOW)}, 401, "unknown_key"),
        (b"x" * 2**20 + b"x", {}, 413, "body_too_large"),
        (b"hi", {"Authorization": KeyRing(KEYS).sign(b"hi", api_key="APIabc", now=NOW)}, 400, "not_an_event"),
    ],
)
async def test_a_refusal_has_a_stable_word_and_is_logged(
    body: bytes, change: dict[str, str], status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    answered, words = await both(make(), body, HEADERS | change)
    assert (answered, words["error"]) == (status, code)
    assert "Retry-After" not in dict((await make().answer((HEADERS | change).get, body)).headers)
    assert f"Refused a webhook with {status}" in caplog.text


def test_a_stranger_cannot_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    now = [NOW]
    receiver = Receiver(KEYS, now=lambda: now[0])
    for _ in range(50):
        receiver.answer_blocking({}.get, BODY)
        receiver.before_body("GET", {}.get)
    assert [record.getMessage()[:28] for record in caplog.records] == [
        "Refused a webhook with 401: ",
        "Refused a webhook with 405: ",
    ]
    for moved_s in (1, -86_400):  # and a clock that is put back does not silence it
        now[0] += moved_s
        receiver.answer_blocking({}.get, BODY)
    assert len(caplog.records) == 4


def test_an_unknown_choice_for_failures_is_refused() -> None:
    with pytest.raises(UsageError, match='`on_failure` is "retry" or "log"; \'never\' was given'):
        make(on_failure="never")


@pytest.mark.parametrize("value", ["", "0", "-1", "+1", "1.5", "٣", "x", "1" * 20, None])
def test_malformed_numbers_in_headers_are_no_numbers(value: str | None) -> None:
    info = DeliveryInfo.from_headers({"Webhook-Sequence": value, "Webhook-Attempt": value}.get)
    assert (info.sequence, info.attempt, info.is_numbered) == (None, None, False)


def test_headers_of_roombell_are_read_and_decoded() -> None:
    assert DeliveryInfo.from_headers(HEADERS.get) == DELIVERY
    assert DELIVERY.is_numbered
    assert DeliveryInfo.from_headers({}.get) == NO_DELIVERY
    assert DeliveryInfo.from_headers({"Webhook-Lane": "x" * 1025}.get).lane == ""
