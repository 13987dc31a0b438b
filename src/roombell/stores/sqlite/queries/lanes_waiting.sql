-- The waiting lanes of an endpoint, longest due first.
SELECT due_at_ms, id, ordering_key, generation, pending, head_sequence
FROM lane
WHERE endpoint_id = ? AND pending > 0 AND lease_owner IS NULL AND blocked = 0
ORDER BY due_at_ms, id
LIMIT ?
