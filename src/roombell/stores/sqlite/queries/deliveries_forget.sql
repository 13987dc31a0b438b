-- Forgets all deliveries of an event.
DELETE FROM delivery WHERE event = ?
