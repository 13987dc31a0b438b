-- strikes: those of a delivery's attempts that count towards giving up. What earlier versions recorded all counted.
ALTER TABLE delivery ADD COLUMN strikes INTEGER NOT NULL DEFAULT 0;
UPDATE delivery SET strikes = attempts WHERE state = 'pending' AND attempts > 0;

-- health: what is known of an endpoint's health, in words of the engine's own.
ALTER TABLE endpoint ADD COLUMN health BLOB NOT NULL DEFAULT x'';
