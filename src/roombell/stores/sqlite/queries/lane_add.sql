-- A lane that was never used, or was pruned.
INSERT INTO lane (endpoint_id, ordering_key, last_sequence, kept, head_sequence, head_owed_since_ms, pending, due_at_ms,
    lease_owner, lease_expires_at_ms, generation, blocked, recalled)
VALUES (?, ?, 0, 0, 1, 0, 0, 0, NULL, 0, 0, 0, 0)
