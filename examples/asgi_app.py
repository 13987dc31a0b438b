"""Plain ASGI. Run it: LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=secret uvicorn asgi_app:app --port 8000"""

import os

from roombell import Receiver
from roombell.receiver import ParticipantEvent, asgi

receiver = Receiver(keys={os.environ["LIVEKIT_API_KEY"]: os.environ["LIVEKIT_API_SECRET"]})
app = asgi.app(receiver)  # takes webhooks at every path; `wsgi.app` is the same for WSGI servers


@receiver.on("participant_joined", "participant_left")
async def presence(event: ParticipantEvent) -> None:
    print(event.type, event.participant.identity, "in", event.room_name)
