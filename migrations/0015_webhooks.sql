-- What: the stream of events and its consumers; webhook endpoints, their secrets, lanes and queue; deliveries, attempts
-- and replays.
-- Breaking: no. Indexes the events that are kept, which writers of events wait for.

-- The stream. Events are read between two snapshots: what the later one sees and the earlier one did not
-- (docs/decisions/0026-stream-between-snapshots.md).
create index events_stream on events (committed_in, id);
comment on index events_stream is 'The stream''s order. Grows at one end.';

create table event_consumers (
  name text primary key,
  seen pg_snapshot not null,
  until pg_snapshot,
  after_xid xid8,
  after_id uuid,
  moved_at timestamptz not null default now(),
  failures integer not null default 0,
  reason text,
  retry_at timestamptz,
  constraint event_consumers_position_is_whole check ((after_xid is null) = (after_id is null) and (after_xid is null or until is not null))
) with (fillfactor = 50);
comment on table event_consumers is 'How far each consumer has read the stream of events; moved in the transaction of what it did.';
comment on column event_consumers.name is 'As it is registered in src/reactions.ts.';
comment on column event_consumers.seen is 'All that this snapshot saw has been handled.';
comment on column event_consumers.until is 'What is being read: all that this snapshot sees, too. Null between two batches.';
comment on column event_consumers.after_xid is 'Of what is being read, how far: the transaction of the last event handled.';
comment on column event_consumers.after_id is 'And its id.';
comment on column event_consumers.moved_at is 'When it last moved.';
comment on column event_consumers.failures is 'Times in a row that its handler failed; the wait before the next grows with it.';
comment on column event_consumers.reason is 'Why it failed last.';
comment on column event_consumers.retry_at is 'After a failure nobody tries before, in whatever process; null when it did not fail.';
comment on constraint event_consumers_position_is_whole on event_consumers is 'A place in the stream is both, and lies in what is being read.';
grant select, insert, update, delete on event_consumers to bursar_system;

create table event_consumer_objects (
  account_id uuid not null,
  livemode boolean not null,
  consumer text not null,
  object_id uuid not null,
  version bigint not null,
  as_of timestamptz not null,
  primary key (account_id, livemode, consumer, object_id)
) with (fillfactor = 70);
comment on table event_consumer_objects is 'Which version of an object a consumer has applied, for those that apply only newer ones. Forgotten when the object was quiet for as long as events are kept.';
comment on column event_consumer_objects.consumer is 'Its name. No foreign key: it would lock the consumer''s row once for each event.';
comment on column event_consumer_objects.version is 'The newest that was applied; older ones are dropped, the next one is applied, one beyond that waits for those between.';
comment on column event_consumer_objects.as_of is 'When the event of that version was made.';

create table event_consumer_parked (
  account_id uuid not null,
  livemode boolean not null,
  consumer text not null,
  object_id uuid not null,
  version bigint not null,
  event_id uuid not null,
  due_at timestamptz not null,
  primary key (account_id, livemode, consumer, object_id, version)
);
comment on table event_consumer_parked is 'Events that came before the one before them, waiting for it.';
comment on column event_consumer_parked.version is 'The object''s, of which an earlier one is missing.';
comment on column event_consumer_parked.event_id is 'The event, which is in events.';
comment on column event_consumer_parked.due_at is 'From then on nobody waits for what is missing: the object''s current state is fetched instead.';
create index event_consumer_parked_due on event_consumer_parked (consumer, due_at);

create table webhook_endpoints (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  url text not null,
  description text,
  status text not null default 'enabled' constraint webhook_endpoints_status_is_known check (status in ('enabled', 'disabled')),
  disabled_reason text constraint webhook_endpoints_reason_is_known check (disabled_reason in ('requested', 'gone', 'failing')),
  event_types text[] not null,
  payload text not null constraint webhook_endpoints_payload_is_known check (payload in ('snapshot', 'thin')),
  signature text not null constraint webhook_endpoints_signature_is_known check (signature in ('bursar', 'standard', 'standard_ed25519')),
  max_per_second integer,
  max_concurrency integer not null,
  retry_schedule integer[],
  headers jsonb not null default '{}',
  notification_email text,
  metadata jsonb not null default '{}',
  version bigint not null default 1,
  created_at timestamptz not null,
  deleted_at timestamptz,
  primary key (account_id, livemode, id),
  constraint webhook_endpoints_disabled_says_why check ((status = 'disabled') = (disabled_reason is not null)),
  constraint webhook_endpoints_deleted_is_disabled check (deleted_at is null or status = 'disabled')
);
comment on table webhook_endpoints is 'Where an account wants its events sent, which, and how.';
comment on column webhook_endpoints.account_id is 'Whose it is.';
comment on column webhook_endpoints.livemode is 'Of which mode it gets the events.';
comment on column webhook_endpoints.id is 'uuid v7; we_… outside.';
comment on column webhook_endpoints.url is 'https; in test mode http too. No credentials in it.';
comment on column webhook_endpoints.disabled_reason is 'requested: by the account; gone: it answered 410; failing: nothing succeeded for days.';
comment on column webhook_endpoints.event_types is '*, resource.* or exact types; an event is sent when any fits.';
comment on column webhook_endpoints.payload is 'snapshot: the event as it is kept; thin: without its data, to be fetched.';
comment on column webhook_endpoints.signature is 'Which headers prove where a delivery comes from.';
comment on column webhook_endpoints.max_per_second is 'Deliveries a second at most; null: no cap but concurrency.';
comment on column webhook_endpoints.max_concurrency is 'Deliveries under way at once at most. 1: strictly one after the other.';
comment on column webhook_endpoints.retry_schedule is 'Seconds before each try, the first being the wait before the first; null: the schedule of Bursar.';
comment on column webhook_endpoints.headers is 'Sent with each delivery. Values may be secrets: they are masked wherever they are shown.';
comment on column webhook_endpoints.deleted_at is 'It is gone for everybody; the row stays until what waited for it is canceled, a page at a time.';
comment on column webhook_endpoints.notification_email is 'Who is told before and when the endpoint is disabled; null: the events alone tell.';

create table webhook_secrets (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  endpoint_id uuid not null,
  kind text not null constraint webhook_secrets_kind_is_known check (kind in ('hmac', 'ed25519')),
  sealed bytea not null,
  public_key text,
  expires_at timestamptz,
  primary key (account_id, livemode, id),
  foreign key (account_id, livemode, endpoint_id) references webhook_endpoints on delete cascade,
  constraint webhook_secrets_ed25519_has_a_public_key check ((kind = 'ed25519') = (public_key is not null))
);
comment on table webhook_secrets is 'What deliveries are signed with. An endpoint has one without an end; those that were rotated out sign along until theirs.';
comment on column webhook_secrets.sealed is 'Encrypted (AES-256-GCM) under a key that is derived from the installation''s: a copy of the database signs nothing.';
comment on column webhook_secrets.public_key is 'Of ed25519 what verifies, whpk_…; no secret.';
comment on column webhook_secrets.expires_at is 'Until when it signs along; null: it is the current one.';
create unique index webhook_secrets_current on webhook_secrets (account_id, livemode, endpoint_id) where expires_at is null;
comment on index webhook_secrets_current is 'One current secret each.';
create index webhook_secrets_by_endpoint on webhook_secrets (account_id, livemode, endpoint_id, id);

-- The engine. One lane for each endpoint (docs/decisions/0025-lanes.md).
create sequence webhook_epochs;
comment on sequence webhook_epochs is 'Numbers the leases of all lanes.';

create table webhook_lanes (
  account_id uuid not null,
  livemode boolean not null,
  endpoint_id uuid not null,
  due_at timestamptz not null default 'infinity',
  blocked_until timestamptz not null default '-infinity',
  leased_until timestamptz not null default '-infinity',
  epoch bigint not null default 0,
  state jsonb not null default '{}',
  ready_at timestamptz not null generated always as (greatest(due_at, blocked_until, leased_until)) stored,
  primary key (account_id, livemode, endpoint_id),
  foreign key (account_id, livemode, endpoint_id) references webhook_endpoints on delete cascade
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);
comment on table webhook_lanes is 'An endpoint''s queue as one row: when something of it may be sent, and who is sending. A slow, dead or flooding endpoint is one row''s business and delays no other.';
comment on column webhook_lanes.due_at is 'When the first of its queue is due; infinity when nothing waits.';
comment on column webhook_lanes.blocked_until is 'Nothing is sent before: its breaker is open, it asked for less, its rate is used up. infinity: it is disabled.';
comment on column webhook_lanes.leased_until is 'Until then, by this database''s clock, nobody else takes over.';
comment on column webhook_lanes.epoch is 'Who holds it: a number never given twice. What carries another one changes nothing.';
comment on column webhook_lanes.state is 'Breaker, slow start, tokens and health, as the holder last left them; decided in src/signals/webhooks, shaped by its types.';
comment on column webhook_lanes.ready_at is 'From then on it may be taken.';
create index webhook_lanes_ready on webhook_lanes (ready_at);

create table webhook_queue (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  endpoint_id uuid not null,
  event_id uuid not null,
  event_type text not null,
  priority smallint not null,
  tries smallint not null default 0,
  attempts smallint not null default 0,
  due_at timestamptz not null,
  queued_at timestamptz not null default now(),
  replay_id uuid,
  primary key (account_id, livemode, id),
  constraint webhook_queue_priority_is_known check (priority in (0, 1))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
comment on table webhook_queue is 'Deliveries that are not done. A row leaves when it is: what became of it is in webhook_deliveries. No foreign key: it would lock the endpoint''s row once for each event; a deleted endpoint stays until what waited for it is canceled.';
comment on column webhook_queue.id is 'del_… outside: made from the event and the endpoint by webhook_delivery_id, so that one event is one delivery to an endpoint, however often it is queued.';
comment on column webhook_queue.event_type is 'The event''s, for lists.';
comment on column webhook_queue.priority is '0: it happened; 1: it is replayed, and waits for what happens.';
comment on column webhook_queue.tries is 'Tries that count; one that was our own fault, or held back by the endpoint (429), does not.';
comment on column webhook_queue.attempts is 'All tries, also those that do not count: the number of its last attempt.';
comment on column webhook_queue.due_at is 'When it may be tried (again).';
comment on column webhook_queue.queued_at is 'Since when it waits: what is too old is given up.';
comment on column webhook_queue.replay_id is 'The replay that queued it.';
create index webhook_queue_by_lane on webhook_queue (account_id, livemode, endpoint_id, priority, due_at, id) where priority >= 0;
comment on index webhook_queue_by_lane is 'The top of a lane is read from one end of it. The condition is always true: only who reads a lane states it, so that no single delivery is looked for in here.';

create table webhook_deliveries (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  endpoint_id uuid not null,
  event_id uuid not null,
  event_type text not null,
  status text not null constraint webhook_deliveries_status_is_known check (status in ('succeeded', 'dead', 'canceled')),
  tries smallint not null,
  status_code smallint,
  failure text,
  finished_at timestamptz not null,
  primary key (account_id, livemode, id)
) partition by range (id);
comment on table webhook_deliveries is 'What became of each delivery. In daily partitions, dropped with the events. No foreign keys: an endpoint goes, its past stays.';
comment on column webhook_deliveries.id is 'As in webhook_queue; its instant is the event''s.';
comment on column webhook_deliveries.status is 'succeeded; dead: its tries or its time ran out, it can be replayed; canceled: its endpoint was deleted or disabled.';
comment on column webhook_deliveries.tries is 'Tries that counted.';
comment on column webhook_deliveries.status_code is 'The last answer''s; null when there was none.';
comment on column webhook_deliveries.failure is 'The class of the last failure, null after a success.';
create table webhook_deliveries_default partition of webhook_deliveries default;
select ensure_time_partitions('webhook_deliveries', 'day', 7);
-- None begins with the tenant: a single delivery, which is looked for by its whole key, can be found by the primary key
-- alone, whatever the planner takes a partition of today for.
create index webhook_deliveries_by_endpoint on webhook_deliveries (endpoint_id, account_id, livemode, id) include (status);
create index webhook_deliveries_by_type on webhook_deliveries (event_type, account_id, livemode, id);
create index webhook_deliveries_undelivered on webhook_deliveries (status, account_id, livemode, id) include (endpoint_id)
  where status <> 'succeeded';
comment on index webhook_deliveries_undelivered is 'The dead letters: few among many.';
create index webhook_deliveries_undelivered_by_endpoint on webhook_deliveries (endpoint_id, status, account_id, livemode, id)
  where status <> 'succeeded';
comment on index webhook_deliveries_undelivered_by_endpoint is 'The dead letters of one endpoint, among those of others and among what it got.';

create table webhook_attempts (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  delivery_id uuid not null,
  endpoint_id uuid not null,
  number smallint not null,
  is_counted boolean not null,
  status_code smallint,
  failure text,
  message text,
  address text,
  is_reused boolean,
  dns_ms real,
  connect_ms real,
  tls_ms real,
  wait_ms real,
  duration_ms real not null,
  response text,
  is_response_cut boolean not null default false,
  retry_at timestamptz,
  primary key (account_id, livemode, id)
) partition by range (id);
comment on table webhook_attempts is 'Every try of a delivery. In daily partitions, dropped after 30 days.';
comment on column webhook_attempts.id is 'uuid v7; wat_… outside. Its instant is when the try began.';
comment on column webhook_attempts.number is 'The how manieth try of its delivery, also those that did not count.';
comment on column webhook_attempts.is_counted is 'Whether it used up one of the delivery''s tries.';
comment on column webhook_attempts.status_code is 'The answer''s; null when there was none.';
comment on column webhook_attempts.failure is 'Its class, null after a success: dns, connect, tls, timeout, protocol, rejected, failed, throttled, gone, redirected, blocked, payload, expired.';
comment on column webhook_attempts.message is 'A sentence about the failure for the receiver''s people.';
comment on column webhook_attempts.address is 'The address that was dialled.';
comment on column webhook_attempts.is_reused is 'Whether the connection was there already; null when none was made.';
comment on column webhook_attempts.dns_ms is 'How long each phase took; null for phases that were not reached or not needed.';
comment on column webhook_attempts.wait_ms is 'From the request''s last byte to the answer''s first.';
comment on column webhook_attempts.duration_ms is 'From the beginning to the end.';
comment on column webhook_attempts.response is 'The beginning of the answer''s body.';
comment on column webhook_attempts.retry_at is 'When it is tried again; null when it is not.';
create table webhook_attempts_default partition of webhook_attempts default;
select ensure_time_partitions('webhook_attempts', 'day', 7);
create index webhook_attempts_by_delivery on webhook_attempts (account_id, livemode, delivery_id, id);

create table webhook_replays (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  endpoint_id uuid not null,
  event_types text[] not null,
  delivery_status text not null constraint webhook_replays_delivery_status_is_known check (delivery_status in ('any', 'undelivered', 'dead', 'canceled', 'succeeded')),
  created_from timestamptz not null,
  created_before timestamptz not null,
  status text not null default 'running' constraint webhook_replays_status_is_known check (status in ('running', 'succeeded', 'canceled')),
  after_id uuid,
  examined bigint not null default 0,
  queued bigint not null default 0,
  version bigint not null default 1,
  created_at timestamptz not null,
  finished_at timestamptz,
  primary key (account_id, livemode, id),
  foreign key (account_id, livemode, endpoint_id) references webhook_endpoints on delete cascade,
  constraint webhook_replays_range_is_forward check (created_from < created_before),
  constraint webhook_replays_running_is_open check ((status = 'running') = (finished_at is null))
);
comment on table webhook_replays is 'Requests to send past events (again): worked off in the background, a page at a time, from where it stood.';
comment on column webhook_replays.id is 'uuid v7; wrp_… outside.';
comment on column webhook_replays.event_types is 'As an endpoint''s: which events.';
comment on column webhook_replays.delivery_status is 'Which by what became of them; undelivered: all that did not succeed, those never queued for this endpoint among them. What is waiting to be sent is never queued again.';
comment on column webhook_replays.created_from is 'Events from then on …';
comment on column webhook_replays.created_before is '… up to, and without, then.';
comment on column webhook_replays.after_id is 'The last event examined.';
create index webhook_replays_by_endpoint on webhook_replays (account_id, livemode, endpoint_id, id);
create unique index webhook_replays_running on webhook_replays (account_id, livemode, endpoint_id) where status = 'running';
comment on index webhook_replays_running is 'One at a time for an endpoint: two would queue the same events for it.';

-- uuid v7 in shape: the event's instant, and a digest of both ids in place of the random bits.
create function webhook_delivery_id(event uuid, endpoint uuid) returns uuid
  language sql immutable strict parallel safe
  return (
    left(replace(event::text, '-', ''), 12) || '7'
    || substr(md5(event::text || endpoint::text), 1, 3) || '8'
    || substr(md5(event::text || endpoint::text), 4, 15)
  )::uuid;
comment on function webhook_delivery_id(uuid, uuid) is 'The id of the delivery of an event to an endpoint: always the same, and in the partition of the event''s day.';

do $$
declare
  target text;
begin
  foreach target in array array[
    'event_consumer_objects', 'event_consumer_parked', 'webhook_endpoints', 'webhook_secrets', 'webhook_lanes', 'webhook_queue', 'webhook_deliveries', 'webhook_attempts', 'webhook_replays'
  ] loop
    execute format('alter table %I enable row level security', target);
    execute format(
      'create policy tenant on %I to bursar_app using (account_id = current_setting(''bursar.account_id'')::uuid and livemode = current_setting(''bursar.livemode'')::boolean)',
      target
    );
    execute format('create policy system on %I to bursar_system using (true)', target);
    execute format('grant select, insert, update, delete on %I to bursar_system', target);
    execute format('grant select on %I to bursar_app', target);
  end loop;
end;
$$;
grant insert, update, delete on webhook_endpoints, webhook_secrets, webhook_queue, webhook_replays to bursar_app;
-- A lane is made with its endpoint, woken by what is queued and blocked when its endpoint is disabled.
grant insert, update on webhook_lanes to bursar_app;
-- A delivery that is canceled with its endpoint is recorded by whoever does it, and one that is sent again goes back.
grant insert, update, delete on webhook_deliveries to bursar_app;
grant usage on sequence webhook_epochs to bursar_system;
