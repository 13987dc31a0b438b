-- Forgets an event.
DELETE FROM event WHERE id = ?
