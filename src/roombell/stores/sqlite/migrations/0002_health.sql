-- strikes: those of a delivery's attempts that count towards giving up. What earlier versions recorded all counted.
ALTER TABLE delivery ADD COLUMN strikes INTEGER NOT NULL DEFAULT 0;
UPDATE delivery SET strikes = attempts WHERE state = 'pending' AND attempts > 0;

-- health: what is known of an endpoint's health, in words of the engine's own.
ALTER TABLE endpoint ADD COLUMN health BLOB NOT NULL DEFAULT x'';

-- A delivery can be made pending again. owed_since_ms: when it was accepted or, later, made pending again; its age is
-- counted from there. head_owed_since_ms: that of the oldest pending delivery; right while the lane is not leased.
ALTER TABLE delivery RENAME COLUMN accepted_at_ms TO owed_since_ms;
ALTER TABLE lane RENAME COLUMN head_accepted_at_ms TO head_owed_since_ms;

-- recalled: 0, or what may be under way in a lane whose lease ends with the next settlement.
ALTER TABLE lane ADD COLUMN recalled INTEGER NOT NULL DEFAULT 0;

-- What a person looks for, in the order of acceptance.
CREATE INDEX delivery_given_up ON delivery (event, lane_id) WHERE state IN ('dead', 'cancelled');

-- blocked: 0, or the sequence of the dead delivery that the lane waits for a decision about.
UPDATE lane SET blocked = coalesce((
    SELECT max(sequence) FROM delivery INDEXED BY delivery_given_up
    WHERE lane_id = lane.id AND state IN ('dead', 'cancelled') AND state = 'dead'
), 1)
WHERE blocked <> 0;

CREATE INDEX lane_blocked ON lane (endpoint_id, id) WHERE blocked <> 0;
