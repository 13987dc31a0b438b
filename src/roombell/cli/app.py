"""The command ``roombell``: its groups, and how every one of them ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

import click

from roombell._version import __version__
from roombell.cli.doctor import doctor
from roombell.cli.exits import MEANINGS, ExitCode, exit_code_of
from roombell.cli.listen import listen
from roombell.cli.manage import COMMANDS
from roombell.cli.migrate import migrate
from roombell.cli.output import Output, OutputLost, writing
from roombell.cli.rooms import rooms
from roombell.cli.serve import serve
from roombell.cli.trigger import trigger
from roombell.cli.verify import verify
from roombell.errors import RoombellError

_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code.value:>3}  {meaning}" for code, meaning in MEANINGS.items())


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="roombell %(version)s")
def cli() -> None:
    """LiveKit webhooks that are never lost.

    Begin with: roombell serve --dev
    """


for _command in (serve, trigger, listen, verify, doctor, rooms, *COMMANDS, migrate):
    cli.add_command(_command)


def run(arguments: Sequence[str]) -> int:
    """Runs a command. Whatever it meets ends as an exit code, with one sentence on stderr and no traceback.

    Faults of our own are the exception: they keep their traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        _never_fail_on_encoding(stream)
    try:
        code = cli.main(args=list(arguments), prog_name="roombell", standalone_mode=False)
        with writing():
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except RoombellError as error:
        Output().error(("Error: ", "bold red"), str(error))
        return exit_code_of(error)
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except OutputLost as error:
        # Python would fail once more when it flushes stdout on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not error.reason:
            return ExitCode.BROKEN_PIPE
        Output().error(("Error: ", "bold red"), f"The output cannot be written: {error.reason}.")
        return ExitCode.FAILED
    return code if isinstance(code, int) else ExitCode.OK


def _never_fail_on_encoding(stream: TextIO) -> None:
    """A terminal that is not UTF-8 shows an escape instead of ending the command."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
