"""Lines into real pipes."""

from __future__ import annotations

import asyncio
import json
import logging
import os

import pytest

from roombell.engine.hooks import AttemptFinished, CommitFailed, DeliveryDead, EndpointDisabled, LeaseLost
from roombell.engine.model import AttemptRecord, Delivery, LaneId, Sequence
from roombell.service.dev_page import Shown
from roombell.service.log_lines import TextLines, printable
from roombell.service.logs import LogFormat, Logs, LogWriter

BODY = (
    b'{"event":"egress_ended","room":{"name":"demo","turnPassword":"hush"},'
    b'"egressInfo":{"egressId":"EG_1","roomName":"demo"},"id":"EV_1"}'
)


def attempt(decision="delivered", *, status=200, outcome="answered", due_at_ms=0, body=BODY) -> AttemptFinished:
    delivery = Delivery(LaneId(1), Sequence(4), "EV_1", "egress_ended", 1_000, 0, body)
    record = AttemptRecord(2, 2_000, 12, outcome, status, "echoed token" if status else "connection refused")
    return AttemptFinished("main", delivery, record, decision, "", due_at_ms, 30, "EG_1")


class Pipe:
    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def text(self) -> str:
        """All that was written; closes the writing end."""
        os.close(self.writer)
        self.writer = -1
        with open(self.reader, "rb", closefd=False) as file:
            return file.read().decode()

    def close(self) -> None:
        for descriptor in (self.reader, self.writer):
            if descriptor >= 0:
                os.close(descriptor)


@pytest.fixture
def pipe():
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def root_level():
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.fixture
def logs(pipe, root_level):
    logs = Logs(lambda: 1_000_000_123, descriptor=pipe.writer)
    yield logs
    logs.close()


def lines(pipe) -> list[dict]:
    return [json.loads(line) for line in pipe.text().splitlines()]


async def test_an_attempt_is_one_wide_line(pipe, logs):
    logs.observe(attempt())
    logs.close()
    assert lines(pipe) == [
        {
            "ts": "1970-01-12T13:46:40.123Z", "level": "info", "msg": "webhook delivered", "event": "egress_ended",
            "event_id": "EV_1", "endpoint": "main", "lane": "EG_1", "sequence": 4, "attempt": 2, "outcome": "answered",
            "duration_ms": 12, "decision": "delivered", "latency_ms": 30, "status": 200, "room": "demo",
        }
    ]  # fmt: skip


async def test_a_failed_attempt_says_why_and_when_next(pipe, logs):
    logs.observe(attempt("retry", status=0, outcome="refused", due_at_ms=1_000_005_123))
    logs.observe(attempt("dead", status=500, body=b"no event"))
    first, second = (logs.close(), lines(pipe))[1]
    assert (first["level"], first["detail"], first["next_attempt_in_ms"]) == ("warning", "connection refused", 5_000)
    assert (second["level"], "detail" in second, "room" in second) == ("error", False, False)


async def test_a_next_attempt_that_is_due_by_the_time_of_the_line_is_told_too(pipe, logs):
    logs.observe(attempt("retry", status=500, due_at_ms=999_999_000))
    (line,) = (logs.close(), lines(pipe))[1]
    assert line["next_attempt_in_ms"] == 1


async def test_what_went_wrong_elsewhere_has_its_line(pipe, logs):
    logs.observe(DeliveryDead("main", "EV_1", "room_started", "expired", 3))
    logs.observe(EndpointDisabled("main", "410"))
    logs.observe(CommitFailed("store_full", "The disk is full."))
    logs.observe(LeaseLost(LaneId(7)))
    logs.close()
    told = lines(pipe)
    assert [line["msg"] for line in told] == ["delivery given up", "endpoint disabled", "commit failed", "lease lost"]
    assert (told[0]["reason"], told[2]["error"], told[3]["lane_id"]) == ("expired", "store_full", 7)


async def test_a_store_that_is_away_does_not_flood_the_log(pipe, logs):
    for _ in range(50):
        logs.observe(CommitFailed("store_unavailable", "The store did not answer."))
    logs.close()
    assert len(lines(pipe)) == 1


async def test_a_delivery_to_the_built_in_endpoint_is_one_line(pipe, logs):
    logs.show(Shown(0, verified=True, event="room_started", room="demo", sequence="1", attempt="1"))
    logs.show(Shown(0, verified=False, error="No key."))
    logs.close()
    told = [(line["level"], line["msg"]) for line in lines(pipe)]
    assert told == [("info", "received room_started         #1  room=demo  verified"), ("warning", "refused: No key.")]


async def test_the_standard_library_logs_into_the_same_stream(pipe, logs):
    log = logging.getLogger("roombell.test")
    log.info("Hello %s.", "you\nthere \udcff")
    log.debug("not shown")
    log.warning("%d", "no number")
    log.error("It failed.", exc_info=ValueError("boom"))
    logs.close()
    first, second, third = lines(pipe)
    assert (first["msg"], first["logger"], first["level"]) == ("Hello you\nthere \\udcff.", "roombell.test", "info")
    assert "its arguments do not fit" in second["msg"]
    assert third["exception"].endswith("ValueError: boom")


async def test_text_for_people_is_one_readable_line_and_steers_no_terminal(pipe, root_level):
    logs = Logs(lambda: 1_000_000_123, descriptor=pipe.writer, form=LogFormat.TEXT)
    logs.observe(attempt(body=BODY.replace(b"demo", b"d\\u001b[31mx")))
    logging.getLogger("x").error("one\ntwo", exc_info=ValueError("boom"))
    logs.close()
    first, second, *trace = pipe.text().splitlines()
    assert first.startswith("13:46:40.123Z INFO    egress_ended to main: delivered, 200 in 12 ms  room=d\\x1b[31mx")
    assert second == "13:46:40.123Z ERROR   one\\ntwo  logger=x"
    assert trace[-1] == "    ValueError: boom"


def test_colours_are_used_when_asked_for():
    assert b"\x1b[33m" in TextLines(lambda: 0, colour=True).note("warning", "careful", {})
    assert b"\x1b" not in TextLines(lambda: 0, colour=False).note("warning", "careful", {})


def test_printable_keeps_letters_of_all_languages():
    assert printable("Zürich 東京") == "Zürich 東京"
    assert printable("a\r\n\x1b\u202e") == "a\\r\\n\\x1b\\u202e"


async def test_a_level_silences_what_is_below_it(pipe, root_level):
    logs = Logs(lambda: 0, descriptor=pipe.writer, level="warning")
    logs.observe(attempt())
    logs.observe(attempt("retry"))
    logging.getLogger("x").info("not shown")
    logs.close()
    assert [line["decision"] for line in lines(pipe)] == ["retry"]


async def test_a_reader_that_stops_blocks_nobody_and_the_loss_is_told(pipe):
    writer = LogWriter(pipe.writer, lambda lines: b"dropped %d\n" % lines, buffer_bytes_max=200_000)
    for n in range(10_000):
        writer.write(b"%06d %b\n" % (n, b"x" * 92))
    dropped = writer.dropped
    assert dropped > 0
    received = b""
    while b"dropped" not in received or not received.endswith(b"\n"):
        received += await asyncio.wait_for(asyncio.to_thread(os.read, pipe.reader, 65536), 20)
    writer.close()
    assert b"dropped %d\n" % dropped in received
    numbers = [line[:6] for line in received.split(b"\n") if b"xxx" in line]
    assert numbers == [b"%06d" % n for n in range(10_000 - dropped)]


async def test_a_closed_pipe_stops_nothing(root_level):
    reader, writer = os.pipe()
    os.close(reader)
    log = LogWriter(writer, lambda lines: b"dropped\n")
    log.write(b"a\n")
    log.close()
    os.close(writer)
    assert log.dropped == 1
    log.write(b"late\n")
    assert log.dropped == 2


def test_lines_are_written_without_an_event_loop(pipe):
    writer = LogWriter(pipe.writer, lambda lines: b"")
    writer.write(b"one\n")
    assert os.read(pipe.reader, 100) == b"one\n"
    writer.close()
