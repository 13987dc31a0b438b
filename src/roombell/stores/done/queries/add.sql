-- One row where this handler has not done this event, none where it has. Of two that try at once the second waits for
-- the first to commit or to roll back.
INSERT INTO roombell_done (event_id, handler, done_at_ms) VALUES (:event_id, :handler, :done_at_ms)
ON CONFLICT DO NOTHING
