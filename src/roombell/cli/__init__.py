"""The command line. This module alone imports without the extra ``server``, to say that it is missing."""

from __future__ import annotations

import sys
from importlib.util import find_spec

_NEEDED = ("click", "google.protobuf", "livekit.protocol", "prometheus_client", "rich", "yaml")


def main() -> int:
    """Runs the command in ``sys.argv`` and returns its exit code: the entry point ``roombell``."""
    if not all(_is_there(name) for name in _NEEDED):
        print('The command line needs more than the library: pip install "roombell[server]"', file=sys.stderr)
        return 2
    try:
        from roombell.cli.app import run
    except KeyboardInterrupt:  # while it is still being loaded
        return 130
    return run(sys.argv[1:])


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a package above it is not there
        return False
