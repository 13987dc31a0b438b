-- What there is to move, and figures that change whenever somebody works on the store.
SELECT
    (SELECT store_id FROM store) AS store_id,
    (SELECT coalesce(max(id), 0) FROM endpoint) AS endpoint_number,
    (SELECT coalesce(max(id), 0) FROM event) AS event_number,
    (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'lane') AS lane_number,
    (SELECT count(*) FROM endpoint) AS endpoints,
    (SELECT count(*) FROM event) AS events,
    (SELECT count(*) FROM lane) AS lanes,
    (SELECT count(*) FROM delivery) AS deliveries,
    (SELECT count(*) FROM attempt) AS attempts,
    (SELECT count(*) FROM document) AS documents,
    (SELECT coalesce(sum(generation), 0) FROM lane) AS leases_given,
    (SELECT coalesce(sum(last_sequence), 0) FROM lane) AS numbers_given,
    (SELECT coalesce(sum(pending), 0) FROM lane) AS pending,
    (SELECT coalesce(sum(dead), 0) FROM endpoint) AS dead,
    (SELECT coalesce(sum(blocked), 0) FROM lane) AS blocked,
    (SELECT coalesce(max(changed_at_ms), 0) FROM endpoint) AS changed_at_ms,
    (SELECT coalesce(sum(version), 0) FROM document) AS document_versions
