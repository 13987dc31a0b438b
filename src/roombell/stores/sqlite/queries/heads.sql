-- The pending deliveries of a lane from a sequence on, oldest first, with their events.
SELECT delivery.sequence, event.event_id, event.event_type, event.accepted_at_ms, delivery.attempts, event.body,
    delivery.strikes, delivery.owed_since_ms
FROM delivery
JOIN event ON event.id = delivery.event
WHERE delivery.lane_id = ? AND delivery.sequence >= ? AND delivery.state = 'pending'
ORDER BY delivery.sequence
LIMIT ?
