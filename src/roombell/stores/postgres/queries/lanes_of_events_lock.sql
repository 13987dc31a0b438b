-- Locks the lanes of some events, in the order of their ids.
SELECT lane.id
FROM roombell.lane
WHERE lane.id = ANY (ARRAY(SELECT lane_id FROM roombell.delivery WHERE delivery.event = ANY ($1::bigint[])))
ORDER BY lane.id
FOR UPDATE
