"""A real PgBouncer in transaction mode before a PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg

from support.postgres import PASSWORD, USER, PostgresServer

PROGRAM = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
TRIES_MAX = 200


class PgBouncer:
    """In front of ``server`` while the context lasts."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._folder = Path(tempfile.mkdtemp(prefix="roombell-pgbouncer-"))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.port: int = listening.getsockname()[1]

    def url(self, database: str) -> str:
        """A store's URL through the pooler, with the database's own address for LISTEN."""
        host = f"127.0.0.1:{self.port}"
        return f"postgresql://{USER}:{quote(PASSWORD)}@{host}/{database}?listen=127.0.0.1:{self._server.port}"

    def __enter__(self) -> Self:
        (self._folder / "users.txt").write_text(f'"{USER}" "{PASSWORD}"\n')
        (self._folder / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"* = host=127.0.0.1 port={self._server.port}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {self._folder}/users.txt\n"
            "pool_mode = transaction\ndefault_pool_size = 2\nserver_idle_timeout = 5\n"
        )
        command = [str(PROGRAM), "-q"]
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
            command += ["-u", "nobody"]
        self._process = subprocess.Popen([*command, str(self._folder / "pgbouncer.ini")], stderr=subprocess.DEVNULL)
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self) -> None:
        url = self.url("postgres").partition("?")[0]
        for _ in range(TRIES_MAX):
            assert self._process.poll() is None, "PgBouncer ended"
            try:
                psycopg.connect(url, connect_timeout=5).close()
            except psycopg.OperationalError:
                continue
            return
        raise AssertionError("PgBouncer does not answer")
