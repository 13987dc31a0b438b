"""Events for an inbox, and how they get into it."""

from __future__ import annotations

import asyncio
import json

from roombell import RetryPolicy, parse
from roombell.inbox import HandlerSettings
from roombell.receiver.delivery import NO_DELIVERY
from roombell.testing.payloads import sample

KEYS = {"APIone": "s" * 32}
QUICK = HandlerSettings(retry=RetryPolicy(attempts=3, base_delay_ms=1, max_delay_ms=1))


def event(event_type="participant_joined", **more):
    return parse(sample(event_type, **more))


def changed(event_type, *, id, **fields):  # noqa: A002 - the name it has in the event
    """A sample of an egress event with other fields in its ``egressInfo``; None takes one away."""
    body = json.loads(sample(event_type, id=id))
    info = body["egressInfo"] | fields
    body["egressInfo"] = {name: value for name, value in info.items() if value is not None}
    return parse(json.dumps(body).encode())


class Holding:
    """A handler of everything whose calls do not end while ``hold`` is set; those that did are in ``done``."""

    def __init__(self, receiver):
        self.begun, self.done, self.hold = asyncio.Event(), [], True

        @receiver.on("*")
        async def handler(one):
            self.begun.set()
            if self.hold:
                await asyncio.Event().wait()
            self.done.append(one.id)


async def take(receiver, *events):
    """Has the receiver take them, in order; for each, whether it was there already."""
    return [await receiver.take(one, NO_DELIVERY) for one in events]
