-- The blocked lanes of a range of endpoints, from a place in that order on.
SELECT endpoint_id, id, ordering_key
FROM lane
WHERE blocked <> 0 AND (endpoint_id, id) > (?, ?) AND endpoint_id <= ?
ORDER BY endpoint_id, id
LIMIT ?
