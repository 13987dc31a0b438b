-- When the first of an active endpoint's waiting lanes is due, some lanes left aside.
SELECT waiting_until_ms
FROM roombell.lane
WHERE endpoint_id = $1 AND waiting_until_ms IS NOT NULL AND id <> ALL ($2::bigint[])
    AND EXISTS (SELECT FROM roombell.endpoint WHERE endpoint.id = $1 AND endpoint.state = 'active')
ORDER BY endpoint_id, waiting_until_ms, id
LIMIT 1
