-- The pending deliveries of a lane, oldest first, and since when each is owed.
SELECT sequence, owed_since_ms
FROM delivery
WHERE lane_id = ? AND sequence >= ? AND state = 'pending'
ORDER BY sequence
LIMIT ?
