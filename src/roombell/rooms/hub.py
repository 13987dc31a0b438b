"""The one owner of a machine in an event loop: it tells the machine the time, and passes on what follows.

A command is a plain call, so it is whole before anything else runs; what follows from it is passed on in order before
``do`` returns. A callback that calls ``do`` itself sees its own effects passed on after those before them.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, ParamSpec, Protocol, TypeVar

from livekit.protocol import models
from livekit.protocol import room as room_messages

from roombell import wiring
from roombell.engine.ports import Clock
from roombell.errors import UsageError
from roombell.rooms.calls import Calls
from roombell.rooms.effects import Effect, Happened, Left, Moved, Notice, Tell
from roombell.rooms.machine import Machine
from roombell.rooms.participants import DEFAULT_RIGHTS, Joining
from roombell.rooms.scripted import Scripted
from roombell.rooms.settings import RoomSettings

if TYPE_CHECKING:
    from typing import Self

P = ParamSpec("P")
T = TypeVar("T")

EVENTS_WAITING_MAX: Final = 100_000
"""Events that wait for a coroutine callback; beyond it new ones are lost, and that is logged."""

_log = logging.getLogger(__name__)

OnEvent = Callable[[Happened], Awaitable[None] | None]


class Session(Protocol):
    """A participant's connection, as the hub sees it."""

    def tell(self, notice: Notice) -> None:
        """Takes a notice for its participant. Neither waits nor raises; ``Left`` is the last one."""


class Hub:
    """Owns a machine: its time, its timers, its sessions, its events. Use it within one event loop.

    ::

        async with Hub(on_event) as hub:
            hub.do(hub.rooms.create, CreateRoomRequest(name="demo"))

    :param on_event: called with every webhook event, in order. A coroutine function is awaited, one event after
        another; what it raises is logged and ends nothing.
    :param clock: what time it is; this machine's clock by default.
    :param token_bytes: what ids are made of; this machine's randomness by default.
    """

    def __init__(
        self,
        on_event: OnEvent,
        *,
        settings: RoomSettings | None = None,
        clock: Clock | None = None,
        token_bytes: Callable[[int], bytes] | None = None,
    ) -> None:
        self.machine = machine = Machine(settings=settings, token_bytes=token_bytes or wiring.token_bytes)
        self.rooms = machine.rooms
        self.participants = machine.participants
        self.tracks = machine.tracks
        self.egresses = machine.egresses
        self.ingresses = machine.ingresses
        self.dispatches = machine.dispatches
        self.clock: Clock = clock or wiring.SystemClock()
        self.calls = Calls(lambda: machine.new_id("RPC_"))
        self._on_event = on_event
        self._sessions: dict[str, Session] = {}
        self._effects: deque[Effect] = deque()
        self._passing_on = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_ms: int | None = None
        self._events: asyncio.Queue[Awaitable[None]] = asyncio.Queue(EVENTS_WAITING_MAX)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def start(self) -> None:
        """Begins to keep time. ``async with`` does it."""
        if self._task is not None:
            raise UsageError("This hub is running already.")
        self._task = asyncio.get_running_loop().create_task(self._deliver(), name="rooms-events")
        self.do(self._nothing)

    async def stop(self, *, grace_s: float = 10.0) -> None:
        """Ends every room as a server that shuts down does, and passes on its last events within ``grace_s``.

        ``async with`` does it. Calling it again is fine.
        """
        task, self._task = self._task, None
        if task is None:
            return
        self.do(self.rooms.shut_down)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timer_due_ms = None
        try:
            await asyncio.wait_for(self._events.join(), grace_s)
        except TimeoutError:
            _log.error("Lost %d events: the callback did not take them within %g s.", self._events.qsize() + 1, grace_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        while not self._events.empty():
            _drop(self._events.get_nowait())
            self._events.task_done()

    def do(self, command: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs one of the machine's commands, now, and passes on what follows.

        :raises Refused: the command says so.
        """
        self.machine.at(self.clock.now_ms())
        try:
            return command(*args, **kwargs)
        finally:
            self._effects.extend(self.machine.take_effects())
            self._pass_on()
            self._set_timer()

    def attach(self, participant_sid: str, session: Session) -> None:
        """From now on ``session`` gets the participant's notices; one that had them before gets none any more."""
        self._sessions[participant_sid] = session

    def detach(self, participant_sid: str, session: Session) -> None:
        """The session's connection is lost; the participant stays. Nothing happens if another has its place."""
        if self._sessions.get(participant_sid) is session:
            del self._sessions[participant_sid]

    def scripted(
        self, identity: str, *, room: str, name: str = "", permission: models.ParticipantPermission = DEFAULT_RIGHTS
    ) -> Scripted:
        """A participant without WebRTC, not in the room so far."""
        return Scripted(self, Joining(room=room, identity=identity, name=name, permission=permission))

    async def perform_rpc(self, request: room_messages.PerformRpcRequest) -> str:
        """Calls a method of a participant, and returns the answer's payload.

        The participant's session gets the request as data, and hands what comes back to ``calls.take``.

        :raises Refused: it is not there, does not answer in time, or answers with an error.
        """
        sid = self.do(self.participants.get, request.room, request.destination_identity).sid

        def send(packet: models.DataPacket) -> None:
            self.do(self.participants.send, sid, packet)

        return await self.calls.call(sid, request.method, request.payload, request.response_timeout_ms, send)

    async def settled(self) -> None:
        """Returns when every event so far has been passed on."""
        await self._events.join()

    def _nothing(self) -> None:
        """To let what is due happen."""

    def _pass_on(self) -> None:
        if self._passing_on:
            return
        self._passing_on = True
        try:
            while self._effects:
                self._pass(self._effects.popleft())
        finally:
            self._passing_on = False

    def _pass(self, effect: Effect) -> None:
        if isinstance(effect, Tell):
            self._tell(effect.participant_sid, effect.notice)
            return
        try:
            result = self._on_event(effect)
        except Exception:  # noqa: BLE001 - a callback's fault must not end what others do
            _log.exception("The callback for %s raised.", effect.event)
            return
        if inspect.isawaitable(result):
            self._queue(result, effect)

    def _queue(self, result: Awaitable[None], effect: Happened) -> None:
        try:
            self._events.put_nowait(result)
        except asyncio.QueueFull:
            _drop(result)
            _log.error("Lost %s: %d events wait for the callback already.", effect.event, EVENTS_WAITING_MAX)

    def _tell(self, sid: str, notice: Notice) -> None:
        session = self._sessions.get(sid)
        if session is None:
            return
        if isinstance(notice, Moved | Left):
            del self._sessions[sid]
            self.calls.lose(sid)
        if isinstance(notice, Moved):
            self._sessions[notice.participant.sid] = session
        try:
            session.tell(notice)
        except Exception:  # noqa: BLE001 - a callback's fault must not end what others do
            _log.exception("The session of %s raised.", sid)

    def _set_timer(self) -> None:
        due_ms = self.machine.next_due_ms
        if due_ms == self._timer_due_ms or self._task is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_due_ms = None, due_ms
        if due_ms is not None:
            delay_s = max(0, due_ms - self.clock.now_ms()) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._timer = self._timer_due_ms = None
        self.do(self._nothing)

    async def _deliver(self) -> None:
        while True:
            result = await self._events.get()
            try:
                await result
            except Exception:  # noqa: BLE001 - the same
                _log.exception("The callback for events raised.")
            finally:
                self._events.task_done()


def _drop(result: Awaitable[None]) -> None:
    """A coroutine that will never be awaited."""
    if inspect.iscoroutine(result):
        result.close()
