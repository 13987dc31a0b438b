"""Who may come in: an access token, and LiveKit's sentence for each refusal.

The sentences are those of ``pkg/service/auth.go`` and ``rtcservice.go`` of LiveKit's server, with one difference: where
LiveKit puts the token itself into the sentence, it is left out here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from roombell.errors import SignatureError
from roombell.rooms.grants import joining_of
from roombell.rooms.participants import Joining
from roombell.rooms.refusals import Refused
from roombell.signing import (
    AccessClaims,
    BadSignature,
    KeyRing,
    NoAuthorization,
    TokenExpired,
    TokenNotYetValid,
    UnknownKey,
)

TOKEN_LIFE_S: Final = 600
"""How long a token is valid that a participant is given anew, as LiveKit's are."""

IDENTITY_CHARS_MAX: Final = 256

_DENIED: Final = "permissions denied"
_INVALID: Final = "invalid authorization token"


class AccessRefused(Exception):
    """A participant may not come in: the HTTP status and LiveKit's sentence."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


def admit(keys: KeyRing, token: str, now_s: float) -> AccessClaims:
    """What a token says that one of the keys has signed and whose time is now.

    :raises AccessRefused: it is no such token.
    """
    try:
        return keys.verify_access(token, now=now_s)
    except NoAuthorization as error:
        raise AccessRefused(401, _DENIED) from error
    except UnknownKey as error:
        raise AccessRefused(401, f"invalid API key: {error.api_key}") from error
    except (BadSignature, TokenExpired, TokenNotYetValid) as error:
        raise AccessRefused(401, f"invalid token, error: {_WORDS[type(error)]}") from error
    except SignatureError as error:
        raise AccessRefused(401, _INVALID) from error


def joining(claims: AccessClaims, *, room: str, attributes: Mapping[str, str], protocol: int) -> Joining:
    """How the bearer of a token comes in.

    :param room: which one is wanted, where the token names none.
    :param attributes: what the client wants to add to its attributes; empty ones are passed over.
    :param protocol: the client's version of the protocol.
    :raises AccessRefused: it may not.
    """
    try:
        joining = joining_of(claims, client_protocol=protocol)
    except Refused as refusal:
        raise AccessRefused(401, refusal.message) from refusal
    if not claims.sub:
        raise AccessRefused(400, "identity cannot be empty")
    if len(claims.sub) > IDENTITY_CHARS_MAX:
        raise AccessRefused(400, f"participant identity length exceeds limits: max length {IDENTITY_CHARS_MAX}")
    if attributes and not claims.video.can_update_own_metadata:
        raise AccessRefused(401, _DENIED)
    more = {key: value for key, value in attributes.items() if value}
    return msgspec.structs.replace(joining, room=joining.room or room, attributes={**joining.attributes, **more})


_WORDS: Final[Mapping[type[SignatureError], str]] = {
    BadSignature: "go-jose/go-jose: error in cryptographic primitive",
    TokenExpired: "go-jose/go-jose/jwt: validation failed, token is expired (exp)",
    TokenNotYetValid: "go-jose/go-jose/jwt: validation failed, token not valid yet (nbf)",
}
