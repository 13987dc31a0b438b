"""Quart. Run it: LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=secret hypercorn quart_app:app --bind 127.0.0.1:8000"""

import os

from quart import Quart

from roombell import Receiver
from roombell.receiver import ParticipantEvent, quart

receiver = Receiver(keys={os.environ["LIVEKIT_API_KEY"]: os.environ["LIVEKIT_API_SECRET"]})
app = Quart(__name__)
app.register_blueprint(quart.route(receiver, "/livekit"))


@receiver.on("participant_joined", "participant_left")
async def presence(event: ParticipantEvent) -> None:
    print(event.type, event.participant.identity, "in", event.room_name)
