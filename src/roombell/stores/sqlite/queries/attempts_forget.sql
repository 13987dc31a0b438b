-- Forgets the attempts at all deliveries of an event.
DELETE FROM attempt WHERE event = ?
