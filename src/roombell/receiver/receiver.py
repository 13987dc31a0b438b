"""The receiver with the machine's clock, the user's handlers, and an answer to every request."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterable, Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

from roombell.errors import BodyBrokenOff, BodyTooLarge, HandlerFailed, RoombellError, UsageError
from roombell.events import WebhookEvent
from roombell.receiver import answers
from roombell.receiver.answers import Answer, BodyBuffer, is_chunked, read_bounded
from roombell.receiver.core import BODY_BYTES_MAX, ReceiverCore
from roombell.receiver.delivery import DeliveryInfo, HeaderLookup
from roombell.receiver.handlers import Handlers, in_default_thread
from roombell.receiver.ports import InThread, Listener, Sink, Transactional, TransactionBlock
from roombell.receiver.registration import Registration
from roombell.signing import LEEWAY_S, KeyRing

if TYPE_CHECKING:
    import logging
    from inspect import Signature

    from starlette.requests import Request

_SAID_AGAIN_AFTER_S: Final = 1.0


class OnFailure(StrEnum):
    """What becomes of an event whose handler failed, where there is no inbox."""

    RETRY = "retry"
    """The sender is answered 500 and sends it again; handlers behind the one that failed are not called now."""
    LOG = "log"
    """It is logged, the other handlers are called, and the sender is answered 200."""


class _DependencySignature:
    """Tells FastAPI what ``Depends(receiver)`` needs, if it is FastAPI that asks; a class attribute of receivers."""

    def __get__(self, instance: Receiver | None, owner: type[Receiver]) -> Signature:
        if instance is None or "fastapi" not in sys.modules:
            raise AttributeError("__signature__")
        from roombell.receiver.fastapi import signature

        return signature()


class Receiver(ReceiverCore, Registration):
    """Verifies and decodes LiveKit's webhooks, and Roombell's, and calls handlers for them.

    ::

        receiver = Receiver(keys={"APIabc": "secret"})

        @receiver.on("participant_joined")
        async def greet(event): ...

        app.include_router(fastapi.route(receiver, "/livekit"))    # of roombell.receiver.fastapi; others have the same
        event = receiver.receive(body, authorization)               # or by hand: no handler is called

    Handlers, listeners and the sink are set while the application starts; after that threads may share it.

    :param keys: API secrets by key name, several while keys are rotated; or a key ring.
    :param on_failure: what becomes of an event whose handler failed: ``"retry"`` or ``"log"``.
    :param leeway_s: how far the sender's clock may be off.
    :param body_bytes_max: bodies above this are refused.
    :param now: the clock: unix seconds.
    :raises UsageError: no key, or an empty one; an ``on_failure`` that does not exist.
    """

    def __init__(
        self,
        keys: Mapping[str, str] | KeyRing,
        *,
        on_failure: OnFailure | Literal["retry", "log"] = OnFailure.RETRY,
        leeway_s: int = LEEWAY_S,
        body_bytes_max: int = BODY_BYTES_MAX,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(keys, leeway_s=leeway_s, body_bytes_max=body_bytes_max, now=now)
        self.handlers = Handlers()
        self._on_failure = _on_failure(on_failure)
        self._sink: Sink | None = None
        self._transaction: Transactional | None = None
        self._listeners: tuple[Listener, ...] = ()
        self._is_silence_told = False
        self._said_at_s: dict[str, float] = {}

    __signature__ = _DependencySignature()

    async def __call__(self, request: Request) -> WebhookEvent:
        """The event of a request, as a dependency of FastAPI's: ``event: WebhookEvent = Depends(receiver)``.

        Listeners, and handlers or the inbox, get it first, if there are any. What is refused is answered by itself, as
        everywhere. ``roombell.receiver.fastapi.OPENAPI`` describes it.
        """
        from roombell.receiver.starlette import receive

        return await receive(self, request)

    # What happens with events

    def listen(self, listener: Listener) -> Listener:
        """Tells ``listener`` of every verified webhook, with its delivery, before anything else is done with it.

        Repeats are told too. It runs where the webhook was received and must not block. What it raises is logged and
        changes nothing.
        """
        self._listeners = (*self._listeners, listener)
        return listener

    def use(self, sink: Sink, transaction: Transactional | None = None) -> None:
        """Hands all events to ``sink`` from now on; the handlers are then the sink's to run.

        :param transaction: what ``transaction`` calls.
        :raises UsageError: there is one already.
        """
        if self._sink is not None:
            raise UsageError("This receiver has an inbox already. Make a receiver for each.")
        self._sink, self._transaction = sink, transaction

    def transaction(self, event: WebhookEvent) -> TransactionBlock:
        """A transaction of the inbox's database that commits once for this handler and this event.

        ``Inbox.transaction`` is the same, and tells type checkers what it gives.

        :raises UsageError: there is no inbox.
        """
        if self._transaction is None:
            raise UsageError("A transaction needs an inbox: `Inbox(receiver, store=…, database=…)`.")
        return self._transaction(event)

    # What is answered

    async def respond(
        self, method: str, header: HeaderLookup, chunks: AsyncIterable[bytes], in_thread: InThread = in_default_thread
    ) -> Answer:
        """The answer to a request, for frameworks with an event loop. Raises nothing for what the sender did.

        204 to OPTIONS; 405 to another method than POST; 413 it is too large, which is known before it is read where its
        length is declared; 400 where ``chunks`` raises ``BodyBrokenOff``, and what else it raises comes
        through; otherwise see ``answer``.
        """
        early = self.before_body(method, header)
        if early is not None:
            return early
        buffer = BodyBuffer(self.body_bytes_max)
        try:
            async for chunk in chunks:
                buffer.add(chunk)
        except (BodyTooLarge, BodyBrokenOff) as error:
            return self.refusal(error)
        return await self.answer(header, buffer.body(), in_thread)

    def respond_blocking(
        self, method: str, header: HeaderLookup, read: Callable[[int], bytes], *, reads_chunked: bool
    ) -> Answer:
        """``respond`` for frameworks without an event loop.

        :param read: gives up to so many bytes of the body; none at its end. An ``OSError`` of it is answered 400.
        :param reads_chunked: whether ``read`` ends by itself, so that a body of undeclared length can be read; if not,
            such a body is answered 411.
        """
        early = self.before_body(method, header, reads_chunked=reads_chunked)
        if early is not None:
            return early
        declared = None if is_chunked(header) else header("Content-Length") or "0"
        try:
            body = read_bounded(read, self.body_bytes_max, declared)
        except (BodyTooLarge, BodyBrokenOff) as error:
            return self.refusal(error)
        return self.answer_blocking(header, body)

    def before_body(self, method: str, header: HeaderLookup, *, reads_chunked: bool = True) -> Answer | None:
        """The answer to a request whose body need not be read; None if it is to be read, up to ``body_bytes_max``."""
        if method == "OPTIONS":
            return answers.options()
        error = answers.trouble_before_body(
            method, header, body_bytes_max=self.body_bytes_max, reads_chunked=reads_chunked
        )
        if error is None:
            return None
        answer = self.refusal(error)
        return Answer(answer.status, answer.headers) if method == "HEAD" else answer

    async def answer(self, header: HeaderLookup, body: bytes, in_thread: InThread = in_default_thread) -> Answer:
        """Verifies a webhook, has it handled, and says what to answer. Raises nothing for what the sender did.

        200 it is handled, or safe in the inbox; 400 it is no event; 401 it is not signed by one of our keys; 413 it is
        too large; 500 a handler failed; 503 the inbox cannot take it now.
        """
        try:
            event = self.receive(body, header("Authorization"))
            self._tell_of_silence()
            duplicate = await self.take(event, DeliveryInfo.from_headers(header), in_thread)
        except RoombellError as error:
            return self.refusal(error)
        return answers.taken(event.id, duplicate=duplicate)

    def answer_blocking(self, header: HeaderLookup, body: bytes) -> Answer:
        """``answer`` for callers with no event loop."""
        try:
            event = self.receive(body, header("Authorization"))
            self._tell_of_silence()
            duplicate = self.take_blocking(event, DeliveryInfo.from_headers(header))
        except RoombellError as error:
            return self.refusal(error)
        return answers.taken(event.id, duplicate=duplicate)

    def refusal(self, error: RoombellError) -> Answer:
        """The answer that an error stands for; it is logged, at most once a second for each kind."""
        if not isinstance(error, HandlerFailed):  # whose cause is in the log already
            self._say(error)
        return answers.refused(error)

    async def take(self, event: WebhookEvent, delivery: DeliveryInfo, in_thread: InThread = in_default_thread) -> bool:
        """Does with a verified event what is to be done: tells the listeners, then the sink or the handlers.

        :returns: whether it was in the inbox already.
        :raises HandlerFailed: a handler failed, and the sender is to try again.
        :raises ServiceError: the inbox cannot take it now.
        """
        self._tell(event, delivery)
        if self._sink is not None:
            return await self._sink.put(event, delivery)
        for handler in self.handlers.matching(event.type):
            try:
                await handler.run(event, delivery, in_thread)
            except Exception as error:  # noqa: BLE001 - a handler is the user's, and may raise anything
                self._failed(handler.name, event, error)
        return False

    def take_blocking(self, event: WebhookEvent, delivery: DeliveryInfo) -> bool:
        """``take`` for callers with no event loop."""
        self._tell(event, delivery)
        if self._sink is not None:
            return self._sink.put_blocking(event, delivery)
        for handler in self.handlers.matching(event.type):
            try:
                handler.run_blocking(event, delivery)
            except Exception as error:  # noqa: BLE001 - a handler is the user's, and may raise anything
                self._failed(handler.name, event, error)
        return False

    def _tell(self, event: WebhookEvent, delivery: DeliveryInfo) -> None:
        for listener in self._listeners:
            try:
                listener(event, delivery)
            except Exception:  # noqa: BLE001 - a listener is the user's, and may raise anything
                _log().exception("A listener failed at %r; the event is handled all the same", event)

    def _tell_of_silence(self) -> None:
        if not (self._listeners or self._sink or self.handlers or self._is_silence_told):
            self._is_silence_told = True
            _log().warning("Webhooks come in and nothing handles them: register handlers with `@receiver.on(…)`")

    def _failed(self, handler: str, event: WebhookEvent, error: Exception) -> None:
        _log().error("The handler %s failed at %r", handler, event, exc_info=error)
        if self._on_failure is OnFailure.RETRY:
            raise HandlerFailed(event.id) from error

    def _say(self, error: RoombellError) -> None:
        """One line a second for each reason: whoever sets things up must see why, and nobody can flood the log."""
        now_s, said_at_s = self._now(), self._said_at_s.get(error.code)
        if said_at_s is None or not 0 <= now_s - said_at_s < _SAID_AGAIN_AFTER_S:  # wall time may go back
            self._said_at_s[error.code] = now_s
            _log().warning("Refused a webhook with %d: %s", error.status, error)


def _on_failure(value: str) -> OnFailure:
    try:
        return OnFailure(value)
    except ValueError as error:
        raise UsageError(f'`on_failure` is "retry" or "log"; {value!r} was given.') from error


def _log() -> logging.Logger:
    import logging  # late: it takes a good part of the time that the rest needs to load

    return logging.getLogger("roombell.receiver")
