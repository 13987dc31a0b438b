-- Who lives, in the order in which they joined.
SELECT owner, delivers, joined_at_ms FROM roombell.worker WHERE expires_at_ms > $1 ORDER BY id
