"""The far end: nginx, which answers everything 204 and writes down what came in the order in which it came."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple, Self

_CONFIGURATION = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;
events {{ worker_connections 4096; }}
http {{
  log_format ledger '$status $http_webhook_lane $http_webhook_sequence $http_webhook_attempt $http_webhook_id';
  access_log {folder}/arrivals.log ledger buffer=256k flush=1s;
  keepalive_requests 1000000000; keepalive_timeout 1h; client_body_buffer_size 64k; tcp_nodelay on;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 204; }} }}
}}
"""
_START_S_MAX = 10.0


class Sink:
    """An nginx of our own on a free port. One worker process, so that its log has the order of arrival."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if nginx is None:
            sys.exit("The benchmark delivers to nginx: install it (on Debian: apt-get install nginx-light).")
        configuration = self._folder / "nginx.conf"
        configuration.write_text(_CONFIGURATION.format(folder=self._folder, port=self.port))
        command = [nginx, "-p", str(self._folder), "-c", str(configuration)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_S_MAX
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)  # graceful: the log is written to its end
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait(10)

    @property
    def arrivals_path(self) -> Path:
        return self._folder / "arrivals.log"


class Ledger(NamedTuple):
    """What the far end saw, held against what the near end was told."""

    accepted: int
    """Events that a sender was told are on disk."""
    arrived: int
    """Different events that arrived."""
    repeats: int
    """Arrivals of what had arrived before; nothing was killed here, so there should be none."""
    lanes: int
    faults: tuple[str, ...]
    """Why the run does not count; empty if it does."""


def check(arrivals: Path, accepted: set[str]) -> Ledger:
    """Every accepted event arrived, and each lane's events came in their order, numbered one by one."""
    last: defaultdict[str, int] = defaultdict(int)
    seen: set[str] = set()
    repeats, faults = 0, []
    with arrivals.open() as lines:
        for line in lines:
            status, lane, sequence_text, _attempt, event_id = line.split()
            sequence = int(sequence_text)
            if status != "204":
                faults.append(f"nginx answered {status} to {event_id}")
            elif sequence == last[lane] + 1:
                last[lane] = sequence
            elif sequence == last[lane]:
                repeats += 1
            else:
                faults.append(f"out of order: lane {lane} got number {sequence} after {last[lane]}")
            seen.add(event_id)
    missing = accepted - seen
    if missing:
        faults.append(f"{len(missing)} accepted events never arrived, such as {min(missing)}")
    return Ledger(len(accepted), len(seen), repeats, len(last), tuple(faults[:20]))
