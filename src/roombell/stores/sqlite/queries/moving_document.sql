-- Documents, numbered in the order of their keys as PostgreSQL keeps them.
SELECT number, key, version, value
FROM (SELECT row_number() OVER (ORDER BY kept(key)) AS number, key, version, value FROM document)
WHERE number > ?
ORDER BY number
LIMIT ?
