"""The application that ``bench.inbox`` loads: FastAPI with an inbox, one handler, which writes down what it handles.

python -m bench.inbox_app STORE HANDLED PORT
"""

from __future__ import annotations

import gc
import signal
import sys
from pathlib import Path

import uvicorn
from bench.prepared import API_KEY, SECRET
from fastapi import FastAPI

from roombell import Inbox, Receiver, WebhookEvent
from roombell.inbox import HandlerSettings
from roombell.receiver import starlette


def application(store: str, handled: Path) -> FastAPI:
    receiver = Receiver(keys={API_KEY: SECRET})
    inbox = Inbox(receiver, store=store, defaults=HandlerSettings(concurrency=64))
    lines = handled.open("a", buffering=1 << 16)

    @receiver.on("participant_*")
    async def handler(event: WebhookEvent) -> None:
        lines.write(f"{event.room_name} {event.id}\n")

    app = FastAPI(lifespan=inbox.lifespan)
    app.router.routes.append(starlette.route(receiver, "/webhook"))  # not through FastAPI's reading of parameters

    @app.get("/owed")
    async def owed() -> dict[str, int]:
        lines.flush()
        return {"pending": sum(endpoint.pending for endpoint in await inbox.endpoints())}

    return app


def main() -> None:
    store, handled, port = sys.argv[1:]
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    app = application(store, Path(handled))
    gc.collect()
    gc.freeze()  # what an application has at its start stays: a full collection would look through it under load
    uvicorn.run(app, host="127.0.0.1", port=int(port), loop="uvloop", http="httptools", access_log=False, backlog=4096)


if __name__ == "__main__":
    main()
