-- The lanes of an endpoint whose lease has run out, longest due first. Few, whatever the backlog.
SELECT due_at_ms, id, ordering_key, generation, pending, head_sequence
FROM lane
WHERE lease_owner IS NOT NULL AND lease_expires_at_ms <= ? AND +endpoint_id = ?
ORDER BY due_at_ms, id
LIMIT ?
