"""aiohttp. Run it: LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=secret python aiohttp_app.py 8000"""

import os
import sys

from aiohttp import web

from roombell import Receiver
from roombell.receiver import ParticipantEvent, aiohttp

receiver = Receiver(keys={os.environ["LIVEKIT_API_KEY"]: os.environ["LIVEKIT_API_SECRET"]})
app = web.Application()
app.add_routes([aiohttp.route(receiver, "/livekit")])


@receiver.on("participant_joined", "participant_left")
async def presence(event: ParticipantEvent) -> None:
    print(event.type, event.participant.identity, "in", event.room_name)


if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]))
