-- What: keeps the indexes that serve lists of ledger accounts out of the plans of postings.
-- Breaking: no.
--
-- Postings look accounts up by name, by one unique index. Lists got indexes that begin with the tenant (0007), and a
-- plan made while the table was small could take one of those: it then read all accounts of the tenant for each name,
-- until the next analyze. A condition that is always true, and that only lists state, keeps them to lists.
drop index ledger_accounts_by_code;
drop index ledger_accounts_by_currency;
drop index ledger_accounts_by_code_and_currency;
drop index ledger_accounts_by_owner;
create index ledger_accounts_by_code on ledger_accounts (account_id, livemode, code, id) where version > 0;
create index ledger_accounts_by_currency on ledger_accounts (account_id, livemode, currency, id) where version > 0;
create index ledger_accounts_by_code_and_currency on ledger_accounts (account_id, livemode, code, currency, id) where version > 0;
create index ledger_accounts_by_owner on ledger_accounts (account_id, livemode, owner_id, id) where version > 0;
comment on index ledger_accounts_by_code is 'Lists by code. The condition is always true: only lists state it, so that no posting is planned on it.';
comment on index ledger_accounts_by_currency is 'Lists by currency. Its condition is for lists alone, as that of ledger_accounts_by_code.';
comment on index ledger_accounts_by_code_and_currency is 'Lists by code and currency. Its condition is for lists alone, as that of ledger_accounts_by_code.';
comment on index ledger_accounts_by_owner is 'Lists by owner, who has a few. Its condition is for lists alone, as that of ledger_accounts_by_code.';
