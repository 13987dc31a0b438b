-- Moves an endpoint's counts by what a transaction changed.
UPDATE endpoint SET pending = pending + ?, dead = dead + ? WHERE id = ?
