-- Ends leases that have run out, and finds the lanes' heads.
UPDATE lane
SET lease_owner = NULL, recalled = 0, (head_sequence, head_owed_since_ms) = (
    SELECT sequence, owed_since_ms
    FROM delivery
    WHERE lane_id = lane.id AND sequence >= lane.head_sequence AND state = 'pending'
    ORDER BY sequence
    LIMIT 1
)
WHERE id IN (
    SELECT id FROM lane
    WHERE lease_owner IS NOT NULL AND lease_expires_at_ms <= ?
    ORDER BY lease_expires_at_ms, id
    LIMIT ?
)
