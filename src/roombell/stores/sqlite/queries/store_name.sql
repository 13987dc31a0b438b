-- Names a new store.
INSERT INTO store (store_id) VALUES (?)
