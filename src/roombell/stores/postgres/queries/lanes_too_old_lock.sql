-- Locks unleased lanes of an endpoint whose oldest pending delivery is owed since before a time.
SELECT id, head_sequence
FROM roombell.lane
WHERE endpoint_id = $1 AND ageing_since_ms < $2
ORDER BY endpoint_id, ageing_since_ms, id
LIMIT $3
FOR NO KEY UPDATE SKIP LOCKED
