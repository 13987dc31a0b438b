-- Events in the order of acceptance.
SELECT id, event_id, event_type, ordering_key, room_name, accepted_at_ms, body
FROM event
WHERE id > ?
ORDER BY id
LIMIT ?
