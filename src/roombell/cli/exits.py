"""Exit codes: what a script may rely on."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from roombell.errors import ConfigError, RoombellError, ServiceError, StoreError, UsageError


class ExitCode(IntEnum):
    """Each way in which a command may end."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    STORE = 4
    NETWORK = 5
    INTERRUPTED = 130
    BROKEN_PIPE = 141


MEANINGS: Final = {
    ExitCode.OK: "all is well",
    ExitCode.FAILED: "the check found a problem, or an event was not accepted or not delivered",
    ExitCode.USAGE: "the command was called wrongly",
    ExitCode.CONFIG: "the configuration cannot be used",
    ExitCode.STORE: "the store cannot be used",
    ExitCode.NETWORK: "an address cannot be listened on or reached",
    ExitCode.INTERRUPTED: "ended by Ctrl-C",
    ExitCode.BROKEN_PIPE: "nobody reads the output any more",
}


class NetworkTrouble(ServiceError):
    """An address cannot be listened on, or cannot be reached."""

    code = "network"


def exit_code_of(error: RoombellError) -> ExitCode:
    """The exit code of a command that ends with ``error``."""
    match error:
        case ConfigError():
            return ExitCode.CONFIG
        case StoreError():
            return ExitCode.STORE
        case NetworkTrouble():
            return ExitCode.NETWORK
        case UsageError():
            return ExitCode.USAGE
        case _:
            return ExitCode.FAILED
