"""Run it: LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=secret python django_inbox_app.py runserver --noreload 8000"""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.db import connection

from roombell import Inbox, Receiver
from roombell.inbox.databases.django import Django
from roombell.receiver import ParticipantEvent, django

sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": "app.db"}
settings.configure(DEBUG=True, ROOT_URLCONF=__name__, SECRET_KEY=os.urandom(16).hex(), DATABASES={"default": sqlite})
receiver = Receiver(keys={os.environ["LIVEKIT_API_KEY"]: os.environ["LIVEKIT_API_SECRET"]})
inbox = Inbox(receiver, store="sqlite:///inbox.db", database=Django())
urlpatterns = [django.route(receiver, "livekit")]


@receiver.on("participant_joined")
def joined(event: ParticipantEvent) -> None:
    with receiver.transaction(event):  # Django's own: what models save in it commits once
        connection.cursor().execute("INSERT INTO visit VALUES (%s)", [event.participant.identity])


connection.cursor().execute("CREATE TABLE IF NOT EXISTS visit (identity TEXT)")
inbox.start_in_thread()  # in a project: in wsgi.py
execute_from_command_line(sys.argv)
