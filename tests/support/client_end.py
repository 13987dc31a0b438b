"""The end of a process that had LiveKit's Python client in it.

The client's native part aborts now and then while the interpreter ends (exit status 134), after all is done. Such a
process ends without the interpreter's own end.
"""

from __future__ import annotations

import os
import sys

import pytest

PROGRAM_END = "\nimport os, sys\nsys.stdout.flush()\nos._exit(0)\n"
"""Goes after a program that uses the client."""
_EXIT_STATUS = pytest.StashKey[int]()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """By now all fixtures are torn down and the summary is written."""
    if "livekit.rtc" in sys.modules and _EXIT_STATUS in config.stash:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[_EXIT_STATUS])
