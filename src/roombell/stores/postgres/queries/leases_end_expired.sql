-- Ends leases that have run out. What another worker has locked is passed over.
UPDATE roombell.lane
SET lease_owner = NULL, recalled = 0
WHERE id = ANY (ARRAY(
    SELECT id
    FROM roombell.lane
    WHERE leased_until_ms <= $1
    ORDER BY leased_until_ms, id
    LIMIT $2
    FOR NO KEY UPDATE SKIP LOCKED
))
RETURNING id
