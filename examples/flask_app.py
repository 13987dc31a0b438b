"""Flask. Run it: LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=secret flask --app flask_app run --port 8000"""

import os

from flask import Flask

from roombell import Receiver
from roombell.receiver import ParticipantEvent, flask

receiver = Receiver(keys={os.environ["LIVEKIT_API_KEY"]: os.environ["LIVEKIT_API_SECRET"]})
app = Flask(__name__)
app.register_blueprint(flask.route(receiver, "/livekit"))


@receiver.on("participant_joined", "participant_left")
def presence(event: ParticipantEvent) -> None:
    print(event.type, event.participant.identity, "in", event.room_name)
