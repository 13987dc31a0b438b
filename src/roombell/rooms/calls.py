"""RPC calls from the server API to a participant: one packet there, an acknowledgement and an answer back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from livekit.protocol import models

from roombell.rooms.refusals import Code, Refused

SERVER_IDENTITY: Final = "server"
"""Who calls, as the participant sees it."""
TIMEOUT_MS: Final = 15_000
TIMEOUT_MS_MAX: Final = 120_000
WAITING_MAX: Final = 10_000


class Calls:
    """The calls that wait for their answer.

    :param new_id: makes the id of a call.
    """

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._waiting: dict[tuple[str, str], asyncio.Future[str]] = {}
        """By the participant's sid and the call's id."""

    async def call(
        self,
        participant_sid: str,
        method: str,
        payload: str,
        timeout_ms: int,
        send: Callable[[models.DataPacket], None],
    ) -> str:
        """Asks, and returns the answer's payload.

        :raises Refused: no answer in time, an error as the answer, or too many calls wait.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise Refused(Code.RESOURCE_EXHAUSTED, f"{WAITING_MAX} calls wait for their answers already")
        bounded_ms = min(timeout_ms or TIMEOUT_MS, TIMEOUT_MS_MAX)
        request = models.RpcRequest(
            id=self._new_id(), method=method, payload=payload, response_timeout_ms=bounded_ms, version=1
        )
        key = (participant_sid, request.id)
        self._waiting[key] = answer = asyncio.get_running_loop().create_future()
        try:
            send(models.DataPacket(participant_identity=SERVER_IDENTITY, rpc_request=request))
            return await asyncio.wait_for(answer, bounded_ms / 1000)
        except TimeoutError:
            raise Refused(Code.DEADLINE_EXCEEDED, f"no answer to {method} within {bounded_ms} ms") from None
        finally:
            del self._waiting[key]

    def take(self, participant_sid: str, packet: models.DataPacket) -> bool:
        """Whether the participant's packet belongs to one of these calls; then nobody else is to get it."""
        match packet.WhichOneof("value"):
            case "rpc_ack":
                return (participant_sid, packet.rpc_ack.request_id) in self._waiting
            case "rpc_response":
                return self._answer(participant_sid, packet.rpc_response)
            case _:
                return False

    def lose(self, participant_sid: str) -> None:
        """The participant is gone: its calls get no answer."""
        for (sid, _), answer in tuple(self._waiting.items()):
            if sid == participant_sid and not answer.done():
                answer.set_exception(Refused(Code.UNAVAILABLE, "the participant left before it answered"))

    def _answer(self, participant_sid: str, response: models.RpcResponse) -> bool:
        answer = self._waiting.get((participant_sid, response.request_id))
        if answer is None:
            return False
        if not answer.done():
            if response.HasField("error"):
                said = f"{response.error.code}: {response.error.message}"
                answer.set_exception(Refused(Code.FAILED_PRECONDITION, f"the participant answered with error {said}"))
            else:
                answer.set_result(response.payload)
        return True
