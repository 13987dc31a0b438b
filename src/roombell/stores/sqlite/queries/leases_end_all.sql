-- Ends the leases that a dead owner left, and finds the lanes' heads.
UPDATE lane
SET lease_owner = NULL, (head_sequence, head_accepted_at_ms) = (
    SELECT sequence, accepted_at_ms
    FROM delivery
    WHERE lane_id = lane.id AND sequence >= lane.head_sequence AND state = 'pending'
    ORDER BY sequence
    LIMIT 1
)
WHERE lease_owner IS NOT NULL
