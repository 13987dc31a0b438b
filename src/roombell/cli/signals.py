"""How a command that serves is told to stop."""

from __future__ import annotations

import asyncio
import signal


def stop_signal() -> asyncio.Future[signal.Signals]:
    """Ends with the first SIGINT or SIGTERM, which from now on end nothing by themselves."""
    loop = asyncio.get_running_loop()
    stopped_by: asyncio.Future[signal.Signals] = loop.create_future()

    def stop(number: signal.Signals) -> None:
        if not stopped_by.done():
            stopped_by.set_result(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    return stopped_by
