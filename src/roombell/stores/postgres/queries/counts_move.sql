-- Moves endpoints' counts by what a transaction changed; the last that it locks.
INSERT INTO roombell.endpoint_count AS count (endpoint_id, slot, pending, dead)
SELECT endpoint_id, pg_backend_pid() % 32, pending, dead
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS moved (endpoint_id, pending, dead)
ORDER BY endpoint_id
ON CONFLICT (endpoint_id, slot) DO UPDATE
SET pending = count.pending + excluded.pending, dead = count.dead + excluded.dead
