-- The lane that a worker writes for.
SELECT id, endpoint_id, ordering_key, last_sequence, kept, head_sequence, head_accepted_at_ms, pending, due_at_ms,
    lease_owner, lease_expires_at_ms, generation, blocked
FROM lane
WHERE id = ?
