-- Writes an endpoint's state down, and when it changed.
UPDATE endpoint
SET state = :state, reason = :reason, changed_at_ms = CASE state WHEN :state THEN changed_at_ms ELSE :now_ms END
WHERE id = :id
