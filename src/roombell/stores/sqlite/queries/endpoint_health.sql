-- Keeps what is known of an endpoint's health.
UPDATE endpoint SET health = ? WHERE id = ?
