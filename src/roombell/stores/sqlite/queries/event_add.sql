-- Keeps an event; nothing happens if its id is known. The rowid tells which, so this runs once for each event.
INSERT INTO event (event_id, event_type, ordering_key, room_name, accepted_at_ms, body)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (event_id) DO NOTHING
