-- Locks free lanes of an active endpoint, longest due first: those that wait, and those whose lease has run out. What
-- another worker has locked is passed over.
WITH waiting AS MATERIALIZED (
    SELECT id, due_at_ms
    FROM roombell.lane
    WHERE endpoint_id = $1 AND waiting_until_ms IS NOT NULL
    ORDER BY endpoint_id, waiting_until_ms, id
    LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED
), expired AS MATERIALIZED (
    SELECT id, due_at_ms
    FROM roombell.lane
    WHERE endpoint_id = $1 AND leased_until_ms <= $2
    ORDER BY due_at_ms, id
    LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED
)
SELECT free.id, free.due_at_ms
FROM (SELECT id, due_at_ms FROM waiting UNION ALL SELECT id, due_at_ms FROM expired) AS free
WHERE EXISTS (SELECT FROM roombell.endpoint WHERE endpoint.id = $1 AND endpoint.state = 'active')
ORDER BY free.due_at_ms, free.id
LIMIT $3
