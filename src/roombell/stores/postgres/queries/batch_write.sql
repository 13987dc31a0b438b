-- All that a batch made of rows that this transaction has locked: lanes, new deliveries, settled ones with their
-- attempts, and the counts. Attempts are numbered one by one: 0 stands for a settlement without an attempt. How many
-- deliveries were settled.
WITH lane_now AS (
    UPDATE roombell.lane
    SET last_sequence = now.last_sequence, kept = now.kept, head_sequence = now.head_sequence,
        head_owed_since_ms = now.head_owed_since_ms, pending = now.pending, due_at_ms = now.due_at_ms,
        lease_owner = now.lease_owner, lease_expires_at_ms = now.lease_expires_at_ms, generation = now.generation,
        blocked = now.blocked, recalled = now.recalled
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[],
        $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[])
        AS now (last_sequence, kept, head_sequence, head_owed_since_ms, pending, due_at_ms, lease_owner,
            lease_expires_at_ms, generation, blocked, recalled, id)
    WHERE lane.id = now.id
), added AS (
    INSERT INTO roombell.delivery (event, lane_id, sequence, owed_since_ms, state, attempts, strikes, reason)
    SELECT event, lane_id, sequence, owed_since_ms, 'pending', 0, 0, ''
    FROM unnest($13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[])
        AS new (event, lane_id, sequence, owed_since_ms)
), settled AS (
    UPDATE roombell.delivery
    SET state = made.state, attempts = greatest(delivery.attempts, made.number),
        strikes = delivery.strikes + made.strikes, reason = made.reason, settled_at_ms = made.settled_at_ms
    FROM unnest($17::bigint[], $18::bigint[], $19::text[], $20::integer[], $21::integer[], $22::text[], $23::bigint[],
        $24::bigint[], $25::bigint[], $26::text[], $27::integer[], $28::text[])
        AS made (lane_id, sequence, state, number, strikes, reason, settled_at_ms, started_at_ms, duration_ms, outcome,
            status, detail)
    WHERE delivery.lane_id = made.lane_id AND delivery.sequence = made.sequence AND delivery.state = 'pending'
        AND made.number IN (0, delivery.attempts + 1)
    RETURNING delivery.event, made.*
), attempted AS (
    INSERT INTO roombell.attempt (event, lane_id, number, started_at_ms, duration_ms, outcome, status, detail)
    SELECT event, lane_id, number, started_at_ms, duration_ms, outcome, status, detail
    FROM settled
    WHERE number > 0
), counted AS (
    INSERT INTO roombell.endpoint_count AS count (endpoint_id, slot, pending, dead)
    SELECT endpoint_id, pg_backend_pid() % 32, pending, dead
    FROM unnest($29::bigint[], $30::bigint[], $31::bigint[]) AS moved (endpoint_id, pending, dead)
    ORDER BY endpoint_id
    ON CONFLICT (endpoint_id, slot) DO UPDATE
    SET pending = count.pending + excluded.pending, dead = count.dead + excluded.dead
)
SELECT count(*) FROM settled
