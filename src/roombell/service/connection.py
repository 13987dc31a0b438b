"""One client's connection: requests in, answers out in the order of the requests.

Requests of one connection run side by side up to a bound; past it, and while the client does not take its answers
in, nothing more is read from it. There is no timer and no clock call per request: the server sweeps over its
connections once a second, and a connection that a sweep finds where the one before found it has been there since.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import Final, cast

from roombell.errors import RoombellError, Stopped
from roombell.service.limits import HttpLimits
from roombell.service.messages import (
    INTERNAL_ERROR,
    Deferred,
    Handler,
    Request,
    Response,
    error_response,
    response_to,
)
from roombell.service.reader import SLICE_BYTES, BodyBytes, Phase, RequestReader
from roombell.service.router import Router
from roombell.service.wire import CONTINUE, ResponseEncoder

_log = logging.getLogger("roombell.http")

_REFUSALS_AT_ONCE_MAX: Final = 128
"""Connections beyond the bound that are told so; more are cut without a word."""
_NOT_READ: Final = Request("", "", "", {}, b"", "")


class Hub:
    """What all connections of a server share."""

    def __init__(self, router: Router, limits: HttpLimits, encoder: ResponseEncoder) -> None:
        self.router = router
        self.limits = limits
        self.encoder = encoder
        self.bodies = BodyBytes()
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Future[Response]] = set()
        self.answers_by_status: defaultdict[int, int] = defaultdict(int)
        self.stopping = False
        self.on_empty: Callable[[], None] = lambda: None
        """Called when the last connection has gone."""


class _Awaited(Deferred):
    """The answer of a handler that returned something to be awaited."""

    __slots__ = ("_future",)

    def __init__(self, awaitable: Awaitable[Response], tasks: set[asyncio.Future[Response]]) -> None:
        self._future = asyncio.ensure_future(awaitable)
        tasks.add(self._future)
        self._future.add_done_callback(tasks.discard)

    def when_done(self, callback: Callable[[object], None], /) -> None:
        self._future.add_done_callback(callback)

    def response(self) -> Response:
        if self._future.cancelled():
            return response_to(Stopped("The server stopped before it could answer."))
        return self._future.result()


class _Exchange:
    """A request and, in the end, its answer."""

    __slots__ = ("_connection", "_deferred", "_handler", "http10", "keep_alive", "request", "response")

    def __init__(
        self,
        connection: Connection,
        request: Request,
        handler: Handler,
        *,
        keep_alive: bool,
        http10: bool,
    ) -> None:
        self._connection = connection
        self._handler = handler
        self._deferred: Deferred | None = None
        self.request = request
        self.keep_alive = keep_alive
        self.http10 = http10
        self.response: Response | None = None

    def begin(self, hub: Hub) -> None:
        """Calls the handler."""
        try:
            answer = self._handler(self.request)
            if isinstance(answer, Response):
                self.response = answer
                return
            deferred = answer if isinstance(answer, Deferred) else _Awaited(answer, hub.tasks)
            self._deferred = deferred
            deferred.when_done(self._settle)
        except Exception as error:  # noqa: BLE001 - whatever a handler does, the client gets an answer
            self.response = self._failed(error)

    def _settle(self, _done: object) -> None:
        if self._deferred is None:
            return
        try:
            response = self._deferred.response()
        except Exception as error:  # noqa: BLE001 - the same
            response = self._failed(error)
        if self.response is None:
            self.response = response
            self._connection.pump()

    def _failed(self, error: Exception) -> Response:
        response = response_to(error) if isinstance(error, RoombellError) else INTERNAL_ERROR
        if response is INTERNAL_ERROR:
            _log.error("%s %s failed.", self.request.method, self.request.path[:200], exc_info=error)
        return response


class Connection(asyncio.Protocol):
    """The server's side of one connection."""

    __slots__ = (
        "_active_since_s",
        "_activity",
        "_answered",
        "_continue_due",
        "_draining",
        "_ended",
        "_eof",
        "_feeding",
        "_hub",
        "_inflight",
        "_lingering",
        "_pipeline_max",
        "_reader",
        "_reading",
        "_reading_paused",
        "_reading_since_s",
        "_transport",
        "_unread",
        "_waiting",
        "_writing_paused",
    )  # fmt: skip

    def __init__(self, hub: Hub, now_s: float) -> None:
        self._hub = hub
        self._pipeline_max = hub.limits.pipeline_max
        self._inflight: deque[_Exchange] = deque()
        self._waiting: deque[_Exchange] = deque()
        self._unread = memoryview(b"")
        self._answered = 0
        self._feeding = False
        self._reading_paused = False
        self._writing_paused = False
        self._continue_due = False
        self._draining = False
        self._eof = False
        self._lingering = False
        self._ended = False
        self._reading = self._activity = 0
        self._reading_since_s = self._active_since_s = now_s

    # The transport's side ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        hub = self._hub
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its base class
        peer = transport.get_extra_info("peername")
        name = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "local"
        self._reader = RequestReader(self, hub.router, hub.limits, hub.bodies, name)
        hub.connections.add(self)
        beyond = len(hub.connections) - hub.limits.connections_max
        if hub.stopping or beyond > _REFUSALS_AT_ONCE_MAX:
            self._transport.abort()
        elif beyond > 0:
            self._reader.refuse(503, "overloaded", "The server has as many connections as it may have.")

    def connection_lost(self, _exc: Exception | None) -> None:
        hub = self._hub
        self._ended = True
        self._forget()
        self._inflight.clear()
        hub.connections.discard(self)
        if not hub.connections:
            hub.on_empty()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        if len(data) > SLICE_BYTES or self._unread or self._feeding:
            self._unread = memoryview(bytes(self._unread) + data)
            self._read_on()
            return
        self._reader.feed(data)
        if len(self._inflight) + len(self._waiting) >= self._pipeline_max or self._writing_paused:
            self._read_on()

    def eof_received(self) -> bool:
        if self._ended or not (self._inflight or self._waiting or self._unread):
            return False
        self._draining = self._eof = True
        return True

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self.pump()

    # The reader's side -------------------------------------------------------------------------------------

    def request_read(self, request: Request, handler: Handler, *, keep_alive: bool, http10: bool) -> None:
        """Takes a request; it is begun now or when its turn comes."""
        exchange = _Exchange(self, request, handler, keep_alive=keep_alive, http10=http10)
        if self._inflight or self._waiting or self._writing_paused or self._draining:
            self._waiting.append(exchange)
            self.pump()
            return
        exchange.begin(self._hub)
        if exchange.response is None:
            self._inflight.append(exchange)
        else:
            self._answer(exchange, exchange.response)

    def request_refused(self, response: Response) -> None:
        """Answers in its turn, then ends the connection while the client may still be sending."""
        exchange = _Exchange(self, _NOT_READ, lambda _: response, keep_alive=False, http10=False)
        self._lingering = True
        self._unread = memoryview(b"")
        self._waiting.append(exchange)
        self.pump()

    def continue_expected(self) -> None:
        """Sends ``100 Continue`` when the answers before it have gone."""
        self._continue_due = True
        self.pump()

    # Answering ---------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Writes the answers whose turn it is, begins what may begin, reads on if there is room."""
        inflight, waiting = self._inflight, self._waiting
        while not self._ended:
            while inflight and (response := inflight[0].response) is not None:
                self._answer(inflight.popleft(), response)
            if not waiting or len(inflight) >= self._pipeline_max or self._writing_paused:
                break
            exchange = waiting.popleft()
            inflight.append(exchange)
            exchange.begin(self._hub)
        if self._ended:
            return
        if self._continue_due and not inflight and not waiting:
            self._continue_due = False
            self._transport.write(CONTINUE)
        if self._reading_paused and not self._feeding:
            self._read_on()
        if self._draining and self._is_drained():
            self._end()

    def _answer(self, exchange: _Exchange, response: Response) -> None:
        hub, request = self._hub, exchange.request
        if self._ended:
            return
        last = not exchange.keep_alive or (self._draining and self._is_drained())
        self._transport.write(
            hub.encoder.encode(response, http10=exchange.http10, last=last, head_only=request.method == "HEAD")
        )
        hub.bodies.held -= len(request.body)
        hub.answers_by_status[response.status] += 1
        self._answered += 1
        if last:
            self._end()

    def _read_on(self) -> None:
        """Parses what was received before while there is room, and pauses the socket while there is none."""
        if self._feeding:
            return
        self._feeding = True
        while self._unread and not self._is_full() and self._reader.phase is not Phase.DONE:
            piece, self._unread = self._unread[:SLICE_BYTES], self._unread[SLICE_BYTES:]
            self._reader.feed(piece)
        self._feeding = False
        if self._ended or self._reader.phase is Phase.DONE:
            self._unread = memoryview(b"")
        pause = self._is_full() and not self._ended
        if pause != self._reading_paused and not self._transport.is_closing():
            self._reading_paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _is_full(self) -> bool:
        return len(self._inflight) + len(self._waiting) >= self._pipeline_max or self._writing_paused

    def _is_drained(self) -> bool:
        reading = self._reader.phase in (Phase.HEAD, Phase.BODY) and not self._eof
        return not (self._inflight or self._waiting or self._unread or reading)

    # Ending ------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Answers what has begun, takes nothing new, and ends: at once if nothing has begun."""
        self._draining = True
        self._reader.finish()
        if self._reader.phase is Phase.DONE:
            self._unread = memoryview(b"")
        self.pump()

    def abort(self) -> None:
        """Ends at once; what has not been answered is not."""
        self._transport.abort()

    def _end(self) -> None:
        self._ended = True
        self._forget()
        if self._lingering:
            self._transport.write_eof()
            if self._reading_paused:
                self._transport.resume_reading()
        else:
            self._transport.close()

    def _forget(self) -> None:
        """Lets go of the bodies; exchanges under way settle unseen."""
        self._reader.close()
        self._unread = memoryview(b"")
        for exchange in (*self._inflight, *self._waiting):
            self._hub.bodies.held -= len(exchange.request.body)
        self._waiting.clear()
        self._inflight.clear()

    # Deadlines ---------------------------------------------------------------------------------------------

    def sweep(self, now_s: float) -> None:
        """Ends what has taken too long, as seen by a clock that is read once per sweep."""
        reading = self._reader.requests * len(Phase) + self._reader.phase
        activity = reading + self._answered * len(Phase)
        if reading != self._reading:
            self._reading, self._reading_since_s = reading, now_s
        if activity != self._activity:
            self._activity, self._active_since_s = activity, now_s
        self._expire(now_s - self._reading_since_s, now_s - self._active_since_s)

    def _expire(self, reading_s: float, quiet_s: float) -> None:
        limits, phase = self._hub.limits, self._reader.phase
        if self._ended or self._writing_paused:
            if quiet_s > (limits.linger_s if self._lingering else limits.write_s):
                self._transport.abort()
        elif self._reading_paused or phase in (Phase.IDLE, Phase.DONE):
            self._expire_answer(quiet_s)
        elif phase is Phase.HEAD and reading_s > limits.head_s:
            self._reader.refuse(408, "timeout", f"The headers took longer than {limits.head_s:g} s.")
        elif phase is Phase.BODY and reading_s > limits.body_s:
            self._reader.refuse(408, "timeout", f"The body took longer than {limits.body_s:g} s.")

    def _expire_answer(self, quiet_s: float) -> None:
        limits = self._hub.limits
        if self._inflight and quiet_s > limits.answer_s:
            exchange = self._inflight[0]
            message = f"There is no answer after {limits.answer_s:g} s. Send the request again; a repeat does no harm."
            exchange.response = error_response(503, "timeout", message, ((b"retry-after", b"1"),))
            self.pump()
        elif not self._inflight and quiet_s > limits.idle_s:
            self._transport.close()
