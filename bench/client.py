"""What one POST costs the transport: CPU and wall time for each request, against nginx on loopback.

Run it as ``python -m bench client``. It starts an nginx of its own on a free port, sends with 1, 16 and 64 requests at
a time on uvloop, and stops it again. CPU time (user + system of this process) is the figure to trust; the rate depends
on what else the machine is doing, nginx included.
"""

import argparse
import asyncio
import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from pathlib import Path

import uvloop

from roombell.engine.model import Answered, Delivery, EndpointId, LaneId, Sequence
from roombell.engine.ports import AttemptRequest
from roombell.signing import KeyRing
from roombell.transport import HttpTarget, HttpTransport

BODY_BYTES = 840
NGINX_CONF = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }}
}}
"""


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@contextmanager
def nginx() -> Iterator[int]:
    binary = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if binary is None:
        sys.exit("bench.client needs nginx: install it, or put it on PATH.")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder, "nginx.conf")
        conf.write_text(NGINX_CONF.format(folder=folder, port=port))
        process = subprocess.Popen([binary, "-p", folder, "-c", str(conf)], stderr=subprocess.DEVNULL)
        try:
            wait_until_listening(port)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


def wait_until_listening(port: int) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(transport: HttpTransport, senders: int, requests: int) -> tuple[float, float]:
    """CPU microseconds for each request, and requests per second."""
    delivery = Delivery(LaneId(1), Sequence(1), "EV_hycBMAjmt6Ub", "room_started", 0, 0, b"{" + b" " * BODY_BYTES)
    request = AttemptRequest(EndpointId(1), delivery, 1, "0badcafe-1")

    async def sender() -> None:
        for _ in range(requests // senders):
            outcome = await transport.send(request)
            if not isinstance(outcome, Answered) or outcome.status != 204:
                sys.exit(f"nginx did not answer: {outcome}")

    cpu_before_s, started_s = cpu_s(), time.monotonic()
    await asyncio.gather(*(sender() for _ in range(senders)))
    count = requests // senders * senders
    return (cpu_s() - cpu_before_s) / count * 1e6, count / (time.monotonic() - started_s)


async def run(port: int, requests: int, repeats: int) -> None:
    target = HttpTarget("nginx", f"http://127.0.0.1:{port}/hook", "devkey")
    transport = HttpTransport({EndpointId(1): target}, keys=KeyRing({"devkey": "secret"}), clock=SystemClock())
    try:
        print(f"{platform.python_version()}, {os.cpu_count()} CPUs, {BODY_BYTES} byte bodies, signed anew each time")
        print("senders  us CPU/request  requests/s   (median of the repeats by CPU)")
        for senders in (1, 16, 64):
            await measure(transport, senders, requests // 10)
            runs = sorted([await measure(transport, senders, requests) for _ in range(repeats)])
            us, rate = runs[len(runs) // 2]
            print(f"{senders:7}  {us:14.1f}  {rate:10.0f}")
    finally:
        await transport.close()


def main(arguments: Seq[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench client", description=__doc__)
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    with nginx() as port:
        uvloop.run(run(port, options.requests, options.repeats))
    return 0
