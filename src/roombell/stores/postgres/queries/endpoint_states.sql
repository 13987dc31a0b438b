-- Every endpoint's state.
SELECT id, state FROM roombell.endpoint ORDER BY id
