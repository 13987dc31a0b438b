from __future__ import annotations

import pytest

from roombell.engine.answers import FAILURES, STATUSES, rule_of, table
from roombell.engine.model import Answered, FailureKind


@pytest.mark.parametrize("status", range(100, 1000))
def test_every_status_has_a_rule(status):
    assert rule_of(Answered(status, 1)).meaning


def test_every_failure_has_a_rule():
    assert set(FAILURES) == set(FailureKind)


def test_the_table_shows_every_rule():
    rows = table().splitlines()[2:]
    assert len(rows) == len(STATUSES) + len(FAILURES)
    assert "| 410 | gone for good | the endpoint is disabled, the delivery kept | up |" in rows
    assert "| 2xx | taken | delivered | up |" in rows
