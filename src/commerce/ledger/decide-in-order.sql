-- The part of ledger_post() for batches in which one transfer may depend on another: limits, linked groups, a pending
-- and its resolution together, the same id or source twice, totals near the end of bigint. Goes through the batch in
-- order, with the accounts' totals as they would be, and gives the arrays back as they then stand. Reads and writes
-- no table.
create or replace function ledger_decide_in_order(
  batch ledger_posting[],
  inout words text[],
  inout debit_at integer[],
  inout credit_at integer[],
  inout amounts bigint[],
  inout moved bigint[],
  inout reserved bigint[],
  debits_pending bigint[],
  debits_posted bigint[],
  credits_pending bigint[],
  credits_posted bigint[],
  debits_limited boolean[],
  credits_limited boolean[],
  out accepted boolean[]
)
language plpgsql
set search_path = pg_catalog, public, pg_temp
as $$
declare
  largest constant numeric := 9223372036854775807;
  p ledger_posting;
  other ledger_posting;
  n integer := 0;
  k integer;
  d integer;
  c integer;
  word text;
  is_used boolean;
  -- Words that stood before anything was decided here: they say what the tables knew.
  known text[] := words;
  ids uuid[];
  pending_ids uuid[];
  source_ids uuid[];
  linked uuid;
  linked_from integer;
  linked_failed boolean := false;
  linked_before uuid[] := '{}';
begin
  select array_agg(b.id order by b.ordinality), array_agg(b.pending_id order by b.ordinality), array_agg(b.source_id order by b.ordinality)
  into ids, pending_ids, source_ids
  from unnest(batch) with ordinality b;
  accepted := array_fill(false, array[cardinality(batch)]);

  foreach p in array batch loop
    n := n + 1;
    -- The source is looked at last, as if each transfer had come alone.
    is_used := coalesce(known[n] = 'source_already_used', false);
    word := case when not is_used then known[n] end;

    if p.linked_id is distinct from linked then
      linked := p.linked_id;
      linked_from := n;
      linked_failed := false;
      if linked = any (linked_before) then
        word := coalesce(word, 'linked_not_together');
      end if;
      linked_before := linked_before || linked;
    end if;

    -- What an earlier transfer of this batch has done already.
    if word is null then
      foreach k in array array_positions(ids, p.id) loop
        exit when k >= n;
        other := batch[k];
        continue when other.account_id <> p.account_id or other.livemode <> p.livemode;
        if accepted[k] then
          other.item := p.item;
          word := case when other is not distinct from p then 'exists' else 'id_already_used' end;
        elsif words[k] in ('account_closed', 'exceeds_credits', 'exceeds_debits', 'pending_not_found', 'period_closed', 'total_too_large') then
          word := words[k];
        end if;
      end loop;
    end if;
    -- That it was resolved earlier in this batch outweighs what else is wrong with it, as it does across batches.
    if p.pending_id is not null and (
      word is null
      or word in ('currency_mismatch', 'exceeds_pending', 'pending_expired', 'account_closed', 'period_closed', 'source_already_used')
      or (word = 'amount_invalid' and p.amount >= 1)
    ) then
      foreach k in array array_positions(pending_ids, p.pending_id) loop
        exit when k >= n;
        other := batch[k];
        if accepted[k] and other.account_id = p.account_id and other.livemode = p.livemode then
          word := 'pending_already_resolved';
        end if;
      end loop;
    end if;

    -- A resolution whose pending no table knows: it must stand earlier in this batch.
    if word is null and debit_at[n] = 0 then
      word := 'pending_not_found';
      foreach k in array array_positions(ids, p.pending_id) loop
        exit when k >= n;
        other := batch[k];
        continue when not accepted[k] or other.kind <> 'pending' or other.account_id <> p.account_id or other.livemode <> p.livemode;
        debit_at[n] := debit_at[k];
        credit_at[n] := credit_at[k];
        word := case
          when p.currency <> other.currency then 'currency_mismatch'
          when p.amount > amounts[k] then 'exceeds_pending'
          when p.kind = 'void_pending' and p.amount < amounts[k] then 'amount_invalid'
          when p.kind = 'post_pending' and other.expires_at <= now() then 'pending_expired'
        end;
        amounts[n] := coalesce(p.amount, amounts[k])::bigint;
        moved[n] := case p.kind when 'post_pending' then amounts[n] else 0 end;
        reserved[n] := -amounts[k];
      end loop;
    end if;

    if word is null and is_used then
      word := 'source_already_used';
    end if;
    if word is null then
      foreach k in array array_positions(source_ids, p.source_id) loop
        exit when k >= n;
        other := batch[k];
        if accepted[k] and other.step = p.step and other.account_id = p.account_id and other.livemode = p.livemode then
          word := 'source_already_used';
        end if;
      end loop;
    end if;

    d := debit_at[n];
    c := credit_at[n];
    if word is null and p.pending_id is null then
      word := case
        when debits_limited[d] and debits_pending[d]::numeric + debits_posted[d] + amounts[n] > credits_posted[d] then 'exceeds_credits'
        when credits_limited[c] and credits_pending[c]::numeric + credits_posted[c] + amounts[n] > debits_posted[c] then 'exceeds_debits'
        when debits_pending[d]::numeric + debits_posted[d] + amounts[n] > largest then 'total_too_large'
        when credits_pending[c]::numeric + credits_posted[c] + amounts[n] > largest then 'total_too_large'
      end;
    end if;

    if linked_failed and word is null then
      word := 'linked_failed';
    end if;
    words[n] := word;
    if word is null then
      accepted[n] := true;
      debits_pending[d] := debits_pending[d] + reserved[n];
      debits_posted[d] := debits_posted[d] + moved[n];
      credits_pending[c] := credits_pending[c] + reserved[n];
      credits_posted[c] := credits_posted[c] + moved[n];
    elsif linked is not null and not linked_failed and word <> 'exists' then
      -- One of a group fails, so those before it are taken back: they stand together, nothing else came between.
      linked_failed := true;
      for k in linked_from..n - 1 loop
        if accepted[k] then
          accepted[k] := false;
          d := debit_at[k];
          c := credit_at[k];
          debits_pending[d] := debits_pending[d] - reserved[k];
          debits_posted[d] := debits_posted[d] - moved[k];
          credits_pending[c] := credits_pending[c] - reserved[k];
          credits_posted[c] := credits_posted[c] - moved[k];
        end if;
        if known[k] is null then
          words[k] := 'linked_failed';
        end if;
      end loop;
    end if;
  end loop;
end;
$$;
comment on function ledger_decide_in_order is 'Decides a batch whose transfers depend on one another, in order; used by ledger_post().';
revoke execute on function ledger_decide_in_order from public;
