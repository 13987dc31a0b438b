-- The unleased lanes of an endpoint whose oldest pending delivery was accepted before a time.
SELECT id, head_sequence
FROM lane
WHERE endpoint_id = ? AND pending > 0 AND lease_owner IS NULL AND head_accepted_at_ms < ?
ORDER BY head_accepted_at_ms, id
LIMIT ?
