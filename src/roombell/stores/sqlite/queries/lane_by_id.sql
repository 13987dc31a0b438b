-- The lane that a worker writes for.
SELECT id, endpoint_id, ordering_key, last_sequence, kept, head_sequence, head_owed_since_ms, pending, due_at_ms,
    lease_owner, lease_expires_at_ms, generation, blocked, recalled
FROM lane
WHERE id = ?
