-- What workers must agree on about endpoints.
SELECT id, state, health FROM roombell.endpoint ORDER BY id
