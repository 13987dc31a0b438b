-- Takes deliveries that were ended without a worker out of a lane's line. The head of an empty lane means nothing.
UPDATE lane
SET pending = pending - :ended, head_sequence = :next_sequence, head_owed_since_ms = coalesce((
    SELECT owed_since_ms
    FROM delivery
    WHERE lane_id = :id AND sequence >= :next_sequence AND state = 'pending'
    ORDER BY sequence
    LIMIT 1
), head_owed_since_ms)
WHERE id = :id
