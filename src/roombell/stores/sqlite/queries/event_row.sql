-- Where an event stands in the order of acceptance.
SELECT id FROM event WHERE event_id = ?
