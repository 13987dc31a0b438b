-- Brings the head of a lane that stops being leased up to date: its oldest pending delivery.
UPDATE lane
SET (head_sequence, head_owed_since_ms) = (
    SELECT sequence, owed_since_ms
    FROM delivery
    WHERE lane_id = lane.id AND sequence >= lane.head_sequence AND state = 'pending'
    ORDER BY sequence
    LIMIT 1
)
WHERE id = ?
