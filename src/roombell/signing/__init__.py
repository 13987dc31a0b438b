"""The signature of a LiveKit webhook: made and checked with a ring of API keys. Knows nothing of events."""

from roombell.signing.access import AccessClaims, VideoGrants
from roombell.signing.errors import (
    BadSignature,
    BodyHashMismatch,
    MalformedToken,
    MissingClaim,
    NoAuthorization,
    NoBodyHash,
    NotAllowed,
    TokenExpired,
    TokenNotYetValid,
    UnknownKey,
    WrongAlgorithm,
)
from roombell.signing.keyring import LEEWAY_S, TOKEN_CHARS_MAX, TOKEN_LIFE_S, KeyRing, VerifiedToken

__all__ = [
    "LEEWAY_S",
    "TOKEN_CHARS_MAX",
    "TOKEN_LIFE_S",
    "AccessClaims",
    "BadSignature",
    "BodyHashMismatch",
    "KeyRing",
    "MalformedToken",
    "MissingClaim",
    "NoAuthorization",
    "NoBodyHash",
    "NotAllowed",
    "TokenExpired",
    "TokenNotYetValid",
    "UnknownKey",
    "VerifiedToken",
    "VideoGrants",
    "WrongAlgorithm",
]
