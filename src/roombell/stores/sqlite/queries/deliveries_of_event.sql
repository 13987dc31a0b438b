-- The deliveries of an event, and what to take off their endpoints' counts.
SELECT delivery.lane_id, lane.endpoint_id, delivery.state = 'dead'
FROM delivery
JOIN lane ON lane.id = delivery.lane_id
WHERE delivery.event = ?
