"""Options that several commands share, and what they mean."""

from __future__ import annotations

import os
from pathlib import Path

import click

from roombell.cli.exits import NetworkTrouble
from roombell.config import Keys, Settings, load
from roombell.errors import UsageError
from roombell.transport.url import parse_url

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - to be recognised, not to be bound


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),  # whoever reads it tells better what is wrong
    metavar="FILE",
    help="The configuration file. By default ROOMBELL_CONFIG names it.",
)
key_option = click.option(
    "--key", metavar="NAME", help="An API key. Without --secret: one of those that are configured."
)
secret_option = click.option(
    "--secret",
    metavar="SECRET",
    help="The secret of --key. Others on this machine can see a command's arguments: better is LIVEKIT_API_SECRET.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of text.")


def sendable(_ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """The URL of an option, if there is one.

    :raises UsageError: it is none that can be posted to; names the option.
    """
    if value is not None:
        try:
            parse_url(value)
        except UsageError as error:
            raise UsageError(f"{param.opts[0]}: {error}") from None
    return value


def all_sendable(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """The URLs of an option that may be given again.

    :raises UsageError: as ``sendable``.
    """
    for value in values:
        sendable(ctx, param, value)
    return values


def tool_settings(config: Path | None) -> Settings:
    """The settings that a tool beside the service goes by; LiveKit's development key where nothing is configured.

    :raises ConfigError: the file or the environment is wrong.
    """
    return load(config, os.environ, dev=config is None)


def chosen_keys(settings: Settings, key: str | None, secret: str | None) -> Keys:
    """The keys that ``--key`` and ``--secret`` name, else all that are configured.

    :raises UsageError: a secret without a key, or a key that nobody has.
    """
    if secret is not None:
        if not key:
            raise UsageError("--secret needs --key, the name of the API key that it belongs to.")
        return Keys({key: secret})
    if key is None:
        return settings.keys
    if key not in settings.keys:
        raise UsageError(
            f"There is no secret for API key {key!r}; there is for: {', '.join(settings.keys)}. Give --secret too, or "
            "name a --config that has it."
        )
    return Keys({key: settings.keys[key]})


def host_to_reach(bind_addresses: tuple[str, ...]) -> str:
    """Where a service that listens on these addresses is reached from this machine, as a URL has it."""
    address = next(iter(bind_addresses), "")
    if not address or address in _WILDCARDS:
        return "127.0.0.1"
    return f"[{address}]" if ":" in address else address


def cannot_listen(error: Exception, mend: str) -> NetworkTrouble:
    """The error of a command whose address is not to be had."""
    return NetworkTrouble(f"{str(error).removeprefix('port: ')} {mend}")
