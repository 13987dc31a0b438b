"""Django, in one file. Run it: LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=secret python django_app.py runserver 8000"""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line

from roombell import Receiver
from roombell.receiver import ParticipantEvent, django

receiver = Receiver(keys={os.environ["LIVEKIT_API_KEY"]: os.environ["LIVEKIT_API_SECRET"]})
urlpatterns = [django.route(receiver, "livekit")]  # in your urls.py


@receiver.on("participant_joined", "participant_left")
def presence(event: ParticipantEvent) -> None:
    print(event.type, event.participant.identity, "in", event.room_name)


if __name__ == "__main__":
    settings.configure(DEBUG=True, ROOT_URLCONF=__name__, SECRET_KEY=os.urandom(32).hex())
    execute_from_command_line(sys.argv)
