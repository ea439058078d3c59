-- What: accounts, the API keys that speak for them, and the people who sign in to the dashboard.
-- Breaking: no.

create table accounts (
  id uuid not null primary key,
  name text not null constraint accounts_name_has_a_length check (char_length(name) between 1 and 200),
  created_at timestamptz not null
);
comment on table accounts is 'The businesses that use this installation. An account has two modes, live and test, with nothing in common but the name.';
comment on column accounts.id is 'uuid v7; acct_… outside.';
comment on column accounts.name is 'Shown in the dashboard and on documents.';
comment on column accounts.created_at is 'The instant in the id, kept readable.';
comment on constraint accounts_name_has_a_length on accounts is 'An empty name shows as nothing; 200 characters is longer than any registered company name we print.';

create table api_keys (
  id uuid not null primary key,
  account_id uuid not null constraint api_keys_belong_to_an_account references accounts,
  livemode boolean not null,
  kind text not null constraint api_keys_kind_is_known check (kind in ('secret', 'restricted', 'publishable')),
  scopes text[] not null default '{}',
  hash bytea not null,
  hint text not null constraint api_keys_hint_gives_little_away check (char_length(hint) = 4),
  created_at timestamptz not null,
  expires_at timestamptz,
  revoked_at timestamptz,
  constraint api_keys_hash_is_unique unique (hash),
  constraint api_keys_hash_is_sha256 check (octet_length(hash) = 32),
  constraint api_keys_only_restricted_ones_have_scopes check ((kind = 'restricted') = (scopes <> '{}'))
);
comment on table api_keys is 'Who may call. The key itself is shown once and kept nowhere: it has more than 192 random bits, so a plain sha-256 cannot be guessed back and costs microseconds at every request.';
comment on column api_keys.id is 'uuid v7; key_… outside.';
comment on column api_keys.account_id is 'For whom the key speaks.';
comment on column api_keys.livemode is 'In which of the account''s modes; also told by the key''s prefix.';
comment on column api_keys.kind is 'secret: everything. restricted: its scopes. publishable: what a browser must do.';
comment on column api_keys.scopes is 'Of a restricted key: payment_intents:write, customers:read; write includes read.';
comment on column api_keys.hash is 'sha-256 of the whole key, by which it is found.';
comment on column api_keys.hint is 'Its last four characters, so that a person can tell keys apart.';
comment on column api_keys.created_at is 'The instant in the id, kept readable.';
comment on column api_keys.expires_at is 'From then on it is refused; null: never.';
comment on column api_keys.revoked_at is 'Since then it is refused; a revoked key is kept, because log lines name it.';
comment on constraint api_keys_belong_to_an_account on api_keys is 'A key of nobody would see nobody''s rows and fail in odd places.';
comment on constraint api_keys_kind_is_known on api_keys is 'An unknown kind would pass no check or every check.';
comment on constraint api_keys_hint_gives_little_away on api_keys is 'Four characters of thirty or more leave the rest unguessable.';
comment on constraint api_keys_hash_is_unique on api_keys is 'One key speaks for one account.';
comment on constraint api_keys_hash_is_sha256 on api_keys is 'Anything else here might be the key itself.';
comment on constraint api_keys_only_restricted_ones_have_scopes on api_keys is 'Scopes on another kind would look like limits and be none; a restricted key without any could do nothing.';
create index api_keys_by_account on api_keys (account_id, livemode, id);

create table users (
  id uuid not null primary key,
  account_id uuid not null constraint users_belong_to_an_account references accounts,
  email text not null constraint users_email_has_a_length check (char_length(email) between 3 and 320),
  password_hash text not null constraint users_password_is_hashed check (password_hash like '$argon2id$%'),
  created_at timestamptz not null
);
comment on table users is 'People who sign in to the dashboard. A person sees both modes of the account.';
comment on column users.id is 'uuid v7.';
comment on column users.account_id is 'Whose dashboard it is.';
comment on column users.email is 'As it was typed; compared without case.';
comment on column users.password_hash is 'argon2id with its parameters and salt, as the PHC string format writes it.';
comment on column users.created_at is 'The instant in the id, kept readable.';
comment on constraint users_belong_to_an_account on users is 'A user of nobody could sign in and see nothing.';
comment on constraint users_email_has_a_length on users is 'RFC 5321: 64 before the sign, 255 after it.';
comment on constraint users_password_is_hashed on users is 'A plain password can never be stored by mistake.';
create unique index users_email_is_unique on users (lower(email));
comment on index users_email_is_unique is 'Sign-in starts with the address alone, so it names one person in the whole installation.';

alter table accounts enable row level security;
create policy tenant on accounts to bursar_app
  using (id = current_setting('bursar.account_id')::uuid);
create policy system on accounts to bursar_system using (true);
alter table api_keys enable row level security;
create policy tenant on api_keys to bursar_app
  using (account_id = current_setting('bursar.account_id')::uuid and livemode = current_setting('bursar.livemode')::boolean);
create policy system on api_keys to bursar_system using (true);
alter table users enable row level security;
create policy tenant on users to bursar_app
  using (account_id = current_setting('bursar.account_id')::uuid);
create policy system on users to bursar_system using (true);

-- A tenant's transaction reads its account and nothing more here: keys and users are made by the system role alone.
grant select on accounts to bursar_app;
grant select, insert, update on accounts, api_keys, users to bursar_system;
