-- Where an event stands in the order of acceptance.
SELECT id FROM roombell.event WHERE event_id = $1
