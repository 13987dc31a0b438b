-- Documents, numbered in the order of their keys.
SELECT number, key, version, value
FROM (SELECT row_number() OVER (ORDER BY key) AS number, key, version, value FROM roombell.document) AS numbered
WHERE number > $1
ORDER BY number
LIMIT $2
