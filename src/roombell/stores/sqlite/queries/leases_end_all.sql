-- Ends the leases that a dead owner left, and finds the lanes' heads.
UPDATE lane
SET lease_owner = NULL, recalled = 0, (head_sequence, head_owed_since_ms) = (
    SELECT sequence, owed_since_ms
    FROM delivery
    WHERE lane_id = lane.id AND sequence >= lane.head_sequence AND state = 'pending'
    ORDER BY sequence
    LIMIT 1
)
WHERE lease_owner IS NOT NULL
