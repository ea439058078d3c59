-- What: deliveries remember what they were before they were queued again, that somebody asked for a retry, and how their
-- last try ended; notices, replays and custom headers get what keeps them right after a crash and at rest.
-- Breaking: no.
alter table webhook_queue
  add column former jsonb,
  add column asked_at timestamptz,
  add column status_code smallint,
  add column failure text;
comment on column webhook_queue.former is 'What had become of it before it was queued again: status, tries, status_code, failure and finished_at of its row in webhook_deliveries, which it gets back when it is taken back. Null: it was never done.';
comment on column webhook_queue.asked_at is 'When somebody last asked for it to be sent now. A try that began before does not answer that: after one that failed it is due at once.';
comment on column webhook_queue.status_code is 'The answer''s of its last try; null when there was none.';
comment on column webhook_queue.failure is 'The class of its last try''s failure; null before the first.';
comment on column webhook_deliveries.status is 'succeeded; dead: its tries or its time ran out, it can be replayed; canceled: it was taken back before it was sent, with its endpoint or its replay.';

alter table webhook_endpoints
  add column noticed_by uuid,
  add column headers_sealed bytea;
comment on column webhook_endpoints.noticed_by is 'The attempt for which its account was last warned: a writing that is repeated, because its commit went unanswered, warns nobody twice.';
comment on column webhook_endpoints.headers is 'Names of the headers that are sent with each delivery, their values masked. Those of an endpoint that was last written before headers were sealed: the values themselves.';
comment on column webhook_endpoints.headers_sealed is 'The headers with their values, encrypted as signing secrets are; null: there are none, or they are in `headers` still.';

alter table webhook_replays
  add column worked_at timestamptz not null default now();
comment on column webhook_replays.worked_at is 'When its last page was done: one that runs and has not moved for long has lost its job, and gets another.';
create index webhook_replays_by_work on webhook_replays (worked_at) where status = 'running';
