"""What a receiver answers under every framework, as tests.

Subclass ``ReceiverContract`` in a test module and give it a fixture ``serve``: it takes a receiver and returns an
asynchronous context that serves it through your adapter, on a real socket, and gives the webhook's URL. It needs pytest
with pytest-asyncio in its auto mode::

    class TestMyFramework(ReceiverContract):
        @pytest.fixture
        def serve(self):
            return my_server      # async with my_server(receiver) as url: ...
"""

from __future__ import annotations

import asyncio

import pytest

from roombell.errors import Overloaded
from roombell.events import WebhookEvent, parse
from roombell.receiver import DeliveryInfo, OnFailure
from roombell.testing.receiver_driver import (
    BODY,
    BODY_BYTES_MAX,
    KEYS,
    Client,
    Handled,
    Serve,
    new_receiver,
    padded,
    sign,
)

EVENT = parse(BODY)
CONTENT_TYPES = (
    "application/json",
    "application/webhook+json; charset=utf-8",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "application/octet-stream",
    "nonsense",
    "",
)


class RequestContract:
    """Methods, lengths and content types."""

    reads_chunked: bool = True
    """Whether the server beneath hands over bodies whose length was not declared."""
    refuses_unread: bool = True
    """Whether the framework lets a request be refused before its body came."""

    async def test_a_signed_webhook_is_handled_and_answered_with_its_id(self, serve: Serve) -> None:
        handled = Handled()
        async with serve(handled.receiver) as url:
            answer = await Client(url).post()
        assert (answer.status, answer.told) == (200, {"id": EVENT.id, "duplicate": False})
        assert answer.headers["content-type"] == "application/json"
        assert handled.events == [EVENT]
        assert handled.deliveries == [DeliveryInfo()]

    @pytest.mark.parametrize("content_type", CONTENT_TYPES)
    async def test_the_content_type_does_not_matter(self, serve: Serve, content_type: str) -> None:
        handled = Handled()
        async with serve(handled.receiver) as url:
            assert (await Client(url).post(content_type=content_type)).status == 200
        assert handled.events == [EVENT]

    @pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
    async def test_other_methods_are_told_which_are_allowed(self, serve: Serve, method: str) -> None:
        handled = Handled()
        async with serve(handled.receiver) as url:
            answer = await Client(url).send(method, {"authorization": sign(b"")})
        assert answer.error == (405, "method_not_allowed")
        assert answer.headers["allow"] == "POST, OPTIONS"
        assert handled.events == []

    async def test_head_is_answered_without_a_body_and_options_with_the_methods(self, serve: Serve) -> None:
        async with serve(new_receiver()) as url:
            head, options = await Client(url).send("HEAD", {}), await Client(url).send("OPTIONS", {})
        assert (head.status, head.headers["allow"], head.body) == (405, "POST, OPTIONS", b"")
        assert (options.status, options.headers["allow"], options.body) == (204, "POST, OPTIONS", b"")

    async def test_a_body_of_exactly_the_limit_is_taken(self, serve: Serve) -> None:
        handled = Handled()
        async with serve(handled.receiver) as url:
            assert (await Client(url).post(padded(BODY_BYTES_MAX))).status == 200
        assert len(handled.events[0].raw) == BODY_BYTES_MAX

    async def test_a_body_that_is_declared_too_large_is_refused_before_it_comes(self, serve: Serve) -> None:
        body = padded(BODY_BYTES_MAX + 1)
        headers = {"authorization": sign(body), "content-length": str(len(body))}
        async with serve(new_receiver()) as url:
            answer = await Client(url).send("POST", headers, b"" if self.refuses_unread else body, declare=False)
        assert answer.error == (413, "body_too_large")

    async def test_a_chunked_body_is_put_together(self, serve: Serve) -> None:
        handled = Handled()
        async with serve(handled.receiver) as url:
            answer = await Client(url).post_chunked(BODY[:10], BODY[10:11], BODY[11:])
        if self.reads_chunked:
            assert (answer.status, handled.events) == (200, [EVENT])
        else:
            assert (answer.error, handled.events) == ((411, "length_required"), [])

    async def test_a_chunked_body_of_exactly_the_limit_is_taken_and_a_larger_one_refused(self, serve: Serve) -> None:
        if not self.reads_chunked:
            pytest.skip("this server hands over no chunked bodies")
        handled = Handled()
        fits, larger = padded(BODY_BYTES_MAX), padded(BODY_BYTES_MAX + 1)
        async with serve(handled.receiver) as url:
            assert (await Client(url).post_chunked(fits[:2_000], fits[2_000:])).status == 200
            assert (await Client(url).post_chunked(larger[:2_000], larger[2_000:])).error == (413, "body_too_large")
        assert [len(event.raw) for event in handled.events] == [BODY_BYTES_MAX]

    async def test_a_sender_that_breaks_off_leaves_the_server_whole_and_is_no_error_of_ours(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        handled = Handled()
        async with serve(handled.receiver) as url:
            await Client(url).break_off()
            assert (await Client(url).post()).status == 200
        assert handled.events == [EVENT]
        assert not [record for record in caplog.records if record.exc_info]


class SignatureContract:
    """Who is believed."""

    @pytest.mark.parametrize("form", ["Bearer {}", "bearer {}"])
    async def test_the_token_may_stand_after_bearer(self, serve: Serve, form: str) -> None:
        async with serve(Handled().receiver) as url:
            assert (await Client(url).post(authorization=form.format(sign(BODY)))).status == 200

    async def test_a_webhook_without_a_token_is_refused(self, serve: Serve) -> None:
        handled = Handled()
        async with serve(handled.receiver) as url:
            answer = await Client(url).send("POST", {"authorize": sign(BODY)}, BODY)
        assert answer.error == (401, "no_authorization")
        assert handled.events == []

    @pytest.mark.parametrize(
        ("token", "code"),
        [
            (sign(BODY, {"APIother": "a secret"}), "unknown_key"),
            (sign(BODY, dict.fromkeys(KEYS, "another secret")), "bad_signature"),
            (sign(BODY + b" "), "body_hash_mismatch"),
            ("Basic dXNlcjpwYXNz", "malformed_token"),
        ],
    )
    async def test_a_webhook_that_is_wrongly_signed_is_refused_with_the_reason(
        self, serve: Serve, token: str, code: str
    ) -> None:
        handled = Handled()
        async with serve(handled.receiver) as url:
            assert (await Client(url).post(authorization=token)).error == (401, code)
        assert handled.events == []

    async def test_signed_bytes_that_are_no_event_are_refused(self, serve: Serve) -> None:
        async with serve(Handled().receiver) as url:
            for body in (b"hello", b"[]", b"{}", '{"event": "ü'.encode("latin-1"), b"\xff\x00"):
                assert (await Client(url).post(body)).error == (400, "not_an_event")

    async def test_the_body_is_verified_as_the_bytes_that_came(self, serve: Serve) -> None:
        body = b'\r\n{ "event" :"room_started",\t"id": "EV_+%41&a=b" , "x":["\xc3\xbc\\u00fc"] }\n\n'
        handled = Handled()
        async with serve(handled.receiver) as url:
            answer = await Client(url).post(body, content_type="application/x-www-form-urlencoded")
        assert answer.told == {"id": "EV_+%41&a=b", "duplicate": False}
        assert [event.raw for event in handled.events] == [body]


class HandlingContract:
    """What becomes of events."""

    async def test_handlers_are_told_what_roombells_headers_say(self, serve: Serve) -> None:
        handled = Handled()
        async with serve(handled.receiver) as url:
            await Client(url).post(
                webhook_id="EV_1", webhook_attempt="3", webhook_sequence="41", webhook_lane="app%20room"
            )
        assert handled.deliveries == [DeliveryInfo("EV_1", attempt=3, sequence=41, lane="app room")]

    async def test_plain_and_asynchronous_handlers_run_in_their_order(self, serve: Serve) -> None:
        receiver, seen = new_receiver(), []

        @receiver.on("*")
        def plain(event: WebhookEvent) -> None:
            seen.append("plain")

        @receiver.on("participant_*")
        async def later(event: WebhookEvent) -> None:
            await asyncio.sleep(0)
            seen.append("asynchronous")

        receiver.on("participant_joined")(lambda event: seen.append("plain again"))
        async with serve(receiver) as url:
            assert (await Client(url).post()).status == 200
        assert seen == ["plain", "asynchronous", "plain again"]

    @pytest.mark.parametrize("kind", ["plain", "asynchronous"])
    async def test_a_failing_handler_makes_the_sender_try_again_and_tells_it_nothing(
        self, serve: Serve, kind: str
    ) -> None:
        receiver = new_receiver()

        async def failing_later(event: WebhookEvent) -> None:
            raise ValueError("password 123")

        def failing(event: WebhookEvent) -> None:
            raise ValueError("password 123")

        receiver.on("*")(failing if kind == "plain" else failing_later)
        async with serve(receiver) as url:
            answer = await Client(url).post()
        assert answer.error == (500, "handler_failed")
        assert b"password" not in answer.body

    async def test_a_failing_handler_can_be_logged_alone(self, serve: Serve) -> None:
        handled = Handled(new_receiver(OnFailure.LOG))
        handled.receiver.on("*")(lambda event: 1 // 0)
        async with serve(handled.receiver) as url:
            assert (await Client(url).post()).status == 200
        assert handled.events == [EVENT]

    async def test_what_an_inbox_takes_is_answered_at_once_and_what_it_cannot_take_with_503(self, serve: Serve) -> None:
        handled, inbox = Handled(), _Inbox()
        handled.receiver.use(inbox)
        async with serve(handled.receiver) as url:
            answers = [await Client(url).post() for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 503]
        assert answers[2].error == (503, "overloaded")
        assert answers[2].headers["retry-after"] == "7"
        assert inbox.events == [EVENT, EVENT]
        assert handled.events == []


class _Inbox:
    """Takes two events, and is full."""

    def __init__(self) -> None:
        self.events: list[WebhookEvent] = []

    async def put(self, event: WebhookEvent, delivery: DeliveryInfo) -> bool:
        return self.put_blocking(event, delivery)

    def put_blocking(self, event: WebhookEvent, delivery: DeliveryInfo) -> bool:
        if len(self.events) > 1:
            raise Overloaded("The inbox is full.", retry_after_s=7)
        self.events.append(event)
        return len(self.events) > 1


class ReceiverContract(RequestContract, SignatureContract, HandlingContract):
    """Every answer of a receiver."""
