-- The unleased lanes of an endpoint whose oldest pending delivery is owed since before a time.
SELECT id, head_sequence
FROM lane
WHERE endpoint_id = ? AND pending > 0 AND lease_owner IS NULL AND head_owed_since_ms < ?
ORDER BY head_owed_since_ms, id
LIMIT ?
