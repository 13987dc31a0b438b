-- Every endpoint that is not listed.
UPDATE roombell.endpoint
SET state = 'removed', reason = 'not listed', changed_at_ms = $2
WHERE id = ANY (ARRAY(
    SELECT id FROM roombell.endpoint
    WHERE name <> ALL ($1::text[]) AND state <> 'removed'
    ORDER BY name COLLATE "C"
    FOR NO KEY UPDATE
))
