"""What ``roombell doctor`` finds."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    status: Status
    check: str
    """What was looked at: ``config``, ``keys``, ``store``, ``disk``, ``port``, ``clock``, ``endpoint NAME``."""
    message: str
    """What was found, as a sentence."""
    mend: str = ""
    """What to do about it; empty where it is fine."""


def ok(check: str, message: str) -> Finding:
    """All is well."""
    return Finding(Status.OK, check, message)


def warning(check: str, message: str, mend: str) -> Finding:
    """It works, and may not for long."""
    return Finding(Status.WARNING, check, message, mend)


def problem(check: str, message: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(Status.PROBLEM, check, message, mend)
