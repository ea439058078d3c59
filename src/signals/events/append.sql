-- Writes events in the caller's transaction: rows of the events table, as an array of composites.
create or replace function events_append(batch recorded_event[]) returns void
  -- PL/pgSQL keeps its plans; before PostgreSQL 18 a function in SQL is planned again at every call.
  language plpgsql
as $$
begin
  insert into events (account_id, livemode, id, type, object_id, object_version, request_id, body, created_at)
  select account_id, livemode, id, type, object_id, object_version, request_id, body, created_at
  from unnest(batch);
end;
$$;
