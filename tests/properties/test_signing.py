"""Signatures: nothing but the promised errors on any input, and agreement with PyJWT."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json

import jwt
from hypothesis import given
from hypothesis import strategies as st

from roombell.errors import SignatureError
from roombell.signing import KeyRing

NOW = 1_789_411_342
SECRET = "a secret of at least thirty-two bytes"
RING = KeyRing({"APIabc": SECRET})
BODY = b'{"event":"room_started"}'
TOKEN = RING.sign(BODY, api_key="APIabc", now=NOW)

ODD_NUMBERS = st.integers() | st.floats() | st.sampled_from([2**63, 10**400, -(10**400), 1e308, 5e-324])
ODD_VALUES = st.none() | st.booleans() | ODD_NUMBERS | st.text() | st.lists(st.integers(), max_size=2)
ODD_CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        "iss": st.just("APIabc") | ODD_VALUES,
        "nbf": st.just(NOW) | ODD_VALUES,
        "exp": st.just(NOW + 300) | ODD_VALUES,
        "iat": ODD_VALUES,
        "sha256": ODD_VALUES | st.binary(max_size=40).map(lambda data: data.hex()),
    },
)


def is_refused_or_verified(authorization: str, body: bytes = BODY) -> None:
    with contextlib.suppress(SignatureError):
        RING.verify(authorization, body, now=NOW)


@given(st.text(alphabet=st.characters(codec=None)) | st.text(alphabet="aZ09-_=. \tBbearer"), st.binary(max_size=20))
def test_any_header_is_verified_or_a_signature_error(authorization: str, body: bytes) -> None:
    is_refused_or_verified(authorization, body)
    is_refused_or_verified("Bearer " + authorization, body)


@given(st.data())
def test_a_damaged_token_is_never_accepted_and_is_a_signature_error(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(TOKEN) - 1))
    put = data.draw(st.text(alphabet=st.characters(codec=None), max_size=3))
    damaged = TOKEN[:at] + put + TOKEN[at + data.draw(st.integers(0, 3)) :]
    if damaged.strip() == TOKEN:
        return
    try:
        RING.verify(damaged, BODY, now=NOW)
    except SignatureError:
        return
    # Only what is before the token may differ, and only by the scheme's name.
    assert damaged.split()[-1] == TOKEN


@given(ODD_CLAIMS)
def test_any_claims_rightly_signed_are_verified_or_a_signature_error(claims: dict[str, object]) -> None:
    is_refused_or_verified(signed_by_hand(json.dumps(claims).encode("utf-8", "surrogatepass")))


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_any_parts_rightly_signed_are_verified_or_a_signature_error(header: bytes, payload: bytes) -> None:
    is_refused_or_verified(signed_by_hand(payload))
    is_refused_or_verified(signed_by_hand(payload, header))


@given(st.binary(max_size=200), st.integers(0, 2**40), st.text(min_size=1), st.text(min_size=32))
def test_what_we_sign_pyjwt_accepts_and_so_do_we(body: bytes, now: int, api_key: str, secret: str) -> None:
    ring = KeyRing({api_key: secret})
    ours = ring.sign(body, api_key=api_key, now=now)
    unchecked = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    told = jwt.decode(ours, secret, algorithms=["HS256"], options=unchecked)
    assert (told["iss"], told["nbf"], told["exp"]) == (api_key, now, now + 300)
    assert ring.verify(ours, body, now=now).api_key == api_key


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_token_fits_no_other_body(body: bytes, other: bytes) -> None:
    token = RING.sign(body, api_key="APIabc", now=NOW)
    if body == other:
        assert RING.verify(token, other, now=NOW).api_key == "APIabc"
        return
    try:
        RING.verify(token, other, now=NOW)
    except SignatureError as error:
        assert error.code == "body_hash_mismatch"  # noqa: PT017 - the other outcome is below
    else:
        raise AssertionError


def signed_by_hand(payload: bytes, header: bytes = b'{"alg":"HS256"}') -> str:
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload))
    signature = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), signed, "sha256")).rstrip(b"=")
    return (signed + b"." + signature).decode()
