-- Takes claims back in the transaction that made them: what the request names does not exist, so it was refused before
-- it began and its key stays free (docs/idempotency.md: what is refused before execution is not stored).
create or replace function idempotency_unclaim(claims jsonb) returns void
  language plpgsql
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
begin
  delete from idempotency_keys as taken
  using jsonb_to_recordset(claims) as claim (account_id uuid, livemode boolean, key text, request_id uuid)
  where taken.account_id = claim.account_id
    and taken.livemode = claim.livemode
    and taken.key = claim.key collate "C"
    and taken.request_id = claim.request_id;
end;
$$;
