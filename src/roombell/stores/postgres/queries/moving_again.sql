-- Empties what an earlier move of the same store left, when that store has changed since.
TRUNCATE roombell.endpoint, roombell.endpoint_count, roombell.event, roombell.lane, roombell.delivery,
    roombell.attempt, roombell.document
