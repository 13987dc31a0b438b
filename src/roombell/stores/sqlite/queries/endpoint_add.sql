-- An endpoint that is listed, and active again if it was not.
INSERT INTO endpoint (name, state, reason, changed_at_ms)
VALUES (?, 'active', '', ?)
ON CONFLICT (name) DO UPDATE
SET state = 'active', reason = '', changed_at_ms = CASE state WHEN 'active' THEN changed_at_ms
    ELSE excluded.changed_at_ms END
