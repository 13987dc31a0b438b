-- Where a lane's pending deliveries begin, if it is still leased in that generation and not called back.
SELECT head_sequence FROM lane WHERE id = ? AND generation = ? AND lease_owner IS NOT NULL AND recalled = 0
