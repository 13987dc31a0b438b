-- A stretch of all deliveries in the order of acceptance, with their events and lanes.
SELECT delivery.event, delivery.lane_id, delivery.sequence, delivery.state, delivery.attempts, delivery.reason,
    delivery.settled_at_ms, event.event_id, event.event_type, event.room_name, event.accepted_at_ms, lane.endpoint_id,
    lane.ordering_key, lane.blocked
FROM delivery
CROSS JOIN event ON event.id = delivery.event
CROSS JOIN lane ON lane.id = delivery.lane_id
WHERE (delivery.event, delivery.lane_id) > (?, ?) AND delivery.event <= ?
ORDER BY delivery.event, delivery.lane_id
LIMIT ?
