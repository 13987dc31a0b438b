-- Every endpoint with its counts, its blocked lanes, and since when the oldest delivery in its unleased lanes is owed.
SELECT id, name, state, reason, changed_at_ms, pending, dead, health, (
    SELECT count(*) FROM lane WHERE endpoint_id = endpoint.id AND blocked <> 0
), (
    SELECT min(head_owed_since_ms) FROM lane
    WHERE endpoint_id = endpoint.id AND pending > 0 AND lease_owner IS NULL
)
FROM endpoint
ORDER BY id
