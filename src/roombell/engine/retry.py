"""When to try again.

Exponential back-off with full jitter: the n-th delay is drawn evenly from (0, cap_n], where the caps grow threefold
from ``base_delay_ms`` to ``max_delay_ms``. With the defaults the caps are 5, 15, 45, 135, 300, 300 and 300 s: eight
attempts in about nine minutes on average and eighteen at most. Full jitter spreads the retries of many lanes as
evenly as anything known (Brooker, "Exponential backoff and jitter", 2015); one draw decides one delay.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

GROWTH: Final = 3
_SECOND_MS: Final = 1000
_DIGITS_MAX: Final = 256
"""As much of a header's value is kept: a number of any length that gets here asks for the longest delay."""


class RetryPolicy(msgspec.Struct, frozen=True):
    """How long a delivery is tried.

    ``attempts`` in all, the first included; ``max_age_ms`` from acceptance, after which no attempt is begun.
    """

    attempts: int = 8
    base_delay_ms: int = 5 * _SECOND_MS
    max_delay_ms: int = 300 * _SECOND_MS
    max_age_ms: int = 72 * 3600 * _SECOND_MS


def backoff_ms(policy: RetryPolicy, attempts: int, draw: float) -> int:
    """The delay after the ``attempts``-th attempt failed: at least 1 ms, at most the policy's ``max_delay_ms``.

    :param draw: a number drawn evenly from [0, 1).
    """
    cap = min(policy.max_delay_ms, policy.base_delay_ms * int(GROWTH ** min(attempts - 1, 64)))
    return max(1, round(cap * (1.0 - draw)))


def retry_after_ms(value: str | None, date: str | None, now_ms: int) -> int | None:
    """What a ``Retry-After`` header asks for, in milliseconds from now; None where it says nothing usable.

    Takes both forms of RFC 9110 section 10.2.3, seconds and HTTP-date. A date is read against the answer's own
    ``Date``, so that the peer's clock may be off, else against ``now_ms``. Times in the past ask for 0. The caller
    clamps: a peer may ask for 10^12 seconds.
    """
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(rf"[0-9]{{1,{_DIGITS_MAX}}}", text):
        return int(text) * _SECOND_MS
    until_ms = _http_date_ms(text)
    if until_ms is None:
        return None
    since_ms = _http_date_ms(date) if date else None
    return max(0, until_ms - (now_ms if since_ms is None else since_ms))


def _http_date_ms(text: str) -> int | None:
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * _SECOND_MS)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
