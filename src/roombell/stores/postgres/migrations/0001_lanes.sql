-- Everything stands in a schema of its own, and every statement names it: behind a pooler no session keeps a
-- search_path.

-- One row. version: the newest migration that was applied. compatible_from: the oldest version whose code works on
-- what it made. store_id: with a lane's id it names the lane for ever.
CREATE TABLE roombell.store (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    version integer NOT NULL,
    compatible_from integer NOT NULL,
    store_id text NOT NULL
);

CREATE TABLE roombell.endpoint (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    state text NOT NULL, -- active, paused, disabled, removed
    reason text NOT NULL,
    changed_at_ms bigint NOT NULL,
    health bytea NOT NULL DEFAULT ''
);

-- What is pending and what is dead, in slots that are added up: one row for each endpoint would be written by every
-- commit of every worker, and would make them wait for each other's disk.
CREATE TABLE roombell.endpoint_count (
    endpoint_id bigint NOT NULL,
    slot integer NOT NULL,
    pending bigint NOT NULL,
    dead bigint NOT NULL,
    PRIMARY KEY (endpoint_id, slot)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- The order of acceptance. A commit takes its numbers before it is done, so what is found in this order may still
-- grow in its newest part.
CREATE SEQUENCE roombell.event_number;

CREATE SEQUENCE roombell.lane_number;

CREATE TABLE roombell.event (
    id bigint PRIMARY KEY,
    event_id text COLLATE "C" NOT NULL UNIQUE,
    event_type text NOT NULL,
    ordering_key text NOT NULL,
    room_name text NOT NULL,
    accepted_at_ms bigint NOT NULL,
    body bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);

CREATE INDEX event_accepted ON roombell.event (accepted_at_ms, id);

-- kept: how many of its deliveries are in the store, settled ones included. head_sequence: nothing before it is
-- pending. head_owed_since_ms: since when the oldest pending delivery is owed; right while the lane is not leased.
-- blocked: 0, or the sequence of the dead delivery that the lane waits for a decision about. recalled: 0, or what may
-- be under way in a lane whose lease ends with the next settlement.
--
-- Indexes look at nothing but the generated columns, which stay as they are while a lane is leased and worked. So
-- these updates, the most frequent by far, touch no index (HOT), for which pages are kept half empty.
CREATE TABLE roombell.lane (
    id bigint PRIMARY KEY, -- of lane_number: never given twice
    endpoint_id bigint NOT NULL,
    ordering_key text COLLATE "C" NOT NULL,
    last_sequence bigint NOT NULL DEFAULT 0,
    kept bigint NOT NULL DEFAULT 0,
    head_sequence bigint NOT NULL DEFAULT 1,
    head_owed_since_ms bigint NOT NULL DEFAULT 0,
    pending bigint NOT NULL DEFAULT 0,
    due_at_ms bigint NOT NULL DEFAULT 0,
    lease_owner text,
    lease_expires_at_ms bigint NOT NULL DEFAULT 0,
    generation bigint NOT NULL DEFAULT 0,
    blocked bigint NOT NULL DEFAULT 0,
    recalled bigint NOT NULL DEFAULT 0,
    waiting_until_ms bigint GENERATED ALWAYS AS (
        CASE WHEN pending > 0 AND lease_owner IS NULL AND blocked = 0 THEN due_at_ms END
    ) STORED,
    leased_until_ms bigint GENERATED ALWAYS AS (
        CASE WHEN lease_owner IS NOT NULL THEN lease_expires_at_ms END
    ) STORED,
    ageing_since_ms bigint GENERATED ALWAYS AS (
        CASE WHEN pending > 0 AND lease_owner IS NULL THEN head_owed_since_ms END
    ) STORED,
    UNIQUE (endpoint_id, ordering_key)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

CREATE INDEX lane_waiting ON roombell.lane (endpoint_id, waiting_until_ms, id) WHERE waiting_until_ms IS NOT NULL;
CREATE INDEX lane_leased ON roombell.lane (leased_until_ms, id) WHERE leased_until_ms IS NOT NULL;
CREATE INDEX lane_ageing ON roombell.lane (endpoint_id, ageing_since_ms, id) WHERE ageing_since_ms IS NOT NULL;
CREATE INDEX lane_blocked ON roombell.lane (endpoint_id, id) WHERE blocked <> 0;

-- Keyed by event: deliveries lie in the order of acceptance. A lane's order is that of the index over what is pending,
-- which stays as small as the backlog.
CREATE TABLE roombell.delivery (
    event bigint NOT NULL,
    lane_id bigint NOT NULL,
    sequence bigint NOT NULL,
    owed_since_ms bigint NOT NULL,
    state text NOT NULL, -- pending, delivered, dead, cancelled
    attempts integer NOT NULL,
    strikes integer NOT NULL,
    reason text NOT NULL,
    settled_at_ms bigint,
    PRIMARY KEY (event, lane_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

CREATE UNIQUE INDEX delivery_pending ON roombell.delivery (lane_id, sequence) WHERE state = 'pending';
CREATE INDEX delivery_given_up ON roombell.delivery (event, lane_id) WHERE state IN ('dead', 'cancelled');

CREATE TABLE roombell.attempt (
    event bigint NOT NULL,
    lane_id bigint NOT NULL,
    number integer NOT NULL,
    started_at_ms bigint NOT NULL,
    duration_ms bigint NOT NULL,
    outcome text NOT NULL,
    status integer NOT NULL,
    detail text NOT NULL,
    PRIMARY KEY (event, lane_id, number)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);

-- The workers that live, in the order in which they joined.
CREATE TABLE roombell.worker (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner text NOT NULL UNIQUE,
    delivers boolean NOT NULL,
    joined_at_ms bigint NOT NULL,
    expires_at_ms bigint NOT NULL
) WITH (fillfactor = 50);
