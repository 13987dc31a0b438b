-- Events accepted before a time, from a place in that order on, and whether each still owes a delivery. Those that
-- another worker forgets at this moment are passed over.
SELECT accepted_at_ms, id, EXISTS (
    SELECT FROM roombell.delivery WHERE delivery.event = event.id AND delivery.state = 'pending'
)
FROM roombell.event
WHERE (accepted_at_ms, id) > ($1, $2) AND accepted_at_ms < $3
ORDER BY accepted_at_ms, id
LIMIT $4
FOR UPDATE SKIP LOCKED
