-- Forgets some of what was done before a time.
DELETE FROM roombell_done WHERE (event_id, handler) IN (
    SELECT event_id, handler FROM roombell_done WHERE done_at_ms < :before_ms LIMIT :rows_max
)
