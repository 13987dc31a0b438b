-- Every endpoint with its counts, and when the oldest delivery in its unleased lanes was accepted.
SELECT id, name, state, reason, changed_at_ms, pending, dead, health, (
    SELECT min(head_accepted_at_ms) FROM lane
    WHERE endpoint_id = endpoint.id AND pending > 0 AND lease_owner IS NULL
)
FROM endpoint
ORDER BY id
