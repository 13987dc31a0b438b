-- Endpoints that are listed: active again if they were not, unless a person paused them.
INSERT INTO roombell.endpoint AS known (name, state, reason, changed_at_ms)
SELECT listed.name, 'active', '', $2
FROM unnest($1::text[]) AS listed (name)
ORDER BY listed.name COLLATE "C"
ON CONFLICT (name) DO UPDATE
SET state = 'active', reason = '', changed_at_ms = excluded.changed_at_ms
WHERE known.state NOT IN ('paused', 'active')
