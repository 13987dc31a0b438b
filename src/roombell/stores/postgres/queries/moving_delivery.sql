-- Deliveries in the order of acceptance.
SELECT event, lane_id, sequence, owed_since_ms, state, attempts, strikes, reason, settled_at_ms
FROM roombell.delivery
WHERE (event, lane_id) > ($1, $2)
ORDER BY event, lane_id
LIMIT $3
