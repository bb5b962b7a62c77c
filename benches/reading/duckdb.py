# Asks DuckDB what the daemon is asked too, of the daemon's own Parquet: name, tab, median in milliseconds.
# usage: duckdb.py FILE ROUNDS
import statistics
import sys
import time

import duckdb

events = f"read_parquet('{sys.argv[1]}')"
# Of each step, the next one of its kind; at the same time is next too.
step = "{before} asof left join (select * from e where kind = '{kind}') x on {before}.p = x.p and {at} <= x.t"
queries = {
    "counts by day and type": f"select date_trunc('day', time_insert) d, type, count(*) from {events} group by all",
    "top pages, 30 days": f"""
        select split_part(split_part(json_extract_string(hit, '$.url'), '?', 1), '#', 1) page, count(*) n,
               count(distinct session_id)
        from {events} group by page order by n desc limit 10""",
    "a funnel of four steps": f"""
        with e as (select profile_id p, type kind, time_insert t from {events}
                   where type in ('page-view', 'action-03', 'action-05')),
             a as (select p, t t1 from e where kind = 'page-view'),
             b as (select a.*, x.t t2 from {step.format(before="a", kind="action-03", at="a.t1")}),
             c as (select b.*, x.t t3 from {step.format(before="b", kind="action-05", at="b.t2")}),
             d as (select c.*, x.t t4 from {step.format(before="c", kind="page-view", at="c.t3")})
        select count(distinct p), count(distinct p) filter (t2 <= t1 + interval 1 day),
               count(distinct p) filter (t3 <= t1 + interval 1 day), count(distinct p) filter (t4 <= t1 + interval 1 day)
        from d""",
    "weekly retention": f"""
        with active as (select distinct profile_id p, date_trunc('week', time_insert) as monday from {events}),
             cohort as (select p, min(monday) as begun from active group by p)
        select begun, date_diff('week', begun, monday), count(*) from active join cohort using (p) group by all""",
}
database = duckdb.connect()
database.execute("set timezone = 'UTC'")
database.execute("set enable_progress_bar = false")
for name, query in queries.items():
    times = []
    for _ in range(int(sys.argv[2])):
        begun = time.perf_counter()
        database.execute(query).fetchall()
        times.append(time.perf_counter() - begun)
    print(f"{name}\t{statistics.median(times) * 1000:.2f}")
