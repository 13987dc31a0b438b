-- A stretch of the dead and cancelled deliveries in the order of acceptance, with their events and lanes.
SELECT delivery.event, delivery.lane_id, delivery.sequence, delivery.state, delivery.attempts, delivery.reason,
    delivery.settled_at_ms, event.event_id, event.event_type, event.room_name, event.accepted_at_ms, lane.endpoint_id,
    lane.ordering_key, lane.blocked
FROM (
    SELECT event, lane_id, sequence, state, attempts, reason, settled_at_ms
    FROM roombell.delivery
    WHERE (event, lane_id) > ($1, $2) AND event <= $3 AND state IN ('dead', 'cancelled')
    ORDER BY event, lane_id
    LIMIT $4
) AS delivery
JOIN roombell.event ON event.id = delivery.event
JOIN roombell.lane ON lane.id = delivery.lane_id
ORDER BY delivery.event, delivery.lane_id
