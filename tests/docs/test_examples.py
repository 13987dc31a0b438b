"""The examples in the documentation do what they say.

Each Python block is a whole program. It is run as its reader would run it: saved to a file in an empty folder, in a
process of its own, with warnings as errors. ``https://app.example.com`` stands for the reader's application: in its
place comes an endpoint that takes webhooks and answers 200. What a block may say of itself:

- ``delivered=N``: the endpoint got N webhooks, each rightly signed for its key.
- ``store=FILE``: it runs beside a notifier that has ``roombell.db`` open, and leaves a whole store in FILE.
- ``wsgi`` or ``asgi``: it defines ``app``, which takes a signed webhook and refuses a forged one.
- ``pytest``: it holds tests, which pass.
- a ``text`` block marked ``prints`` right behind it is what it prints.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import sys
import time
import wsgiref.util
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from roombell import KeyRing, Notifier, Receiver
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.testing.payloads import sample
from support.client_end import PROGRAM_END
from support.markdown import ROOT, Block, page_blocks, pages

APPLICATION = "https://app.example.com"
KEYS = {"APIabc": "secret"}
RUN_S_MAX = 60.0


def programs() -> list[tuple[Block, Block | None]]:
    """Every program with the block that says what it prints, if there is one. What a walk-through writes to a file
    is run there.
    """
    found = []
    for page in pages():
        every = page_blocks(page)
        for block, after in zip(every, [*every[1:], None], strict=False):
            if block.language == "python" and "file" not in block.directives:
                printed = after if after is not None and "prints" in after.directives else None
                found.append((block, printed))
    return found


def some(kind: str | None) -> list:
    kinds = {"wsgi", "asgi", "pytest"}
    chosen = [one for one in programs() if (kind in one[0].directives if kind else not kinds & set(one[0].directives))]
    return [pytest.param(*one, id=str(one[0])) for one in chosen]


async def run(program: Path, *before: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a program; ``before`` goes before its name."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LIVEKIT_", "ROOMBELL_"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", *before, program.name,
        cwd=program.parent, env=env | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'tests'}"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(RUN_S_MAX):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode(), errors.decode()


@pytest.mark.parametrize(("block", "printed"), some(None))
async def test_a_program_in_the_documentation_runs(block: Block, printed: Block | None, tmp_path: Path) -> None:
    async with ScriptedEndpoint() as application:
        program = tmp_path / "example.py"
        origin = application.url.removesuffix("/webhook")
        end = PROGRAM_END if "from livekit import rtc" in block.text else ""
        program.write_text(block.text.replace(APPLICATION, origin) + end, encoding="utf-8")
        async with notifier_beside(block, tmp_path):
            code, output, errors = await run(program)
        assert (code, errors) == (0, ""), output
        if printed is not None:
            assert output == printed.text
        if "delivered" in block.directives:
            receiver = Receiver(keys=KEYS)
            for request in application.requests:
                receiver.receive(request.body, request.header("Authorization"))
            assert len(application.requests) == int(block.directives["delivered"])
    if "store" in block.directives:
        assert await owed(tmp_path / block.directives["store"]) == 1


def notifier_on(path: Path) -> Notifier:
    """It has nobody to deliver to: nothing listens there."""
    return Notifier(keys=KEYS, urls=["http://127.0.0.1:9/"], store=f"sqlite:///{path}")


@contextlib.asynccontextmanager
async def notifier_beside(block: Block, folder: Path) -> AsyncIterator[None]:
    if "store" not in block.directives:
        yield
        return
    async with notifier_on(folder / "roombell.db") as notifier:
        await notifier.notify(sample("room_started"))
        yield


async def owed(path: Path) -> int:
    async with notifier_on(path) as notifier:
        return sum(endpoint.pending for endpoint in await notifier.endpoints())


def app_of(block: Block) -> object:
    namespace: dict[str, object] = {"__name__": "example"}
    exec(compile(block.text, str(block), "exec"), namespace)
    return namespace["app"]


def webhook(*, forged: bool) -> tuple[bytes, str]:
    """A body and its ``Authorization``."""
    body = sample("room_started")
    keys = {"APIabc": "not the secret"} if forged else KEYS
    return body, KeyRing(keys).sign(body, api_key="APIabc", now=time.time())


def by_wsgi(app: object, body: bytes, authorization: str) -> int:
    environ: dict[str, object] = {}
    wsgiref.util.setup_testing_defaults(environ)
    environ |= {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/livekit",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "HTTP_AUTHORIZATION": authorization,
    }
    statuses: list[str] = []
    assert callable(app)
    list(app(environ, lambda status, headers: statuses.append(status)))
    return int(statuses[0].split()[0])


async def by_asgi(app: object, body: bytes, authorization: str) -> int:
    pieces = [
        {"type": "http.request", "body": body[:100], "more_body": True},
        {"type": "http.request", "body": body[100:], "more_body": False},
    ]
    sent: list[dict] = []

    async def receive() -> dict:
        if not pieces:
            await asyncio.Event().wait()  # as a client that stays
        return pieces.pop(0)

    async def send(message: dict) -> None:
        sent.append(message)

    headers = [(b"content-length", str(len(body)).encode()), (b"authorization", authorization.encode())]
    assert callable(app)
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/livekit", "raw_path": b"/livekit", "root_path": "", "query_string": b"", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    await app(scope, receive, send)
    return sent[0]["status"]


@pytest.mark.parametrize(("block", "_printed"), some("wsgi"))
def test_a_wsgi_application_takes_what_is_signed_and_refuses_what_is_not(block: Block, _printed: Block | None) -> None:
    app = app_of(block)
    assert (by_wsgi(app, *webhook(forged=False)), by_wsgi(app, *webhook(forged=True))) == (200, 401)


@pytest.mark.parametrize(("block", "_printed"), some("asgi"))
async def test_an_asgi_application_takes_what_is_signed_and_refuses_what_is_not(
    block: Block, _printed: Block | None
) -> None:
    app = app_of(block)
    assert (await by_asgi(app, *webhook(forged=False)), await by_asgi(app, *webhook(forged=True))) == (200, 401)


@pytest.mark.parametrize(("block", "_printed"), some("pytest"))
async def test_the_tests_in_the_documentation_pass(block: Block, _printed: Block | None, tmp_path: Path) -> None:
    program = tmp_path / "test_example.py"
    program.write_text(block.text, encoding="utf-8")
    options = ("asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function", "filterwarnings=error")
    settings = [word for option in options for word in ("-o", option)]
    code, output, _ = await run(
        program, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "support.client_end", "--rootdir", ".", *settings
    )
    assert code == 0, output


def test_there_are_examples_of_each_kind() -> None:
    assert [len(some(kind)) > 0 for kind in (None, "wsgi", "asgi", "pytest")] == [True] * 4
