-- Whether an endpoint is sent to.
SELECT state = 'active' FROM endpoint WHERE id = ?
