"""The ways in which a webhook's signature can fail, each told apart.

No message holds a secret, a token or a body. What an unauthenticated sender wrote is quoted and cut short.
"""

from __future__ import annotations

from roombell.errors import SignatureError

_QUOTED_CHARS_MAX = 64


class NoAuthorization(SignatureError):
    """There is no ``Authorization`` header, or it is empty."""

    code = "no_authorization"

    def __init__(self) -> None:
        super().__init__(
            "There is no Authorization header. LiveKit sends its token in `Authorization` (not `Authorize`), and "
            "some proxies and frameworks strip it: let it pass."
        )


class MalformedToken(SignatureError):
    """The header's value is not a token that could be checked."""

    code = "malformed_token"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The Authorization header holds no usable token: {what}. LiveKit sends a bare JWT of three parts, "
            "header.claims.signature."
        )


class WrongAlgorithm(SignatureError):
    """The token is signed by an algorithm that LiveKit does not use.

    :param algorithm: the token header's ``alg``, cut short; it is the sender's word and not to be trusted.
    """

    code = "wrong_algorithm"

    def __init__(self, algorithm: str) -> None:
        self.algorithm = _short(algorithm)
        super().__init__(
            f"The token says it is signed by {self.algorithm!r}; LiveKit webhooks are signed by HS256 only."
        )


class UnknownKey(SignatureError):
    """The token names an API key that is not in the key ring.

    :param api_key: the token's ``iss``, cut short; it is the sender's word and not to be trusted.
    :param known: the names of the keys there are.
    """

    code = "unknown_key"

    def __init__(self, api_key: str, known: tuple[str, ...]) -> None:
        self.api_key, self.known = _short(api_key), known
        super().__init__(
            f"The token is signed with API key {self.api_key!r}, which is not among the {len(known)} configured here. "
            "Add that key with its secret, or have the sender sign with one of ours."
        )


class BadSignature(SignatureError):
    """The token names a key we have, but was not signed with its secret.

    :param api_key: the key's name.
    """

    code = "bad_signature"

    def __init__(self, api_key: str) -> None:
        self.api_key = api_key
        super().__init__(
            f"The token's signature does not fit: the secret that the sender has for API key {api_key!r} differs "
            "from ours, or the token was changed on its way."
        )


class MissingClaim(SignatureError):
    """The token lacks a claim that every webhook's token has.

    :param claim: ``iss``, ``exp`` or ``nbf``.
    """

    code = "missing_claim"

    def __init__(self, claim: str) -> None:
        self.claim = claim
        super().__init__(
            f"The token has no `{claim}` claim, and it is required: `iss` names the API key, `nbf` and `exp` bound the "
            "time in which a copy of the webhook would be accepted."
        )


class TokenExpired(SignatureError):
    """The token's time is over, the leeway included.

    :param expired_at_s: the token's ``exp``, unix seconds.
    :param now_s: our time, unix seconds.
    :param skew_s: how far our clock is ahead of the sender's, if the webhook was sent just now.
    """

    code = "token_expired"

    def __init__(self, *, expired_at_s: float, now_s: float, skew_s: float) -> None:
        self.expired_at_s, self.now_s, self.skew_s = expired_at_s, now_s, skew_s
        super().__init__(
            f"The token expired {span(now_s - expired_at_s)} ago; it was valid from {span(skew_s)} ago. If the webhook "
            f"was sent just now, your clocks differ by {span(skew_s)}: synchronise both. If it is an old one sent "
            "again, it must be signed anew: a token lives 5 min."
        )


class TokenNotYetValid(SignatureError):
    """The token's time has not begun, the leeway included.

    :param valid_from_s: the token's ``nbf``, unix seconds.
    :param now_s: our time, unix seconds.
    :param skew_s: how far our clock is ahead of the sender's, so a negative number.
    """

    code = "token_not_yet_valid"

    def __init__(self, *, valid_from_s: float, now_s: float) -> None:
        self.valid_from_s, self.now_s, self.skew_s = valid_from_s, now_s, now_s - valid_from_s
        super().__init__(
            f"The token is valid only in {span(self.skew_s)}: your clocks differ by {span(self.skew_s)}, and ours is "
            "behind the sender's. Synchronise both."
        )


class NoBodyHash(SignatureError):
    """The token is authentic, but says nothing about the body."""

    code = "no_body_hash"

    def __init__(self) -> None:
        super().__init__(
            "The token has no `sha256` claim, so it would fit any body. Is it an access token for a client or an API? "
            "A webhook's token carries the hash of the webhook's body."
        )


class BodyHashMismatch(SignatureError):
    """The token is authentic, and it was made for another body.

    :param signed_hash: the token's ``sha256`` claim: standard base64.
    :param body_hash: the hash of the body that came, in the same form.
    """

    code = "body_hash_mismatch"

    def __init__(self, *, signed_hash: str, body_hash: str, body_bytes: int) -> None:
        self.signed_hash, self.body_hash, self.body_bytes = signed_hash, body_hash, body_bytes
        what = f"the {body_bytes} bytes that came hash to" if body_bytes else "the body is empty, which hashes to"
        super().__init__(
            f"The token is authentic, but the body is not the one that was signed: signed is {signed_hash}, {what} "
            f"{body_hash}. Something between changed it: a proxy, or a body parser that decoded and encoded it again. "
            "Hand over the raw bytes of the request's body."
        )


class NotAllowed(SignatureError):
    """The token is authentic, but it lets its bearer do nothing here."""

    status = 403
    code = "not_allowed"

    def __init__(self, api_key: str) -> None:
        self.api_key = api_key
        super().__init__(
            f"The token is signed by {api_key}, but it gives no right to administrate: webhooks' tokens and "
            "participants' tokens do not. The roombell command makes its own."
        )


def span(seconds: float) -> str:
    """A span of time as a sentence has it, without its sign: ``7 min``."""
    seconds = abs(seconds)
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _short(text: str) -> str:
    return text if len(text) <= _QUOTED_CHARS_MAX else text[:_QUOTED_CHARS_MAX] + "…"
