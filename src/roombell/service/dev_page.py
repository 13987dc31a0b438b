"""What ``--dev`` shows of a delivery: a line for the terminal, and a page: one table, no script, no foreign asset."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape
from typing import Final

import msgspec


class Shown(msgspec.Struct, frozen=True):
    """A delivery as it is shown: what it is about, and nothing of its body, which may hold TURN passwords and
    stream keys. Where it was refused, ``verified`` is false and ``error`` says why.
    """

    received_at_ms: int
    verified: bool
    event: str = ""
    event_id: str = ""
    room: str = ""
    participant: str = ""
    track: str = ""
    egress: str = ""
    ingress: str = ""
    lane: str = ""
    sequence: str = ""
    attempt: str = ""
    error: str = ""


_COLUMNS: Final = (
    "Time (UTC)",
    "Event",
    "Room",
    "Participant",
    "Track, egress, ingress",
    "Lane",
    "Attempt",
    "Signature",
)

_HEAD: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="2">
<title>Roombell: deliveries</title>
<style>
:root { color-scheme: light dark; --line: #8884; --dim: #888; --good: #16803c; --bad: #c02626; }
@media (prefers-color-scheme: dark) { :root { --good: #4ade80; --bad: #f87171; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0; }
p { color: var(--dim); margin: .3rem 0 1.2rem; }
div { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; font-size: .85rem; color: var(--dim); white-space: nowrap; }
td { overflow-wrap: anywhere; }
td:first-child { white-space: nowrap; width: 1%; }
td:nth-child(2) { min-width: 12rem; }
small { color: var(--dim); display: block; }
code { font: .92em ui-monospace, monospace; }
.good { color: var(--good); } .bad { color: var(--bad); }
</style>
</head>
<body>
<h1>Roombell</h1>
"""


def as_line(shown: Shown) -> str:
    """A delivery in one line for a terminal, escapes not yet taken out."""
    if not shown.verified:
        return f"refused: {shown.error}"
    about = {
        "room": shown.room,
        "participant": shown.participant,
        "track": shown.track,
        "egress": shown.egress,
        "ingress": shown.ingress,
    }
    told = "  ".join(f"{name}={value}" for name, value in about.items() if value)
    again = f"  attempt {shown.attempt}" if shown.attempt not in ("", "1") else ""
    return f"received {shown.event:<20} #{shown.sequence or '-'}  {told}{again}  verified"


def page(rows: Sequence[Shown]) -> str:
    """The whole page; ``rows`` newest first. Everything that came over the wire is escaped."""
    if not rows:
        body = (
            "<p>Nothing has been delivered yet. Point LiveKit's <code>webhook.urls</code> at <code>/webhook</code> "
            "here, or run <code>roombell trigger call</code>.</p>\n"
        )
    else:
        head = "".join(f'<th scope="col">{column}</th>' for column in _COLUMNS)
        table = "".join(map(_row, rows))
        noun = "delivery" if len(rows) == 1 else "deliveries"
        body = (
            f"<p>The last {len(rows)} {noun} to the built-in endpoint, newest first.</p>\n"
            f"<div><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{table}</tbody>\n</table></div>\n"
        )
    return f"{_HEAD}{body}</body>\n</html>\n"


def _row(row: Shown) -> str:
    second, rest_ms = divmod(row.received_at_ms, 1000)
    at = f"{time.strftime('%H:%M:%S', time.gmtime(second))}.{rest_ms:03d}"
    if not row.verified:
        refusal = f'<span class="bad">refused</span><small>{escape(row.error)}</small>'
        return f'<tr><td>{at}</td><td colspan="{len(_COLUMNS) - 1}">{refusal}</td></tr>\n'
    resource = row.track or row.egress or row.ingress
    lane = f"{escape(row.lane)}<small>#{escape(row.sequence)}</small>" if row.sequence else escape(row.lane)
    cells = (
        at,
        f"{escape(row.event)}<small>{escape(row.event_id)}</small>",
        escape(row.room),
        escape(row.participant),
        f"<code>{escape(resource)}</code>" if resource else "",
        lane,
        escape(row.attempt),
        '<span class="good">verified</span>',
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"
