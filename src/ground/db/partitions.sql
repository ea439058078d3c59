-- Creates the partitions, by uuid v7 range, of this period and the next ones; replaces the first one of migration 0004.
-- They are made in the schema of their table, by name: whoever maintains a table runs as its owner with pg_catalog first
-- in the search path, where nothing may be made. A period of which rows lie in the default partition already is left
-- there: PostgreSQL refuses to make a partition for them, and every start would fail at it. They came there because nobody
-- made partitions in time (the workers were off for long), or because a process whose clock is ahead made their ids.
create or replace function ensure_time_partitions(parent regclass, period text, ahead integer) returns void
  language plpgsql
as $$
declare
  starts timestamptz := date_trunc(period, now(), 'UTC');
  ends timestamptz;
  child text;
  schema name;
  stem name;
  key name;
  fallback regclass;
  is_there boolean;
begin
  if period not in ('day', 'month') then
    raise exception 'a partition covers a day or a month, not %', period;
  end if;
  select namespace.nspname, class.relname, attribute.attname, nullif(partitioned.partdefid, 0)::regclass
  into schema, stem, key, fallback
  from pg_partitioned_table as partitioned
  join pg_class as class on class.oid = partitioned.partrelid
  join pg_namespace as namespace on namespace.oid = class.relnamespace
  join pg_attribute as attribute
    on attribute.attrelid = partitioned.partrelid and attribute.attnum = partitioned.partattrs[0]
  where partitioned.partrelid = parent;
  for i in 0..ahead loop
    ends := (starts at time zone 'UTC' + ('1 ' || period)::interval) at time zone 'UTC';
    child := format('%I.%I', schema, stem || '_' || to_char(starts at time zone 'UTC', case period when 'day' then 'YYYYMMDD' else 'YYYYMM' end));
    is_there := to_regclass(child) is not null;
    if not is_there and fallback is not null then
      execute format('select exists (select from %s where %I >= %L and %I < %L)', fallback, key, uuid_floor(starts), key, uuid_floor(ends))
      into is_there;
    end if;
    if not is_there then
      execute format('create table %s partition of %s for values from (%L) to (%L)', child, parent, uuid_floor(starts), uuid_floor(ends));
    end if;
    starts := ends;
  end loop;
end;
$$;
