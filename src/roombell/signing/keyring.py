"""LiveKit's webhook token: a JWT, HS256, whose ``sha256`` claim binds it to the body it came with.

The token is built and read by hand: it has one algorithm and one shape, a JWT library spends five times as long on
it, and most raise errors of their own on forged input. The tests hold it against PyJWT and LiveKit's SDK.

A signature is compared as text, not decoded: base64url has one spelling for a digest, so no second form of a token is
ever accepted. ``alg`` is read only to refuse all but HS256; what verifies is HS256 whatever the header says.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from roombell.errors import UsageError
from roombell.signing.access import AccessClaims
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

T = TypeVar("T")

TOKEN_LIFE_S: Final = 300
"""How long a token is valid, as LiveKit's are."""

LEEWAY_S: Final = 60
"""How far the sender's clock may be off, as LiveKit's own receiver allows."""

TOKEN_CHARS_MAX: Final = 8192
"""The longest ``Authorization`` header that is looked at; a webhook's is about 250 characters."""

_SHA256_BYTES: Final = 32
_TIME_MAX_S: Final = 2**53


class VerifiedToken(msgspec.Struct, frozen=True, gc=False):
    """What an authentic token says, apart from the body's hash, which was right. Times are unix seconds."""

    api_key: str
    valid_from_s: float
    expires_at_s: float
    issued_at_s: float | None
    """Servers of before June 2026 do not tell it."""


class _Header(msgspec.Struct, gc=False):
    alg: str | None = None
    crit: object = None


class _Claims(msgspec.Struct, gc=False):
    iss: str | None = None
    nbf: int | float | None = None
    exp: int | float | None = None
    iat: int | float | None = None
    sha256: str | None = None


class _Rights(msgspec.Struct, gc=False):
    admin: bool = False


class _AdminClaims(_Claims, gc=False):
    roombell: _Rights | None = None


C = TypeVar("C", _Claims, _AdminClaims, AccessClaims)

_header_decoder: Final = msgspec.json.Decoder(_Header)
_claims_decoder: Final = msgspec.json.Decoder(_Claims)
_admin_decoder: Final = msgspec.json.Decoder(_AdminClaims)
_access_decoder: Final = msgspec.json.Decoder(AccessClaims)


class _Key:
    """One key, ready to sign: the secret itself is kept only inside the keyed hash."""

    __slots__ = ("_keyed", "claims_head")

    def __init__(self, api_key: str, secret: str) -> None:
        self._keyed = hmac.new(secret.encode(), digestmod=hashlib.sha256)
        self.claims_head = b'{"iss":' + msgspec.json.encode(api_key)

    def signature(self, signed: bytes) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(signed)
        return _base64url(keyed.digest())


class KeyRing:
    """The API keys that webhooks are signed with, several at once, so that keys can be rotated.

    :param keys: secrets by the name of their API key, as in LiveKit's ``keys``.
    :raises UsageError: no key, or an empty name or secret.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[str, str]) -> None:
        if not keys or not _is_mapping(keys):
            raise UsageError('A key ring needs at least one API key with its secret, as {"APIabc": "secret"}.')
        self._keys = {api_key: _checked(api_key, secret) for api_key, secret in keys.items()}

    @property
    def api_keys(self) -> tuple[str, ...]:
        """The names of the keys, in the order given."""
        return tuple(self._keys)

    def __contains__(self, api_key: object) -> bool:
        return api_key in self._keys

    def __repr__(self) -> str:
        return f"KeyRing({{{', '.join(f'{api_key!r}: ***' for api_key in self._keys)}}})"

    def sign(self, body: bytes, *, api_key: str, now: float) -> str:
        """The ``Authorization`` value for ``body``, valid from ``now`` (unix seconds) for ``TOKEN_LIFE_S``.

        :raises UsageError: ``api_key`` is not in the ring.
        """
        key = self._key(api_key)
        at = int(now)
        claims = b'%b,"nbf":%d,"iat":%d,"exp":%d,"sha256":"%b"}' % (
            key.claims_head,
            at,
            at,
            at + TOKEN_LIFE_S,
            _base64(hashlib.sha256(body).digest()),
        )
        return _token(key, claims)

    def sign_admin(self, *, api_key: str, now: float) -> str:
        """A token that lets its bearer administrate a service that has the key, for ``TOKEN_LIFE_S`` from ``now``.

        LiveKit's kind of token with a right of our own in it: no token that a webhook or a participant was given has
        that right, and this one signs no webhook.

        :raises UsageError: ``api_key`` is not in the ring.
        """
        at = int(now)
        key = self._key(api_key)
        return _token(
            key,
            b'%b,"nbf":%d,"iat":%d,"exp":%d,"roombell":{"admin":true}}' % (key.claims_head, at, at, at + TOKEN_LIFE_S),
        )

    def verify(self, authorization: str | None, body: bytes, *, now: float, leeway_s: int = LEEWAY_S) -> VerifiedToken:
        """Checks that ``body`` was signed by one of the keys and that the token's time is now.

        The signature comes before the times and the hash, so that what is said about those is said about authentic
        tokens only.

        :param authorization: the ``Authorization`` header: a bare token, or one after ``Bearer``.
        :param body: the request's body as it came.
        :param now: unix seconds.
        :param leeway_s: how far the sender's clock may be off either way.
        :raises SignatureError: one of the children in ``roombell.signing``, and nothing else whatever the input.
        :raises UsageError: an argument has a wrong type.
        """
        if not isinstance(body, bytes):
            raise UsageError(f"The signature covers the body's raw bytes; {type(body).__name__} was given.")
        claims = self._authentic(_bare(authorization), _claims_decoder)
        verified = _verified(claims, now, leeway_s)
        _check_body(claims.sha256, body)
        return verified

    def verify_admin(self, authorization: str | None, *, now: float) -> VerifiedToken:
        """Checks that the bearer may administrate: a token of ``sign_admin``, whose time is now.

        :raises SignatureError: one of the children in ``roombell.signing``, and nothing else whatever the input.
        """
        claims = self._authentic(_bare(authorization), _admin_decoder)
        verified = _verified(claims, now, LEEWAY_S)
        if claims.roombell is None or not claims.roombell.admin:
            raise NotAllowed(claims.iss or "")
        return verified

    def sign_access(self, claims: AccessClaims, *, api_key: str, now: float, life_s: int) -> str:
        """An access token that says ``claims``, valid from ``now`` for ``life_s``.

        :raises UsageError: ``api_key`` is not in the ring.
        """
        at = int(now)
        said = msgspec.structs.replace(claims, iss=api_key, nbf=at, exp=at + life_s)
        return _token(self._key(api_key), msgspec.json.encode(said))

    def verify_access(self, authorization: str | None, *, now: float, leeway_s: int = LEEWAY_S) -> AccessClaims:
        """What an access token says: one that a key of the ring signed, and whose time is now.

        :raises SignatureError: one of the children in ``roombell.signing``, and nothing else whatever the input.
        """
        claims = self._authentic(_bare(authorization), _access_decoder)
        nbf = 0 if claims.nbf is None else claims.nbf  # other people's libraries leave it out
        _check_times(claims.exp, nbf, now, leeway_s)
        return claims

    def _key(self, api_key: str) -> _Key:
        key = self._keys.get(api_key)
        if key is None:
            raise UsageError(f"There is no secret for API key {api_key!r}; there is for: {', '.join(self._keys)}.")
        return key

    def _authentic(self, token: bytes, decoder: msgspec.json.Decoder[C]) -> C:
        """The claims of a token that one of the keys has signed."""
        signed, _, signature = token.rpartition(b".")
        header, _, payload = signed.partition(b".")
        if not header or not payload or b"." in payload:
            raise MalformedToken("it does not consist of three parts with a dot between")
        if header != _OUR_HEADER:
            _check_algorithm(header)
        claims = _decode_part(payload, decoder, "its second")
        if not claims.iss:
            raise MissingClaim("iss")
        key = self._keys.get(claims.iss)
        if key is None:
            raise UnknownKey(claims.iss, self.api_keys)
        if not hmac.compare_digest(key.signature(signed), signature):
            raise BadSignature(claims.iss)
        return claims


def _token(key: _Key, claims: bytes) -> str:
    signed = _OUR_HEADER + b"." + _base64url(claims)
    return (signed + b"." + key.signature(signed)).decode()


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _checked(api_key: str, secret: str) -> _Key:
    if not _is_text(api_key):
        raise UsageError(f"The name of an API key must be text, not {api_key!r}; a number needs quotes.")
    if not _is_text(secret):
        raise UsageError(f"The secret of API key {api_key!r} is empty or no text; a number needs quotes.")
    try:
        return _Key(api_key, secret)
    except UnicodeEncodeError:
        # Not chained: the cause would show the secret.
        raise UsageError(f"The name or the secret of API key {api_key!r} is not valid Unicode text.") from None


def _bare(authorization: str | None) -> bytes:
    if authorization is None:
        raise NoAuthorization
    if not isinstance(authorization, str):
        raise UsageError(
            f"The Authorization header's value is taken as str; {type(authorization).__name__} was given "
            "(header bytes decode as latin-1)."
        )
    if len(authorization) > TOKEN_CHARS_MAX:
        raise MalformedToken(f"it is {len(authorization)} characters long, and no webhook's is over {TOKEN_CHARS_MAX}")
    token = authorization.strip()
    if token[:6].lower() == "bearer" and token[6:7].isspace():
        token = token[7:].lstrip()
    if not token or token.lower() == "bearer":
        raise NoAuthorization
    if not token.isascii():
        raise MalformedToken("it has characters that are not ASCII")
    return token.encode()


def _check_algorithm(part: bytes) -> None:
    """The way of all headers but our own and the official SDKs': any order of members, any spacing."""
    header = _decode_part(part, _header_decoder, "its first")
    if header.crit is not None:  # RFC 7515, 4.1.11: what must be understood and is not must be refused
        raise MalformedToken("its header demands an extension (crit) that is not known here")
    algorithm = header.alg or ""
    if algorithm != "HS256":
        raise WrongAlgorithm(algorithm)


def _verified(claims: _Claims, now: float, leeway_s: int) -> VerifiedToken:
    nbf, exp = _check_times(claims.exp, claims.nbf, now, leeway_s)
    issued = None if claims.iat is None else _time(claims.iat, "iat")
    return VerifiedToken(claims.iss or "", nbf, exp, issued)


def _check_times(expires: float | None, not_before: float | None, now: float, leeway_s: int) -> tuple[float, float]:
    exp, nbf = _time(expires, "exp"), _time(not_before, "nbf")
    if now - leeway_s >= exp:
        raise TokenExpired(expired_at_s=exp, now_s=now, skew_s=now - nbf)
    if now + leeway_s < nbf:
        raise TokenNotYetValid(valid_from_s=nbf, now_s=now)
    return nbf, exp


def _time(claim: float | None, name: str) -> float:
    if claim is None:
        raise MissingClaim(name)
    if not -_TIME_MAX_S <= claim <= _TIME_MAX_S:
        raise MalformedToken(f"its `{name}` claim is no time")
    return claim


def _check_body(claim: str | None, body: bytes) -> None:
    if not claim:
        raise NoBodyHash
    digest = hashlib.sha256(body).digest()
    if hmac.compare_digest(claim.encode(), _base64(digest)):
        return
    signed = _digest(claim)
    if not hmac.compare_digest(signed, digest):
        raise BodyHashMismatch(
            signed_hash=_base64(signed).decode(), body_hash=_base64(digest).decode(), body_bytes=len(body)
        )


def _digest(claim: str) -> bytes:
    """The digest in a claim that is not spelt as LiveKit spells it: unpadded or base64url are understood too."""
    try:
        digest = _unbase64(claim.rstrip("=").encode("ascii"))
    except (binascii.Error, UnicodeEncodeError):
        digest = b""
    if len(digest) != _SHA256_BYTES:
        raise MalformedToken("its `sha256` claim is not the base64 form of a SHA-256 (hex is another form)")
    return digest


def _decode_part(part: bytes, decoder: msgspec.json.Decoder[T], what: str) -> T:
    try:
        return decoder.decode(_unbase64(part))
    except (binascii.Error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # Not chained: the cause would show parts of the token.
        raise MalformedToken(f"{what} part is no JSON object in base64url") from None


def _base64(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False)


def _base64url(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL, b"=")


def _unbase64(text: bytes) -> bytes:
    """The bytes in unpadded base64, either alphabet; ``binascii.Error`` for all else."""
    return binascii.a2b_base64(text.translate(_FROM_URL) + b"=" * (-len(text) % 4), strict_mode=True)


_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")
_OUR_HEADER: Final = _base64url(b'{"alg":"HS256","typ":"JWT"}')
