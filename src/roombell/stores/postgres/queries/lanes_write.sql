-- What a hand made of locked lanes.
UPDATE roombell.lane
SET last_sequence = now.last_sequence, kept = now.kept, head_sequence = now.head_sequence,
    head_owed_since_ms = now.head_owed_since_ms, pending = now.pending, due_at_ms = now.due_at_ms,
    lease_owner = now.lease_owner, lease_expires_at_ms = now.lease_expires_at_ms, generation = now.generation,
    blocked = now.blocked, recalled = now.recalled
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[],
    $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[])
    AS now (last_sequence, kept, head_sequence, head_owed_since_ms, pending, due_at_ms, lease_owner,
        lease_expires_at_ms, generation, blocked, recalled, id)
WHERE lane.id = now.id
