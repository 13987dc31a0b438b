-- Events in the order of acceptance.
SELECT id, event_id, event_type, ordering_key, room_name, accepted_at_ms, body
FROM roombell.event
WHERE id > $1
ORDER BY id
LIMIT $2
