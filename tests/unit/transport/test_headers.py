from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from roombell.errors import UsageError
from roombell.transport.headers import check_custom_headers, header_safe


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
@example("EV_1\r\nX-Evil: 1\r\n\r\n")
@example("%0d%0a")
@example("\u010d\u010a")
def test_a_strangers_value_stays_on_its_line_and_can_be_read_back(value):
    safe = header_safe(value)
    assert all("!" <= char <= "~" for char in safe)
    assert unquote(safe) == value


def test_a_value_that_is_no_unicode_is_made_harmless():
    assert header_safe("\ud800") == "?"


def test_livekits_own_ids_pass_unchanged():
    assert header_safe("EV_hycBMAjmt6Ub") == "EV_hycBMAjmt6Ub"


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "authorization",
        "CONTENT-TYPE",
        "Content-Length",
        "User-Agent",
        "Transfer-Encoding",
        "Connection",
        "TE",
        "Webhook-Id",
        "webhook-attempt",
        "Webhook-Sequence",
        "Webhook-Lane",
        "webhook-signature",
        "Webhook-Anything",
        "WEBHOOK_Id",
        "content_type",
    ],
)
def test_the_protocols_own_headers_cannot_be_overwritten(name):
    with pytest.raises(UsageError, match="cannot be overwritten"):
        check_custom_headers([(name, "x")])


@pytest.mark.parametrize("name", ["", "X Team", "X-Team:", "X-Team\r\n", "X-Tëam", "X\x00", "(x)"])
def test_what_is_no_header_name_is_refused(name):
    with pytest.raises(UsageError, match="not a header name"):
        check_custom_headers([(name, "x")])


@pytest.mark.parametrize(
    "value", ["SECRET\r\nX: y", "SECRET\n", "SECRET\x00", "SECRETü", " SECRET", "SECRET ", "x" * 9000]
)
def test_what_is_no_header_value_is_refused_and_not_shown(value):
    with pytest.raises(UsageError, match="'X-Team'") as refusal:
        check_custom_headers([("X-Team", value)])
    assert "SECRET" not in str(refusal.value)


def test_headers_given_twice_or_by_the_hundred_are_refused():
    with pytest.raises(UsageError, match="twice"):
        check_custom_headers([("X-Team", "a"), ("x-team", "b")])
    with pytest.raises(UsageError, match="limit is 64"):
        check_custom_headers([(f"X-{number}", "a") for number in range(65)])


def test_ordinary_headers_are_taken():
    check_custom_headers([("X-Team", "media"), ("X-Empty", ""), ("Accept", "a, b; q=0.5"), ("X-Tab", "a\tb")])
