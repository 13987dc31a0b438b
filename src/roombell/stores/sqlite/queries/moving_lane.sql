-- Lanes in the order of their numbers, as they are when no lease is left: the head of a leased one is looked up.
SELECT id, endpoint_id, ordering_key, last_sequence, kept,
    coalesce((
        SELECT min(sequence) FROM delivery
        WHERE lease_owner IS NOT NULL AND lane_id = lane.id AND state = 'pending'
    ), head_sequence),
    coalesce((
        SELECT owed_since_ms FROM delivery
        WHERE lease_owner IS NOT NULL AND lane_id = lane.id AND state = 'pending'
        ORDER BY sequence
        LIMIT 1
    ), head_owed_since_ms),
    pending, due_at_ms, generation, blocked
FROM lane
WHERE id > ?
ORDER BY id
LIMIT ?
