"""Standard Webhooks' signature, held against the scheme's own library."""

import base64
import datetime as dt
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from roombell.errors import UsageError
from roombell.signing.standard import SECRETS_MAX, StandardSigner


def now_s() -> int:
    """The official library reads the clock by itself."""
    return int(dt.datetime.now(dt.UTC).timestamp())


def secret(size: int = 32) -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(size)).decode()}"


def headers_of(signer: StandardSigner, body: bytes, message_id: str = "EV_1") -> dict[str, str]:
    at_s = now_s()
    signature = signer.sign(message_id, at_s, body)
    return {"webhook-id": message_id, "webhook-timestamp": str(at_s), "webhook-signature": signature}


@pytest.mark.parametrize("size", [24, 25, 26, 32, 64])
def test_the_schemes_own_library_accepts_what_is_signed(size):
    one = secret(size)
    body = b'{"event":"room_started","id":"EV_1"}'
    assert Webhook(one).verify(body, headers_of(StandardSigner([one]), body)) == {"event": "room_started", "id": "EV_1"}


def test_the_value_is_what_the_schemes_own_library_signs():
    one, body = secret(), b'{"a":1}'
    at_s = now_s()
    theirs = Webhook(one).sign("msg_1", dt.datetime.fromtimestamp(at_s, dt.UTC), body.decode())
    assert StandardSigner([one]).sign("msg_1", at_s, body) == theirs


def test_while_secrets_change_over_receivers_with_either_accept():
    old, new, other = secret(), secret(), secret()
    headers = headers_of(StandardSigner([old, new]), b"{}")
    assert headers["webhook-signature"].count("v1,") == 2
    for one in (old, new):
        Webhook(one).verify(b"{}", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(b"{}", headers)


@given(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1), st.dictionaries(st.text(), st.text())
)
def test_any_id_and_any_body_verify_and_no_other_body_does(message_id, content):
    import json

    one = secret()
    body = json.dumps(content).encode()
    headers = headers_of(StandardSigner([one]), body, message_id)
    assert Webhook(one).verify(body, headers) == content
    with pytest.raises(WebhookVerificationError):
        Webhook(one).verify(body + b" ", headers)


@pytest.mark.parametrize(
    ("given_secrets", "told"),
    [
        ([], "There are 0 secrets"),
        ([secret()] * (SECRETS_MAX + 1), "There are 9 secrets"),
        (["hunter2"], "does not begin with whsec_"),
        (["whsk_hunter2"], "does not begin with whsec_"),
        (["whsec_hunter2!"], "is not valid base64"),
        (["whsec_hünter2"], "is not valid base64"),
        (["whsec_" + "hunter2=" * 9], "is not valid base64"),
        (["whsec_hunter2a"], "has 6 bytes"),
        ([secret(23)], "has 23 bytes"),
        ([secret(65)], "has 65 bytes"),
        (["whsec_"], "has 0 bytes"),
    ],
)
def test_a_secret_that_is_none_is_refused_without_being_shown(given_secrets, told):
    with pytest.raises(UsageError) as caught:
        StandardSigner(given_secrets)
    assert told in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_signer_shows_no_secret():
    assert repr(StandardSigner([secret(), secret()])) == "<StandardSigner 2 secrets>"
