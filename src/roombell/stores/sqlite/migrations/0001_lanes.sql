-- The first schema. Times are UTC milliseconds. There are no foreign keys and no CHECKs: every row is written by one
-- program in one process, which asserts what they would, and CHECKs alone cost the hot path a fifth of its time.

CREATE TABLE store (
    store_id TEXT NOT NULL
) STRICT;

-- pending and dead count the endpoint's deliveries, so that metrics never count rows.
CREATE TABLE endpoint (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL, -- active, disabled, removed
    reason TEXT NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    pending INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    event_type TEXT NOT NULL,
    ordering_key TEXT NOT NULL,
    room_name TEXT NOT NULL,
    accepted_at_ms INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE INDEX event_by_age ON event (accepted_at_ms);

-- AUTOINCREMENT: a lane that was pruned and is made anew has another id.
-- kept: how many of its deliveries are in the store, settled ones included. head_sequence: nothing before it is
-- pending. head_accepted_at_ms: when the oldest pending delivery was accepted; right while the lane is not leased.
CREATE TABLE lane (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint_id INTEGER NOT NULL,
    ordering_key TEXT NOT NULL,
    last_sequence INTEGER NOT NULL,
    kept INTEGER NOT NULL,
    head_sequence INTEGER NOT NULL,
    head_accepted_at_ms INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    due_at_ms INTEGER NOT NULL,
    lease_owner TEXT,
    lease_expires_at_ms INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    blocked INTEGER NOT NULL,
    UNIQUE (endpoint_id, ordering_key)
) STRICT;

-- A lane that is leased when its event is accepted never enters the first and the third.
CREATE INDEX lane_waiting ON lane (endpoint_id, due_at_ms) WHERE pending > 0 AND lease_owner IS NULL AND blocked = 0;
CREATE INDEX lane_leased ON lane (lease_expires_at_ms) WHERE lease_owner IS NOT NULL;
CREATE INDEX lane_ageing ON lane (endpoint_id, head_accepted_at_ms) WHERE pending > 0 AND lease_owner IS NULL;

-- Keyed by event: deliveries lie in the order of acceptance, so that a commit writes few pages. A lane's order is that
-- of the index, which holds what is pending alone, and so stays small.
CREATE TABLE delivery (
    event INTEGER NOT NULL,
    lane_id INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    accepted_at_ms INTEGER NOT NULL,
    state TEXT NOT NULL, -- pending, delivered, dead, cancelled
    attempts INTEGER NOT NULL,
    reason TEXT NOT NULL,
    settled_at_ms INTEGER,
    PRIMARY KEY (event, lane_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX delivery_pending ON delivery (lane_id, sequence) WHERE state = 'pending';

CREATE TABLE attempt (
    event INTEGER NOT NULL,
    lane_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    started_at_ms INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    status INTEGER NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (event, lane_id, number)
) STRICT, WITHOUT ROWID;
