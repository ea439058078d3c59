-- What: request_logs, what was asked and what was answered, in daily partitions; written after the answer has left.
-- Breaking: no.

create table request_logs (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  method text not null,
  route text not null,
  path text not null,
  params text,
  status smallint not null,
  answer text,
  error_code text,
  api_key_id uuid not null,
  idempotency_key text,
  idempotency_outcome text constraint request_logs_outcome_is_known check (
    idempotency_outcome in ('first', 'replayed', 'conflict', 'in_progress', 'resumed')
  ),
  original_request_id uuid,
  differing_params jsonb,
  version text not null,
  ip inet,
  duration_ms real not null,
  created_at timestamptz not null,
  primary key (account_id, livemode, id)
    include (status, method, route, error_code, api_key_id, idempotency_outcome),
  constraint request_logs_only_conflicts_differ check (differing_params is null or idempotency_outcome = 'conflict')
) partition by range (id);

comment on table request_logs is 'Each request that named its account, and its answer, secrets masked. Written in batches after the answer has left, so the last second before a crash may be missing. Kept for BURSAR_REQUEST_LOG_DAYS in daily partitions. No foreign keys: nothing may wait for a log.';
comment on column request_logs.account_id is 'Whose key called.';
comment on column request_logs.livemode is 'In which of the account''s modes.';
comment on column request_logs.id is 'uuid v7; the Request-Id of the answer, req_… outside.';
comment on column request_logs.method is 'GET, POST or DELETE.';
comment on column request_logs.route is 'The endpoint''s path as it is declared: /v1/payment_intents/:id/confirm.';
comment on column request_logs.path is 'The path that was called, with the ids, without the query.';
comment on column request_logs.params is 'JSON text: the body of a write, the query of a read, secrets masked; a text with its beginning where it was too long. Null where none could be read.';
comment on column request_logs.status is 'HTTP status of the answer.';
comment on column request_logs.answer is 'JSON text of the answer, masked and cut like params. Null for reads of this log.';
comment on column request_logs.error_code is 'The error''s code; null for what went well.';
comment on column request_logs.api_key_id is 'Which key called; never the key.';
comment on column request_logs.idempotency_key is 'As it was sent; null for reads, and for writes without one.';
comment on column request_logs.idempotency_outcome is 'What the key made of the request: the first use, a replay, a conflict with another request, a twin still running, or one taken over from a runner that died. Null without a key.';
comment on column request_logs.original_request_id is 'The first use of the key, when this is not it.';
comment on column request_logs.differing_params is 'Of a conflict: the paths of the parameters in which it differs from the first use. Empty when the path or the kind of API key does.';
comment on column request_logs.version is 'The API version that answered.';
comment on column request_logs.ip is 'The caller''s address; of a browser (publishable key) its network alone (/24, /48).';
comment on column request_logs.duration_ms is 'From the parsed request to its answer.';
comment on column request_logs.created_at is 'The instant in the id: when the request arrived.';
comment on constraint request_logs_outcome_is_known on request_logs is 'The rate of conflicts is counted from it.';
comment on constraint request_logs_only_conflicts_differ on request_logs is 'Nothing else is compared.';

create table request_logs_default partition of request_logs default;
select ensure_time_partitions('request_logs', 'day', 7);

-- The primary key carries what lists filter by, so that any filter is answered by one index that every row is in anyway.
create index request_logs_failures on request_logs (account_id, livemode, id)
  include (status, method, route, error_code, api_key_id, idempotency_outcome)
  where status >= 400;
comment on index request_logs_failures is 'Failures are what is looked for and few among many: a list of them walks them alone.';
create index request_logs_by_idempotency_key on request_logs (account_id, livemode, idempotency_key, id)
  where idempotency_key is not null;
comment on index request_logs_by_idempotency_key is 'All uses of a key.';
create index request_logs_by_api_key on request_logs (account_id, livemode, api_key_id, id)
  include (status, method, route, error_code);
comment on index request_logs_by_api_key is 'What one API key asked, among the many requests of others: the first question when a client misbehaves.';

alter table request_logs enable row level security;
create policy tenant on request_logs to bursar_app
  using (account_id = current_setting('bursar.account_id')::uuid and livemode = current_setting('bursar.livemode')::boolean);
create policy system on request_logs to bursar_system using (true);
-- A tenant reads; the writer works across accounts. Nobody changes a row, and whole partitions are dropped by the owner.
grant select on request_logs to bursar_app;
grant select, insert on request_logs to bursar_system;
