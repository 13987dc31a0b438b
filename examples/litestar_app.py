"""Litestar. Run it: LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=secret uvicorn litestar_app:app --port 8000"""

import os

from litestar import Litestar

from roombell import Receiver
from roombell.receiver import ParticipantEvent, litestar

receiver = Receiver(keys={os.environ["LIVEKIT_API_KEY"]: os.environ["LIVEKIT_API_SECRET"]})


@receiver.on("participant_joined", "participant_left")
async def presence(event: ParticipantEvent) -> None:
    print(event.type, event.participant.identity, "in", event.room_name)


app = Litestar(route_handlers=[litestar.route(receiver, "/livekit")])
