"""Numbers with units, as people write them. Pure; None stands for text that is no such quantity."""

from __future__ import annotations

import re
from typing import Final

DURATION_FORMS: Final = "a duration with its unit, such as 500ms, 15s, 5m, 72h, 7d or 1h30m"
RATE_FORMS: Final = "a number per second, minute or hour, such as 50/s, 300/m or 1000/h"
BYTES_FORMS: Final = "a number of bytes, such as 65536, 64KiB or 1MiB"

_MS_BY_UNIT: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_BYTES_BY_UNIT: Final = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

_INTEGER: Final = re.compile(r"-?[0-9](?:_?[0-9]){0,17}")
_PART: Final = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,9}))?(ms|[smhdw])")
_DURATION: Final = re.compile(rf"(?:{_PART.pattern})+")
_RATE: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?/ ?([smh])")
_BYTES: Final = re.compile(r"([0-9](?:_?[0-9]){0,17}) ?(B|KiB|MiB|GiB)?")


def integer_of(text: str) -> int | None:
    """A whole decimal number; underscores may group its digits."""
    return int(text) if _INTEGER.fullmatch(text) else None


def duration_ms_of(text: str) -> int | None:
    """Milliseconds, rounded. Go's form (``1h30m``, ``1.5s``), and days and weeks besides.

    A bare number means nothing: Go reads it as nanoseconds, people mean seconds. Only 0 needs no unit.
    """
    if text == "0":
        return 0
    if not _DURATION.fullmatch(text):
        return None
    return round(sum(float(f"{whole}.{part or 0}") * _MS_BY_UNIT[unit] for whole, part, unit in _PART.findall(text)))


def bytes_of(text: str) -> int | None:
    """Bytes; units are powers of 1024."""
    match = _BYTES.fullmatch(text)
    return int(match[1]) * _BYTES_BY_UNIT[match[2] or ""] if match else None


def rate_per_s_of(text: str) -> float | None:
    """How often a second."""
    match = _RATE.fullmatch(text)
    return float(match[1]) * 1000 / _MS_BY_UNIT[match[2]] if match else None
