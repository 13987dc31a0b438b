-- Endpoints with what they are owed, in the order of their numbers.
SELECT id, name, state, reason, changed_at_ms, health, pending, dead
FROM endpoint
WHERE id > ?
ORDER BY id
LIMIT ?
