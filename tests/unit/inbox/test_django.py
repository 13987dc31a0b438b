"""Django's ORM in a transaction of the inbox': in a process of its own, since Django's settings belong to the process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.postgres import PASSWORD, USER

PROGRAM = """
import json, sys, time
from django.conf import settings

settings.configure(DATABASES={"default": json.loads(sys.argv[1])}, INSTALLED_APPS=[], USE_TZ=True)
import django
django.setup()
from django.db import connection, models
from roombell.errors import AlreadyDone
from roombell.inbox.databases.django import Django
from roombell.transport.handlers import HANDLING, Handling
from support.inbox import event

class Visit(models.Model):
    identity = models.TextField()
    class Meta:
        app_label = "visits"

EVENT, DATABASE = event(id="EV_1"), Django()
with connection.schema_editor() as editor:
    editor.create_model(Visit)
DATABASE.prepare()
DATABASE.prepare()
said = []

def visit(identity, fail=False):
    HANDLING.set(Handling("app.handler", EVENT, "EV_1", 1, time.monotonic() + 60))  # a call of its own
    try:
        with DATABASE.transaction(EVENT) as given:
            Visit.objects.create(identity=identity)
            assert given.in_atomic_block
            if fail:
                raise LookupError
    except (AlreadyDone, LookupError) as error:
        said.append(type(error).__name__)

visit("half", fail=True)
visit("alice")
visit("again")
said.append(list(Visit.objects.values_list("identity", flat=True)))
said.append(DATABASE.forget(1 << 60, 10))
print(json.dumps(said))
"""


def run(database: dict) -> list:
    tests = str(Path(__file__).parents[2])
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(database)],
        capture_output=True, text=True, check=False, env={"PYTHONPATH": tests},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("backend", ["sqlite3", "postgresql"])
def test_what_models_save_commits_once_with_the_fact_that_it_is_done(tmp_path, backend, request):
    database = {"ENGINE": f"django.db.backends.{backend}", "NAME": str(tmp_path / "app.db")}
    if backend == "postgresql":
        server = request.getfixturevalue("postgres")
        name = request.getfixturevalue("database_url").rpartition("/")[2]
        database |= {"NAME": name, "HOST": "127.0.0.1", "PORT": server.port, "USER": USER, "PASSWORD": PASSWORD}
    assert run(database) == ["LookupError", "AlreadyDone", ["alice"], 1]
