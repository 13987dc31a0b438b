-- The blocked lanes of a range of endpoints, from a place in that order on.
SELECT endpoint_id, id, ordering_key
FROM roombell.lane
WHERE blocked <> 0 AND (endpoint_id, id) > ($1, $2) AND endpoint_id <= $3
ORDER BY endpoint_id, id
LIMIT $4
