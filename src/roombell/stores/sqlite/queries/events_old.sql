-- Events accepted before a time, from a place in that order on, and whether each still owes a delivery.
SELECT accepted_at_ms, id, EXISTS (
    SELECT 1 FROM delivery WHERE event = event.id AND state = 'pending'
)
FROM event
WHERE (accepted_at_ms, id) > (?, ?) AND accepted_at_ms < ?
ORDER BY accepted_at_ms, id
LIMIT ?
