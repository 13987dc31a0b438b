-- What the store was named when it was made.
SELECT store_id FROM store
