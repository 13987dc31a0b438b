-- An endpoint that is listed: active again if it was not, unless a person paused it.
INSERT INTO endpoint (name, state, reason, changed_at_ms)
VALUES (?, 'active', '', ?)
ON CONFLICT (name) DO UPDATE
SET state = 'active', reason = '', changed_at_ms = CASE state WHEN 'active' THEN changed_at_ms
    ELSE excluded.changed_at_ms END
WHERE state <> 'paused'
