"""Standard Webhooks' symmetric signature, beside LiveKit's, for receivers that verify with that scheme's libraries.

Source: the Standard Webhooks specification (github.com/standard-webhooks/standard-webhooks, ``spec/``): the signature
is HMAC-SHA256 over ``{webhook-id}.{webhook-timestamp}.{body}``, in base64 behind ``v1,``; several stand in one header,
a space between, and a receiver takes the request when any is right. So secrets are rotated by signing with both.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from roombell.errors import UsageError

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - a prefix, not a secret
SECRET_BYTES_MIN: Final = 24
SECRET_BYTES_MAX: Final = 64
"""The specification's bounds on a secret's length."""
SECRETS_MAX: Final = 8


class StandardSigner:
    """Signs with every one of its secrets. Its representation shows none.

    :param secrets: as ``whsec_`` with 24 to 64 bytes in base64; up to ``SECRETS_MAX`` of them.
    :raises UsageError: one is malformed, or there are none or too many. The message shows no secret.
    """

    __slots__ = ("_keyed",)

    def __init__(self, secrets: Iterable[str]) -> None:
        self._keyed = [hmac.new(_decoded(secret), digestmod=hashlib.sha256) for secret in secrets]
        if not 1 <= len(self._keyed) <= SECRETS_MAX:
            raise UsageError(f"There are {len(self._keyed)} secrets; from 1 to {SECRETS_MAX} can sign.")

    def __repr__(self) -> str:
        return f"<StandardSigner {len(self._keyed)} secrets>"

    def sign(self, message_id: str, timestamp_s: int, body: bytes) -> str:
        """The value of ``webhook-signature``.

        :param message_id: the value of ``webhook-id``, as it is sent.
        :param timestamp_s: the value of ``webhook-timestamp``: unix seconds.
        """
        signed = b"%b.%d.%b" % (message_id.encode(), timestamp_s, body)
        return " ".join(f"v1,{_signature(keyed, signed)}" for keyed in self._keyed)


def _signature(keyed: hmac.HMAC, signed: bytes) -> str:
    one = keyed.copy()
    one.update(signed)
    return binascii.b2a_base64(one.digest(), newline=False).decode()


def _decoded(secret: str) -> bytes:
    encoded = secret.removeprefix(SECRET_PREFIX)
    mend = (
        f"it is {SECRET_PREFIX} followed by {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} random bytes in base64; "
        f"make one with: echo {SECRET_PREFIX}$(openssl rand -base64 32)"
    )
    if encoded == secret:
        raise UsageError(f"A secret does not begin with {SECRET_PREFIX}: {mend}.")
    try:
        decoded = binascii.a2b_base64(encoded + "=" * (-len(encoded) % 4), strict_mode=True)
    except ValueError:
        # Not chained: the cause could show parts of the secret. (binascii.Error is a ValueError.)
        raise UsageError(f"A secret is not valid base64 after {SECRET_PREFIX}: {mend}.") from None
    if not SECRET_BYTES_MIN <= len(decoded) <= SECRET_BYTES_MAX:
        raise UsageError(f"A secret has {len(decoded)} bytes: {mend}.")
    return decoded
