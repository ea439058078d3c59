-- Writes events in the caller's transaction; each element is a row of the events table.
create or replace function events_append(batch jsonb) returns void
  -- PL/pgSQL keeps its plans; before PostgreSQL 18 a function in SQL is planned again at every call.
  language plpgsql
as $$
begin
  insert into events (account_id, livemode, id, type, object_id, object_version, request_id, body, created_at)
  select account_id, livemode, id, type, object_id, object_version, request_id, body, created_at
  from jsonb_to_recordset(batch) as event (
    account_id uuid, livemode boolean, id uuid, type text, object_id uuid, object_version bigint,
    request_id uuid, body text, created_at timestamptz
  );
end;
$$;
