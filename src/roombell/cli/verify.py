"""``roombell verify``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
import msgspec

from roombell.cli.exits import ExitCode
from roombell.cli.options import chosen_keys, config_option, json_option, key_option, secret_option, tool_settings
from roombell.cli.output import Output
from roombell.cli.reencoding import looks_reencoded, what_was_done
from roombell.errors import ReceiveError, UsageError
from roombell.events import WebhookEvent, parse
from roombell.signing import BodyHashMismatch, KeyRing, TokenExpired, TokenNotYetValid, VerifiedToken
from roombell.signing.errors import span

_INPUT_BYTES_MAX = 64 << 20


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """``--json``: what was found."""

    valid: bool
    error: str = ""
    """The error's code; empty if it is valid."""
    message: str = ""
    warnings: tuple[str, ...] = ()
    api_key: str = ""
    signed_at_s: float = 0
    expires_at_s: float = 0
    event: str = ""
    id: str = ""
    room: str = ""
    participant: str = ""
    ordering_key: str = ""


class _Webhook(msgspec.Struct, frozen=True):
    body: bytes
    authorization: str | None


@click.command(short_help="Tell whether a saved webhook is valid.")
@click.option("--body", metavar="FILE", help="The body, byte for byte as it came; - is stdin.")
@click.option("--authorization", metavar="VALUE", help="The value of the Authorization header.")
@click.option("--headers", metavar="FILE", help="A file of headers, Authorization among them, one a line.")
@click.option("--request", "request_", metavar="FILE", help="Instead: a whole HTTP request as it came; - is stdin.")
@click.option("--ignore-time", is_flag=True, help="A token that has expired is fine: for webhooks saved long ago.")
@config_option
@key_option
@secret_option
@json_option
def verify(
    *,
    body: str | None,
    authorization: str | None,
    headers: str | None,
    request_: str | None,
    ignore_time: bool,
    config: Path | None,
    key: str | None,
    secret: str | None,
    as_json: bool,
) -> int:
    """Tell whether a saved webhook is valid, and if it is not, why not and what to mend.

    A token lives 5 minutes, so a webhook saved earlier has expired: --ignore-time checks all the rest.
    """
    output = Output(json=as_json)
    webhook = _webhook(body, authorization, headers, request_)
    keys = chosen_keys(tool_settings(config), key, secret)
    verdict = _judge(webhook, KeyRing(keys), now_s=time.time(), ignore_time=ignore_time)
    output.record(verdict)
    _tell(output, verdict)
    return ExitCode.OK if verdict.valid else ExitCode.FAILED


def _webhook(body: str | None, authorization: str | None, headers: str | None, request: str | None) -> _Webhook:
    if request is not None:
        if body is not None or authorization is not None or headers is not None:
            raise UsageError("--request has body and headers already: leave the other options out.")
        return _read_request(_read(request))
    if body is None:
        raise UsageError("Name the webhook: --body FILE with --authorization VALUE, or --request FILE.")
    if authorization is not None and headers is not None:
        raise UsageError("Give --authorization or --headers, not both.")
    if headers is not None:
        authorization = _authorization(_read(headers).decode("latin-1").splitlines())
    return _Webhook(_read(body), authorization)


def _read(name: str) -> bytes:
    try:
        data = sys.stdin.buffer.read(_INPUT_BYTES_MAX) if name == "-" else Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "this is no path of a file"
        raise UsageError(f"{name} cannot be read: {reason}.") from None
    return data


def _read_request(data: bytes) -> _Webhook:
    ends = [(at, len(mark)) for mark in (b"\r\n\r\n", b"\n\n") if (at := data.find(mark)) >= 0]
    if not ends:
        raise UsageError("The request has no empty line between its headers and its body, so where is the body?")
    at, mark_bytes = min(ends)
    _, *lines = data[:at].decode("latin-1").splitlines()
    return _Webhook(data[at + mark_bytes :], _authorization(lines))


def _authorization(lines: list[str]) -> str | None:
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip().lower() == "authorization":
            return value.strip()
    return None


def _judge(webhook: _Webhook, ring: KeyRing, *, now_s: float, ignore_time: bool) -> Verdict:
    """Checks as a receiver would, and goes on where a receiver would stop: behind an expired token may be more."""
    untimely: TokenExpired | TokenNotYetValid | None = None
    try:
        try:
            token = ring.verify(webhook.authorization, webhook.body, now=now_s)
        except (TokenExpired, TokenNotYetValid) as error:
            untimely = error
            token = ring.verify(webhook.authorization, webhook.body, now=_valid_at_s(error))
        event = parse(webhook.body)
    except ReceiveError as error:
        return _refused(error, webhook.body)
    verdict = _found(token, event)
    if untimely is None:
        return verdict
    if ignore_time:
        return msgspec.structs.replace(verdict, warnings=(f"The token's time was not held against it. {untimely}",))
    message = f"{untimely} All else is right; --ignore-time makes this no error."
    return msgspec.structs.replace(verdict, valid=False, error=untimely.code, message=message)


def _valid_at_s(error: TokenExpired | TokenNotYetValid) -> float:
    return error.expired_at_s - 1 if isinstance(error, TokenExpired) else error.valid_from_s


def _found(token: VerifiedToken, event: WebhookEvent) -> Verdict:
    return Verdict(
        valid=True,
        api_key=token.api_key,
        signed_at_s=token.valid_from_s,
        expires_at_s=token.expires_at_s,
        event=event.type,
        id=event.id,
        room=event.room_name,
        participant=event.participant_identity,
        ordering_key=event.ordering_key,
    )


def _refused(error: ReceiveError, body: bytes) -> Verdict:
    warnings: tuple[str, ...] = ()
    if isinstance(error, BodyHashMismatch):
        if done := what_was_done(body, error.signed_hash):
            warnings = (f"What happened to the body: {done}. Undone, its hash is the signed one.",)
        elif looks := looks_reencoded(body):
            warnings = (f"The body looks as if it had been decoded and encoded again: {looks}.",)
    return Verdict(valid=False, error=error.code, message=str(error), warnings=warnings)


def _tell(output: Output, verdict: Verdict) -> None:
    if verdict.valid:
        age = span(time.time() - verdict.signed_at_s)
        output.line(("Valid. ", "bold green"), f"Signed with {verdict.api_key} {age} ago.")
        names = ("event", "id", "room", "participant", "ordering key")
        values = (verdict.event, verdict.id, verdict.room, verdict.participant, verdict.ordering_key)
        for name, value in zip(names, values, strict=True):
            if value:
                output.line((f"  {name:<13} ", "dim"), value)
    else:
        output.line(("Not valid. ", "bold red"), verdict.message)
    for warning in verdict.warnings:
        output.line(("Note: ", "yellow"), warning)
