-- Takes pending deliveries out of their lanes without a worker: both are locked.
WITH ended AS (
    UPDATE roombell.delivery
    SET state = $3, reason = $4, settled_at_ms = $5
    FROM unnest($1::bigint[], $2::bigint[]) AS old (lane_id, sequence)
    WHERE delivery.lane_id = old.lane_id AND delivery.sequence = old.sequence AND delivery.state = 'pending'
    RETURNING delivery.lane_id, delivery.sequence
), shorter AS (
    SELECT lane_id, count(*) AS fewer, max(sequence) AS last FROM ended GROUP BY lane_id
), lane_now AS (
    UPDATE roombell.lane
    SET pending = pending - shorter.fewer, head_sequence = shorter.last + 1
    FROM shorter
    WHERE lane.id = shorter.lane_id
)
SELECT count(*) FROM ended
