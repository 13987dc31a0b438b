-- Keeps events; nothing happens to those whose id is known. Numbers are given in the order of the batch, rows are made in
-- the order of ids: two workers that are given the same events wait for each other and never in a circle.
WITH given AS MATERIALIZED (
    SELECT nextval('roombell.event_number') AS id, one.*
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bytea[]) WITH ORDINALITY
        AS one (event_id, event_type, ordering_key, room_name, accepted_at_ms, body, place)
)
INSERT INTO roombell.event (id, event_id, event_type, ordering_key, room_name, accepted_at_ms, body)
SELECT id, event_id, event_type, ordering_key, room_name, accepted_at_ms, body
FROM given
ORDER BY event_id COLLATE "C", place
ON CONFLICT (event_id) DO NOTHING
RETURNING event_id, id
