"""LiveKit's webhook token: what is made, what is accepted, and each way it can fail."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import jwt
import pytest

from roombell import signing
from roombell.errors import SignatureError, UsageError
from roombell.signing import KeyRing

NOW = 1_789_411_342.5
BODY = b'{"event":"room_started","id":"EV_1"}'
SECRET = "a secret of at least thirty-two bytes"
OTHER_SECRET = "another secret of at least thirty-two bytes"
RING = KeyRing({"APIabc": SECRET, "APIold": OTHER_SECRET})


def digest(body: bytes = BODY) -> bytes:
    return hashlib.sha256(body).digest()


def claims(**changes: object) -> dict[str, object]:
    """LiveKit's claims, changed; None takes a claim away."""
    told = {
        "iss": "APIabc",
        "nbf": int(NOW),
        "exp": int(NOW) + 300,
        "sha256": base64.b64encode(digest()).decode(),
    } | changes
    return {name: value for name, value in told.items() if value is not None}


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(
    payload: object | None = None, *, header: object = None, secret: str = SECRET, payload_bytes: bytes | None = None
) -> str:
    """A token whose signature is right, whatever is in it."""
    head = json.dumps(header if header is not None else {"alg": "HS256", "typ": "JWT"}).encode()
    body = payload_bytes if payload_bytes is not None else json.dumps(claims() if payload is None else payload).encode()
    signed = f"{part(head)}.{part(body)}"
    return f"{signed}.{part(hmac.digest(secret.encode(), signed.encode(), 'sha256'))}"


def refused(authorization: str | None, body: bytes = BODY, *, now: float = NOW, leeway_s: int = 60) -> SignatureError:
    with pytest.raises(SignatureError) as caught:
        RING.verify(authorization, body, now=now, leeway_s=leeway_s)
    error = caught.value
    assert error.status == 401
    assert "secret of at least" not in str(error) + repr(error)
    return error


def test_what_is_signed_is_what_pyjwt_signs() -> None:
    ours = RING.sign(BODY, api_key="APIabc", now=NOW)
    at = int(NOW)
    told = {"iss": "APIabc", "nbf": at, "iat": at, "exp": at + 300, "sha256": base64.b64encode(digest()).decode()}
    assert ours == jwt.encode(told, SECRET, algorithm="HS256")


def test_what_is_signed_is_verified() -> None:
    verified = RING.verify(RING.sign(BODY, api_key="APIold", now=NOW), BODY, now=NOW)
    assert verified.api_key == "APIold"
    assert (verified.valid_from_s, verified.expires_at_s, verified.issued_at_s) == (int(NOW), int(NOW) + 300, int(NOW))


def test_a_key_with_quotes_and_umlauts_in_its_name_signs_and_verifies() -> None:
    ring = KeyRing({'A"PI\\ü': "gehäim"})
    assert ring.verify(ring.sign(BODY, api_key='A"PI\\ü', now=NOW), BODY, now=NOW).api_key == 'A"PI\\ü'


def test_an_empty_body_is_signed_and_verified() -> None:
    assert RING.verify(RING.sign(b"", api_key="APIabc", now=NOW), b"", now=NOW).api_key == "APIabc"


def test_a_secret_longer_than_a_hash_block_signs_as_pyjwt_does() -> None:
    ring = KeyRing({"APIabc": "x" * 200})
    assert (
        jwt.decode(
            ring.sign(BODY, api_key="APIabc", now=NOW),
            "x" * 200,
            algorithms=["HS256"],
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )["iss"]
        == "APIabc"
    )


@pytest.mark.parametrize("form", ["{}", "Bearer {}", "bearer {}", "BEARER   {}", "  {}\t", " Bearer\t{} "])
def test_a_token_is_taken_bare_and_after_bearer(form: str) -> None:
    assert RING.verify(form.format(token()), BODY, now=NOW).api_key == "APIabc"


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT", "alg": "HS256"},
        {"alg": "HS256"},
        {"alg": "HS256", "typ": "JWT", "kid": "1"},
    ],
)
def test_the_algorithm_is_found_in_any_header(header: dict[str, str]) -> None:
    assert RING.verify(token(header=header), BODY, now=NOW).api_key == "APIabc"


def test_a_token_without_iat_is_taken_as_older_servers_send_none() -> None:
    assert RING.verify(token(), BODY, now=NOW).issued_at_s is None


def test_claims_that_webhooks_do_not_have_are_ignored() -> None:
    told = claims(sub="", video={"roomJoin": True}, aud=["x"], jti=7)
    assert RING.verify(token(told), BODY, now=NOW).api_key == "APIabc"


@pytest.mark.parametrize(
    "spelt",
    [
        base64.b64encode(digest()).decode(),
        base64.b64encode(digest()).decode().rstrip("="),
        base64.urlsafe_b64encode(digest()).decode(),
        base64.urlsafe_b64encode(digest()).decode().rstrip("="),
    ],
)
def test_the_hash_of_the_body_is_taken_in_every_base64(spelt: str) -> None:
    assert RING.verify(token(claims(sha256=spelt)), BODY, now=NOW).api_key == "APIabc"


@pytest.mark.parametrize(
    ("now", "accepted"),
    [(NOW + 300, True), (NOW + 359, True), (NOW + 360, False), (NOW - 60, True), (NOW - 61, False)],
)
def test_the_leeway_is_allowed_on_both_sides_and_no_more(now: float, accepted: bool) -> None:
    if accepted:
        RING.verify(token(), BODY, now=now)
    else:
        refused(token(), now=now)


@pytest.mark.parametrize("header", [None, "", "  ", "Bearer", "bearer ", "Bearer  \t"])
def test_no_authorization(header: str | None) -> None:
    error = refused(header)
    assert isinstance(error, signing.NoAuthorization)
    assert error.code == "no_authorization"


MALFORMED = {
    "no dots": "abc",
    "two parts": "a.b",
    "four parts": token() + ".x",
    "empty parts": "..",
    "basic authentication": "Basic dXNlcjpwYXNz",
    "two words": f"{token()} {token()}",
    "header no base64": "!!." + token().split(".", 1)[1],
    "header no JSON": part(b"hello") + "." + token().split(".", 1)[1],
    "header an array": token(header=["HS256"]),
    "algorithm a number": token(header={"alg": 256}),
    "header of one byte": "e." + token().split(".", 1)[1],
    "claims no JSON": token(payload_bytes=b"hello"),
    "claims an array": token([]),
    "claims not UTF-8": token(payload_bytes=b'{"iss":"\xff"}'),
    "claims nested deeply": token(payload_bytes=b'{"x":' + b"[" * 4000),
    "claims with padding": ".".join([*token().split(".")[:1], token().split(".")[1] + "==", "x"]),
    "iss a number": token(claims(iss=7)),
    "exp a string": token(claims(exp=str(int(NOW)))),
    "exp a boolean": token(claims(exp=True)),
    "exp not a number": token(payload_bytes=b'{"iss":"APIabc","nbf":1,"exp":NaN}'),
    "exp infinite": token(payload_bytes=b'{"iss":"APIabc","nbf":1,"exp":1e999}'),
    "exp huge": token(claims(exp=10**400)),
    "exp beyond time": token(claims(exp=2**60)),
    "nbf beyond time": token(claims(nbf=-1e300)),
    "iat beyond time": token(claims(iat=1e300)),
    "nbf an object": token(claims(nbf={})),
    "sha256 a number": token(claims(sha256=7)),
    "sha256 in hex": token(claims(sha256=digest().hex())),
    "sha256 too short": token(claims(sha256="c2hvcnQ=")),
    "sha256 not ASCII": token(claims(sha256="ü" * 44)),
    "not ASCII": token() + "é",
    "surrogates": "\udc80" + token(),
    "too long": "x" * 8193,
    "a line break": token().replace(".", ".\n", 1),
}


@pytest.mark.parametrize("authorization", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_token(authorization: str) -> None:
    error = refused(authorization)
    assert isinstance(error, signing.MalformedToken)
    assert error.code == "malformed_token"
    assert authorization.strip()[:30] not in str(error)


@pytest.mark.parametrize("algorithm", ["none", "HS384", "HS512", "RS256", "hs256", "", "x" * 500])
def test_wrong_algorithm(algorithm: str) -> None:
    error = refused(token(header={"alg": algorithm, "typ": "JWT"}))
    assert isinstance(error, signing.WrongAlgorithm)
    assert error.algorithm == (algorithm if len(algorithm) < 64 else "x" * 64 + "…")


def test_a_header_without_algorithm_is_the_wrong_algorithm() -> None:
    assert isinstance(refused(token(header={"typ": "JWT"})), signing.WrongAlgorithm)


def test_the_right_claims_signed_by_another_algorithm_are_refused() -> None:
    error = refused(jwt.encode(claims(), SECRET * 2, algorithm="HS512"))
    assert isinstance(error, signing.WrongAlgorithm)
    assert "HS512" in str(error)


def test_an_unsigned_token_is_refused() -> None:
    unsigned = token(header={"alg": "none"}).rpartition(".")[0] + "."
    assert isinstance(refused(unsigned), signing.WrongAlgorithm)


def test_unknown_key_tells_the_name_sent_and_keeps_ours_out_of_the_answer() -> None:
    error = refused(token(claims(iss="APInew")))
    assert isinstance(error, signing.UnknownKey)
    assert (error.api_key, error.known) == ("APInew", ("APIabc", "APIold"))
    assert "'APInew'" in str(error)
    assert "APIold" not in str(error)


def test_a_header_that_demands_an_extension_is_refused() -> None:
    error = refused(token(header={"alg": "HS256", "typ": "JWT", "crit": ["b64"], "b64": False}))
    assert isinstance(error, signing.MalformedToken)
    assert "crit" in str(error)


def test_an_unknown_key_is_quoted_safely_and_cut_short() -> None:
    error = refused(token(claims(iss="\x1b[31m\n" + "x" * 1000)))
    assert "\n" not in str(error)
    assert "\x1b" not in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize(
    "forged",
    [
        token(secret="not the secret"),
        token(secret=OTHER_SECRET),
        token()[:-1],
        token()[:-4] + "AAAA",
        token() + "=",
        token().rpartition(".")[0] + ".",
        token().rpartition(".")[0] + ".!!!",
    ],
)
def test_bad_signature(forged: str) -> None:
    error = refused(forged)
    assert isinstance(error, signing.BadSignature)
    assert error.api_key == "APIabc"


def test_a_signature_has_one_spelling_only() -> None:
    """The last character of a digest in base64 has spare bits; a token with them set is another token."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    right = token()
    same_bits = alphabet[alphabet.index(right[-1]) | 1]
    assert isinstance(refused(right[:-1] + same_bits), signing.BadSignature)


@pytest.mark.parametrize("claim", ["iss", "exp", "nbf"])
def test_missing_claim(claim: str) -> None:
    error = refused(token(claims(**{claim: None})))
    assert isinstance(error, signing.MissingClaim)
    assert error.claim == claim


def test_an_empty_iss_is_a_missing_one() -> None:
    assert isinstance(refused(token(claims(iss=""))), signing.MissingClaim)


def test_token_expired_tells_by_how_much_the_clocks_differ() -> None:
    error = refused(token(), now=int(NOW) + 420)
    assert isinstance(error, signing.TokenExpired)
    assert (error.expired_at_s, error.now_s, error.skew_s) == (int(NOW) + 300, int(NOW) + 420, 420)
    assert "expired 2 min ago" in str(error)
    assert "clocks differ by 7 min" in str(error)


def test_token_not_yet_valid_tells_by_how_much_the_clocks_differ() -> None:
    error = refused(token(), now=int(NOW) - 420)
    assert isinstance(error, signing.TokenNotYetValid)
    assert error.skew_s == -420
    assert "clocks differ by 7 min" in str(error)


@pytest.mark.parametrize(
    ("late_s", "words"), [(61, "61 s"), (3600, "60 min"), (86_400, "24 h"), (10 * 86_400, "10 days")]
)
def test_spans_of_time_are_told_in_fitting_units(late_s: int, words: str) -> None:
    assert f"expired {words} ago" in str(refused(token(), now=int(NOW) + 300 + late_s))


@pytest.mark.parametrize("absent", [None, ""])
def test_no_body_hash(absent: str | None) -> None:
    assert isinstance(refused(token(claims(sha256=absent))), signing.NoBodyHash)


def test_body_hash_mismatch_tells_both_hashes() -> None:
    changed = BODY.replace(b",", b", ")
    error = refused(token(), changed)
    assert isinstance(error, signing.BodyHashMismatch)
    assert error.signed_hash == base64.b64encode(digest()).decode()
    assert error.body_hash == base64.b64encode(digest(changed)).decode()
    assert error.body_bytes == len(changed)
    assert error.signed_hash in str(error)
    assert error.body_hash in str(error)
    assert "body parser" in str(error)


def test_a_body_that_was_read_before_is_told_apart() -> None:
    assert "the body is empty" in str(refused(token(), b""))


def test_what_is_said_about_times_and_bodies_is_said_of_authentic_tokens_only() -> None:
    forged = token(secret="not the secret")
    assert isinstance(refused(forged, b"other body"), signing.BadSignature)
    assert isinstance(refused(forged, now=NOW + 9999), signing.BadSignature)


def test_each_error_has_its_own_word() -> None:
    errors = [getattr(signing, name) for name in signing.__all__ if isinstance(getattr(signing, name), type)]
    codes = [error.code for error in errors if issubclass(error, SignatureError)]
    assert len(codes) == len(set(codes)) == 11
    assert "signature" not in codes


def test_the_ring_shows_names_and_no_secrets() -> None:
    assert repr(RING) == "KeyRing({'APIabc': ***, 'APIold': ***})"
    assert RING.api_keys == ("APIabc", "APIold")
    assert "APIold" in RING
    assert "APInew" not in RING


@pytest.mark.parametrize(
    "keys",
    [
        {},
        None,
        [],
        "APIabc: secret",
        {"": "secret"},
        {"APIabc": ""},
        {"APIabc": None},
        {7: "secret"},
        {"APIabc": b"secret"},
        {"APIabc": 7},
    ],
)
def test_a_ring_of_no_or_empty_keys_is_refused(keys: object) -> None:
    with pytest.raises(UsageError):
        KeyRing(keys)  # type: ignore[arg-type]


@pytest.mark.parametrize("keys", [{"APIabc": "hunter2\udc80"}, {"API\udc80": "hunter2"}])
def test_a_secret_that_is_no_unicode_is_refused_without_showing_it(keys: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        KeyRing(keys)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_signing_with_a_key_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="'APInew'"):
        RING.sign(BODY, api_key="APInew", now=NOW)


def test_arguments_of_a_wrong_type_are_the_callers_mistake() -> None:
    with pytest.raises(UsageError, match="latin-1"):
        RING.verify(token().encode(), BODY, now=NOW)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="raw bytes"):
        RING.verify(token(), BODY.decode(), now=NOW)  # type: ignore[arg-type]


# The right to administrate


def not_allowed(authorization: str | None, *, now: float = NOW) -> SignatureError:
    with pytest.raises(SignatureError) as caught:
        RING.verify_admin(authorization, now=now)
    return caught.value


def test_a_token_to_administrate_is_taken_for_its_five_minutes() -> None:
    ours = RING.sign_admin(api_key="APIabc", now=NOW)
    verified = RING.verify_admin(f"Bearer {ours}", now=NOW + 299)
    assert (verified.api_key, verified.expires_at_s) == ("APIabc", int(NOW) + 300)
    told = jwt.decode(ours, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_nbf": False})
    assert told == {
        "iss": "APIabc", "nbf": int(NOW), "iat": int(NOW), "exp": int(NOW) + 300, "roombell": {"admin": True},
    }  # fmt: skip
    assert not_allowed(ours, now=NOW + 360).code == "token_expired"
    assert not_allowed(ours, now=NOW - 61).code == "token_not_yet_valid"


def test_no_other_token_of_the_same_key_gives_the_right() -> None:
    webhook = RING.sign(b"", api_key="APIabc", now=NOW)
    participant = token(claims(sha256=None, video={"roomJoin": True, "roomAdmin": True, "room": "demo"}))
    for other in (webhook, participant, token(claims(roombell={"admin": False})), token(claims(roombell=None))):
        error = not_allowed(other)
        assert (error.code, error.status) == ("not_allowed", 403)


@pytest.mark.parametrize("rights", ["admin", {"admin": "true"}, {"admin": 1}, [], 5])
def test_rights_of_another_shape_are_no_token(rights: object) -> None:
    assert not_allowed(token(claims(roombell=rights))).code == "malformed_token"


def test_a_token_to_administrate_signs_no_webhook() -> None:
    assert refused(RING.sign_admin(api_key="APIabc", now=NOW), b"").code == "no_body_hash"


def test_a_token_to_administrate_from_a_stranger_is_refused() -> None:
    assert not_allowed(None).code == "no_authorization"
    assert not_allowed(token(claims(roombell={"admin": True}), secret="another")).code == "bad_signature"
    assert not_allowed(token(claims(iss="APInone", roombell={"admin": True}))).code == "unknown_key"
