-- What: what processors tell by themselves: each piece of news once, its body, the lanes it is worked off in, and how
-- far each processor's feed has been read.
-- Breaking: no.
--
-- No row here belongs to an account: whose news it is, only its handler finds out. So bursar_app sees none of it.

create table inbound_events (
  id uuid primary key,
  processor text collate "C" not null,
  event_id text collate "C" not null,
  type text not null,
  subject text collate "C" not null,
  source text not null constraint inbound_events_source_is_known check (source in ('webhook', 'feed')),
  status text not null default 'waiting' constraint inbound_events_status_is_known check (status in ('waiting', 'applied', 'already', 'ignored', 'dead')),
  tries integer not null default 0,
  due_at timestamptz default now(),
  reason text,
  received_at timestamptz not null,
  finished_at timestamptz,
  constraint inbound_events_are_kept_once unique (processor, event_id),
  constraint inbound_events_waiting_means_due check (
    (status = 'waiting') = (due_at is not null) and (status = 'waiting') = (finished_at is null)
  ),
  constraint inbound_events_dead_says_why check (status <> 'dead' or reason is not null)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
comment on table inbound_events is 'News from processors, one narrow row for each; the bodies are beside it. Not partitioned: what is unique must be unique for as long as anything is kept. At least 35 days.';
comment on column inbound_events.id is 'uuid v7; inb_… outside. Its instant is received_at.';
comment on column inbound_events.processor is 'Who told it: the connector''s name.';
comment on column inbound_events.event_id is 'The processor''s own id of it: the same however often, and by whichever way, it is told.';
comment on column inbound_events.type is 'In the processor''s words; for people, nothing is decided by it.';
comment on column inbound_events.subject is 'What it is about: news of one subject is taken in turn.';
comment on column inbound_events.source is 'How it came first: webhook, or read from the processor''s feed because the webhook did not come.';
comment on column inbound_events.tries is 'How often the handler was asked, since it came or was last replayed.';
comment on column inbound_events.due_at is 'When it may be tried (again). News that failed waits by itself: later news of its subject passes it.';
comment on column inbound_events.reason is 'Why the last try failed. No body and no secret is in it.';
comment on column inbound_events.finished_at is 'When it stopped waiting.';
comment on constraint inbound_events_are_kept_once on inbound_events is 'A storm of duplicates is one row and one application.';
create index inbound_events_waiting on inbound_events (processor, subject, id) where status = 'waiting';
comment on index inbound_events_waiting is 'The lanes'' queues: small, because nearly all news is done.';
create index inbound_events_dead on inbound_events (id) where status = 'dead';
comment on index inbound_events_dead is 'The dead letters: as a rule none.';

create table inbound_bodies (
  id uuid not null,
  body text not null,
  primary key (id)
) partition by range (id);
comment on table inbound_bodies is 'The exact text that was signed, or read from the feed. May hold personal data: in daily partitions, dropped whole after 35 days.';
comment on column inbound_bodies.id is 'The event''s.';
comment on column inbound_bodies.body is 'JSON in UTF-8, byte for byte as it came; a JSON column would reorder its keys.';
create table inbound_bodies_default partition of inbound_bodies default;
select ensure_time_partitions('inbound_bodies', 'day', 7);

create table inbound_lanes (
  processor text collate "C" not null,
  subject text collate "C" not null,
  due_at timestamptz not null default now(),
  leased_until timestamptz,
  epoch bigint not null default 0,
  ready_at timestamptz not null generated always as (greatest(due_at, leased_until)) stored,
  primary key (processor, subject)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
comment on table inbound_lanes is 'A lane for each subject that news waits about. One worker at a time; it is gone when nothing waits.';
comment on column inbound_lanes.due_at is 'When its first news is due.';
comment on column inbound_lanes.leased_until is 'Until then, by this database''s clock, nobody takes over.';
comment on column inbound_lanes.epoch is 'Who holds it: a number never given twice, also not to a later lane of the same subject. What carries another one changes nothing.';
comment on column inbound_lanes.ready_at is 'From then on it may be taken.';
create index inbound_lanes_ready on inbound_lanes (ready_at);
create sequence inbound_epochs;
comment on sequence inbound_epochs is 'Numbers the leases of all lanes.';

create table inbound_feeds (
  processor text primary key,
  cursor text,
  moved_at timestamptz,
  complete_at timestamptz not null default now(),
  failures integer not null default 0,
  reason text
);
comment on table inbound_feeds is 'How far each processor''s own feed of events has been read.';
comment on column inbound_feeds.cursor is 'In the processor''s words; moved in the transaction that keeps what was read. Null: from the start.';
comment on column inbound_feeds.moved_at is 'When it last moved.';
comment on column inbound_feeds.complete_at is 'When there was last nothing left to read; before that, when reading began.';
comment on column inbound_feeds.failures is 'Runs in a row that ended before the end of the feed because the processor did not answer.';
comment on column inbound_feeds.reason is 'Why the last one did.';

grant select, insert, update, delete on inbound_events, inbound_lanes, inbound_feeds to bursar_system;
grant select, insert on inbound_bodies to bursar_system;
grant usage on sequence inbound_epochs to bursar_system;
