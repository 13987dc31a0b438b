-- Forgets locked events that owe nothing, with their deliveries and attempts, and tells their lanes how much less they
-- keep. What was forgotten: events, and the dead deliveries by endpoint.
WITH settled AS MATERIALIZED (
    SELECT id
    FROM unnest($1::bigint[]) AS old (id)
    WHERE NOT EXISTS (SELECT FROM roombell.delivery WHERE delivery.event = old.id AND delivery.state = 'pending')
), attempts AS (
    DELETE FROM roombell.attempt WHERE attempt.event = ANY (ARRAY(SELECT id FROM settled))
), deliveries AS (
    DELETE FROM roombell.delivery WHERE delivery.event = ANY (ARRAY(SELECT id FROM settled))
    RETURNING delivery.lane_id, delivery.state
), less AS (
    SELECT lane_id, count(*) AS fewer, count(*) FILTER (WHERE state = 'dead') AS dead
    FROM deliveries
    GROUP BY lane_id
), lane_now AS (
    UPDATE roombell.lane
    SET kept = kept - less.fewer
    FROM less
    WHERE lane.id = less.lane_id
    RETURNING lane.id, lane.endpoint_id, less.dead
), events AS (
    DELETE FROM roombell.event WHERE event.id = ANY (ARRAY(SELECT id FROM settled))
    RETURNING 1
)
SELECT NULL::bigint AS endpoint_id, (SELECT count(*) FROM events) AS forgotten
UNION ALL
SELECT endpoint_id, sum(dead)::bigint FROM lane_now GROUP BY endpoint_id HAVING sum(dead) > 0
ORDER BY endpoint_id NULLS FIRST
