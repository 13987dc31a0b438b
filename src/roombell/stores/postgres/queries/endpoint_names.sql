-- The endpoints' names, for a person to read.
SELECT id, name FROM roombell.endpoint
