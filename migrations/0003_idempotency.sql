-- What: one row for each Idempotency-Key used: who runs it, until when, and the answer once there is one.
-- Breaking: no.

create table idempotency_keys (
  account_id uuid not null,
  livemode boolean not null,
  key text collate "C" not null,
  request_id uuid not null,
  route text not null,
  path text not null,
  fingerprint text not null,
  params text not null,
  subject_id uuid,
  recovery_point text,
  epoch integer not null default 1,
  lease_until timestamptz,
  takeovers integer not null default 0,
  status smallint,
  body text,
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  primary key (account_id, livemode, key),
  constraint idempotency_keys_key_has_a_length check (octet_length(key) between 1 and 255),
  constraint idempotency_keys_fingerprint_is_sha256 check (octet_length(fingerprint) = 64),
  constraint idempotency_keys_finished_means_answered check (
    (finished_at is null) = (status is null) and (finished_at is null) = (body is null)
  ),
  constraint idempotency_keys_unfinished_means_leased check ((finished_at is null) = (lease_until is not null)),
  constraint idempotency_keys_answer_is_final check (status between 200 and 499)
);
comment on table idempotency_keys is 'The first use of each Idempotency-Key, written in the transaction of its first effect and answered in that of its last. No foreign key to accounts: it would lock one account row at every payment.';
comment on column idempotency_keys.account_id is 'Whose key it is.';
comment on column idempotency_keys.livemode is 'In which of the account''s modes.';
comment on column idempotency_keys.key is 'The header''s value. Byte order, so that every writer locks keys in the same order.';
comment on column idempotency_keys.request_id is 'The first request, req_… outside: the answer''s Original-Request.';
comment on column idempotency_keys.route is 'Which endpoint it called, as it is declared: the completer finds the code by it.';
comment on column idempotency_keys.path is 'What it called, with the ids.';
comment on column idempotency_keys.fingerprint is 'sha-256 in hex of method, path and canonical body (RFC 8785), secret values replaced by keyed digests.';
comment on column idempotency_keys.params is 'That canonical body, so that a conflict can name what differs. No secret can be read from it.';
comment on column idempotency_keys.subject_id is 'What the endpoint''s resume needs to go on (an attempt, a refund); null for what is finished in one commit.';
comment on column idempotency_keys.recovery_point is 'The last phase that was committed.';
comment on column idempotency_keys.epoch is 'Counts the runners; a commit carries its runner''s number and an old one changes nothing.';
comment on column idempotency_keys.lease_until is 'Until then, by this database''s clock, nobody takes over. Null once finished.';
comment on column idempotency_keys.takeovers is 'How often a runner was replaced or failed: the wait before the next grows with it.';
comment on column idempotency_keys.status is 'HTTP status of the answer.';
comment on column idempotency_keys.body is 'The answer''s exact bytes; a JSON column would reorder its keys.';
comment on column idempotency_keys.created_at is 'When the key was claimed.';
comment on column idempotency_keys.finished_at is 'When the answer was stored; the row is kept 30 days from then.';
comment on constraint idempotency_keys_key_has_a_length on idempotency_keys is '1 to 255 characters, as documented.';
comment on constraint idempotency_keys_fingerprint_is_sha256 on idempotency_keys is 'Two requests are compared by it alone.';
comment on constraint idempotency_keys_finished_means_answered on idempotency_keys is 'A finished key without its answer could not be replayed.';
comment on constraint idempotency_keys_unfinished_means_leased on idempotency_keys is 'Without a lease nobody would ever pick the operation up.';
comment on constraint idempotency_keys_answer_is_final on idempotency_keys is 'A 5xx is never the answer of a key: the operation is driven to its real one.';

create index idempotency_keys_open on idempotency_keys (lease_until) where finished_at is null;
comment on index idempotency_keys_open is 'The completer''s: small, because nearly every key is finished.';
create index idempotency_keys_finished on idempotency_keys (finished_at) where finished_at is not null;
comment on index idempotency_keys_finished is 'The reaper''s: grows at one end and is emptied at the other.';

alter table idempotency_keys enable row level security;
create policy tenant on idempotency_keys to bursar_app
  using (account_id = current_setting('bursar.account_id')::uuid and livemode = current_setting('bursar.livemode')::boolean);
create policy system on idempotency_keys to bursar_system using (true);
-- Only the reaper deletes, and it runs as the system.
grant select, insert, update on idempotency_keys to bursar_app, bursar_system;
grant delete on idempotency_keys to bursar_system;
