-- Keeps what is known of an endpoint's health.
UPDATE roombell.endpoint SET health = $2 WHERE id = $1 RETURNING id
