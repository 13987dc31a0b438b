-- Lanes in the order of their numbers.
SELECT id, endpoint_id, ordering_key, last_sequence, kept, head_sequence, head_owed_since_ms, pending, due_at_ms,
    generation, blocked
FROM roombell.lane
WHERE id > $1
ORDER BY id
LIMIT $2
