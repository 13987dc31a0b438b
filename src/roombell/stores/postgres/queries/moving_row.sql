-- Which store is moved here, and how far it is.
SELECT store_id, fingerprint, part, place, rows FROM roombell.moving FOR UPDATE
