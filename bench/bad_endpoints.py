"""Endpoints that misbehave, each in its own way, in a process of their own: ``python -m bench.bad_endpoints [S]``.

Prints their settings by name, as the configuration has them, in one line of JSON, and serves until its standard input
is closed. With ``S`` each of them changes its ways every so many seconds, and is well at times.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import random
import ssl
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import trustme

from roombell.testing.bad_endpoints import MISBEHAVIOURS
from roombell.testing.behaviours import reply
from roombell.testing.endpoint import ScriptedEndpoint

_WELL_SHARE = 0.3
_LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


class BadEndpoints(NamedTuple):
    """The process, and its endpoints."""

    pid: int
    settings: dict[str, dict[str, object]]


@contextlib.contextmanager
def bad_endpoints(*, shuffle_every_s: float | None = None) -> Iterator[BadEndpoints]:
    """Has them serve meanwhile."""
    command = [
        sys.executable,
        "-m",
        "bench.bad_endpoints",
        *([] if shuffle_every_s is None else [str(shuffle_every_s)]),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield BadEndpoints(process.pid, json.loads(process.stdout.readline()))
        finally:
            process.communicate("")


async def main(shuffle_every_s: float | None) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ends = {name: ScriptedEndpoint(wrong.behaviour) for name, wrong in MISBEHAVIOURS.items()}
        ends |= {"refusing": ScriptedEndpoint(), "black-hole": ScriptedEndpoint()}
        authority = trustme.CA()
        secure = {name: ScriptedEndpoint(tls=context) for name, context in _untrustworthy(authority).items()}
        for end in (*ends.values(), *secure.values()):
            await stack.enter_async_context(end)
        await ends["refusing"].refuse()
        await ends["black-hole"].black_hole()
        trusted = str(Path(stack.enter_context(tempfile.TemporaryDirectory()), "ca.pem"))
        authority.cert_pem.write_to_path(trusted)
        settings = {name: {"url": end.url} for name, end in ends.items()}
        settings |= {name: {"url": end.url, "tls": {"ca": trusted}} for name, end in secure.items()}
        print(json.dumps(settings), flush=True)
        shuffling = asyncio.create_task(_shuffle(tuple(ends.values()), shuffle_every_s)) if shuffle_every_s else None
        await asyncio.to_thread(sys.stdin.read)
        if shuffling is not None:
            shuffling.cancel()


async def _shuffle(ends: Sequence[ScriptedEndpoint], every_s: float) -> None:
    """Gives each endpoint another way to behave, again and again."""
    draws = random.Random(1)
    ways = [wrong.behaviour for wrong in MISBEHAVIOURS.values()]
    while True:
        await asyncio.sleep(every_s)
        for end in ends:
            end.requests.clear()
            end.play(reply() if draws.random() < _WELL_SHARE else draws.choice(ways))
            turn = draws.choices((end.listen, end.refuse, end.black_hole, None), (2, 1, 1, 16))[0]
            if turn is not None:
                await turn()


def _untrustworthy(authority: trustme.CA) -> dict[str, ssl.SSLContext]:
    early = _LONG_AGO + dt.timedelta(days=90)
    old = _serving(authority.issue_cert("127.0.0.1"))
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    return {
        "tls-wrong-name": _serving(authority.issue_cert("other.example")),
        "tls-expired": _serving(authority.issue_cert("127.0.0.1", not_before=_LONG_AGO, not_after=early)),
        "tls-unknown-authority": _serving(trustme.CA().issue_cert("127.0.0.1")),
        "tls-old-version": old,
    }


def _serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if sys.argv[1:] else None))
