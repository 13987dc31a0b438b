"""What a worker found out about endpoints and has still to write down: that one is disabled, how healthy one is."""

from __future__ import annotations

from collections import deque

from roombell.engine.health import encode
from roombell.engine.model import EndpointId, EndpointState
from roombell.engine.ports import Clock, Store
from roombell.engine.turns import EndpointTurn


class Notes:
    """Taken off only when they are on disk: a store that fails is asked again."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._to_disable: deque[tuple[EndpointTurn, str]] = deque()
        self._to_remember: dict[EndpointId, EndpointTurn] = {}

    def __bool__(self) -> bool:
        return bool(self._to_disable or self._to_remember)

    def disable(self, turn: EndpointTurn, reason: str) -> None:
        """The endpoint wants nothing more."""
        self._to_disable.append((turn, reason))

    def remember(self, turn: EndpointTurn) -> None:
        """The endpoint's breaker has moved."""
        self._to_remember[turn.endpoint_id] = turn

    def has(self, turn: EndpointTurn) -> bool:
        """Whether what the store knows of the endpoint is out of date."""
        return turn.endpoint_id in self._to_remember or any(one is turn for one, _ in self._to_disable)

    async def write(self) -> None:
        """Writes all of them down."""
        while self._to_disable:
            turn, reason = self._to_disable[0]
            if not turn.active:  # else it was configured again meanwhile
                await self._store.set_endpoint_state(
                    turn.endpoint_id, EndpointState.DISABLED, reason=reason, now_ms=self._clock.now_ms()
                )
            self._to_disable.popleft()
        while self._to_remember:
            turn = next(iter(self._to_remember.values()))
            health = turn.health
            await self._store.set_endpoint_health(turn.endpoint_id, encode(health))
            if turn.health is health or not turn.health.is_open:
                del self._to_remember[turn.endpoint_id]
