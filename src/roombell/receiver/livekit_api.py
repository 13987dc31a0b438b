"""``livekit-api``'s ``WebhookReceiver``, with its call shape and the official message, and Roombell behind it.

Change the import, and nothing else::

    from roombell.receiver.livekit_api import TokenVerifier, WebhookReceiver
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from roombell.errors import UsageError
from roombell.receiver.receiver import Receiver
from roombell.signing import LEEWAY_S

if TYPE_CHECKING:
    from livekit.protocol import webhook

__all__ = ["TokenVerifier", "WebhookReceiver"]

_LEEWAY: Final = timedelta(seconds=LEEWAY_S)


class Verifier(Protocol):
    """As much of ``livekit.api.TokenVerifier`` as is needed: that one will do as well."""

    api_key: str | None
    api_secret: str | None


class TokenVerifier:
    """One API key and its secret; by default ``LIVEKIT_API_KEY`` and ``LIVEKIT_API_SECRET``.

    :param leeway: how far the sender's clock may be off.
    """

    def __init__(
        self, api_key: str | None = None, api_secret: str | None = None, *, leeway: timedelta = _LEEWAY
    ) -> None:
        self.api_key = api_key or os.environ.get("LIVEKIT_API_KEY")
        self.api_secret = api_secret or os.environ.get("LIVEKIT_API_SECRET")
        self._leeway = leeway  # the name it has in livekit-api's, which offers no other


class WebhookReceiver:
    """Takes what ``livekit.api.WebhookReceiver`` takes, and more of it.

    :param token_verifier: of this module or of ``livekit.api``; or a ``Receiver``, for several keys.
    :raises UsageError: there is no key or no secret.
    """

    def __init__(self, token_verifier: Verifier | Receiver) -> None:
        self.receiver = token_verifier if isinstance(token_verifier, Receiver) else _receiver(token_verifier)

    def receive(self, body: str | bytes, auth_token: str | None) -> webhook.WebhookEvent:
        """The official message of a webhook that was signed by one of our keys.

        :param body: the request's body as it came: bytes, or their text.
        :param auth_token: the value of ``Authorization``, bare or after ``Bearer``; None if there is none.
        :raises ReceiveError: it was not; ``status`` is what to answer, and the class says why.
        :raises UsageError: ``livekit-protocol`` is not installed.
        """
        raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
        return self.receiver.receive(raw, auth_token).message


def _receiver(verifier: Verifier) -> Receiver:
    api_key, api_secret = getattr(verifier, "api_key", None), getattr(verifier, "api_secret", None)
    if not api_key or not api_secret:
        raise UsageError(
            "The verifier has no key or no secret: give both, or set LIVEKIT_API_KEY and LIVEKIT_API_SECRET."
        )
    leeway = getattr(verifier, "_leeway", _LEEWAY)
    leeway_s = int(leeway.total_seconds()) if isinstance(leeway, timedelta) else LEEWAY_S
    return Receiver({api_key: api_secret}, leeway_s=leeway_s)
