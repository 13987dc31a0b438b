-- The pending deliveries of a lane, oldest first, and when each was accepted.
SELECT sequence, accepted_at_ms
FROM delivery
WHERE lane_id = ? AND sequence >= ? AND state = 'pending'
ORDER BY sequence
LIMIT ?
