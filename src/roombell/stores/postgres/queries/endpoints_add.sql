-- Endpoints that are listed: active again if they were not, unless a person paused them.
INSERT INTO roombell.endpoint AS known (name, state, reason, changed_at_ms)
SELECT listed.name, 'active', '', $2
FROM unnest($1::text[]) AS listed (name)
ORDER BY listed.name COLLATE "C"
ON CONFLICT (name) DO UPDATE
SET state = 'active', reason = '', changed_at_ms = CASE known.state WHEN 'active' THEN known.changed_at_ms
    ELSE excluded.changed_at_ms END
WHERE known.state <> 'paused' AND (known.state <> 'active' OR known.reason <> '')
