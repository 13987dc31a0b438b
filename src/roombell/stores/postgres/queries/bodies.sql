-- The bodies of some events.
SELECT id, body FROM roombell.event WHERE id = ANY ($1::bigint[])
