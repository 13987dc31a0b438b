"""Signed webhooks as a LiveKit server sends them, and what a receiver makes of those that Roombell sends."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Mapping

import aiohttp
import jwt

from roombell.testing.wire import RecordedRequest
from support.service import API_KEY, SECRET


def event_body(room: str, number: int, *, event_type: str = "participant_joined") -> bytes:
    """An event of a room; ids are unique for each room and number."""
    return json.dumps(
        {
            "event": event_type,
            "room": {"sid": f"RM_{room}", "name": room},
            "participant": {"sid": f"PA_{number}", "identity": f"p{number}", "state": "ACTIVE"},
            "id": f"EV_{room}_{number}",
            "createdAt": str(1_789_411_342 + number),
        },
        separators=(",", ":"),
    ).encode()


def token(body: bytes) -> str:
    """What LiveKit's server puts into ``Authorization``, made by a library that is not ours."""
    now_s = int(time.time())
    claims = {"iss": API_KEY, "nbf": now_s, "iat": now_s, "exp": now_s + 300, "sha256": _sha256(body)}
    return jwt.encode(claims, SECRET, algorithm="HS256")


def is_authentic(request: RecordedRequest, *, leeway_s: float = 0) -> bool:
    """Whether the request is signed as LiveKit signs, by a library that is not ours."""
    token = request.header("Authorization") or ""
    try:
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], issuer=API_KEY, leeway=leeway_s)
    except jwt.InvalidTokenError:
        return False
    return bool(claims["sha256"] == _sha256(request.body))


async def post(client: aiohttp.ClientSession, url: str, body: bytes) -> tuple[int, Mapping[str, str]]:
    """Sends a signed webhook to the service; status and headers of its answer."""
    headers = {"Authorization": token(body), "Content-Type": "application/webhook+json"}
    async with client.post(f"{url}/webhook", data=body, headers=headers) as answer:
        await answer.read()
        return answer.status, answer.headers


class Ledger:
    """What arrived, lane by lane, checked as it comes: order is the receiver's to see, and only once."""

    def __init__(self) -> None:
        self.ids: defaultdict[str, list[str]] = defaultdict(list)
        """Event ids by lane, in the order of ``Webhook-Sequence``, each once."""
        self.repeats: defaultdict[str, int] = defaultdict(int)
        """How often something that was taken before came again, by lane."""
        self.faults: list[str] = []
        """What a receiver must never see, one sentence each."""
        self.taken = 0

    def take(self, request: RecordedRequest) -> None:
        """An authentic request that is answered with success."""
        lane, sequence, event_id = request.lane, request.sequence, request.event_id
        ids = self.ids[lane]
        if sequence == len(ids) + 1:
            if event_id in ids:
                self.faults.append(f"{lane}: {event_id} came again under a new number")
            ids.append(event_id)
            self.taken += 1
        elif sequence == len(ids) and ids[-1] == event_id:
            self.repeats[lane] += 1
        else:
            self.faults.append(f"{lane}: {event_id} came as number {sequence} after number {len(ids)}")

    def see(self, request: RecordedRequest) -> None:
        """A request that is refused: it must come next all the same."""
        ids = self.ids[request.lane]
        if request.sequence not in (len(ids), len(ids) + 1):
            self.faults.append(f"{request.lane}: number {request.sequence} was tried after number {len(ids)}")


def _sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()
