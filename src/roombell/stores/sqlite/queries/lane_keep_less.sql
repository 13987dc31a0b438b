-- A delivery of a lane was forgotten.
UPDATE lane SET kept = kept - 1 WHERE id = ?
