"""FastAPI. Run it: LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=secret uvicorn fastapi_app:app --port 8000"""

import os

from fastapi import Depends, FastAPI

from roombell import Receiver, WebhookEvent
from roombell.receiver import ParticipantEvent, fastapi

receiver = Receiver(keys={os.environ["LIVEKIT_API_KEY"]: os.environ["LIVEKIT_API_SECRET"]})
app = FastAPI()


@receiver.on("participant_joined", "participant_left")
async def presence(event: ParticipantEvent) -> None:
    print(event.type, event.participant.identity, "in", event.room_name)


app.include_router(fastapi.route(receiver, "/livekit"))  # calls the handlers


@app.post("/other", **fastapi.OPENAPI)  # or do it in an endpoint of your own
async def other(event: WebhookEvent = Depends(receiver)) -> str:
    return event.id
