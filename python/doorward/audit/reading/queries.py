"""The report's questions, in SQL. Nothing of a caller's is ever part of a query: values are parameters or columns."""

from __future__ import annotations

from typing import Final

__all__ = ["ANSWERS", "CALLERS", "COLUMNS", "LINES", "LOOPS", "SERIES", "TABLES", "TOTALS", "UNREADABLE"]

COLUMNS: Final = {
    **dict.fromkeys(("event", "timestamp", "request_id", "issuer", "client_id", "subject", "method"), "VARCHAR"),
    **dict.fromkeys(("http_method", "tool_name", "arguments_hash", "result", "instance"), "VARCHAR"),
    "verified": "BOOLEAN",
    "retry_after_ms": "BIGINT",
    "latency_ms": "DOUBLE",
    "sequence": "BIGINT",
}

LINES: Final = """
create temp table lines as
select
    event,
    request_id,
    issuer,
    case when verified then coalesce(client_id, subject, '?') else '(not verified)' end as client,
    coalesce(tool_name, method, http_method, '-') as tool,
    moment,
    try(moment + to_milliseconds(retry_after_ms)) as back_at,
    starts_with(result, 'denied') as denied,
    case when result in ('success', 'tool_error', 'tool_failure', 'error', 'cancelled') and isfinite(latency_ms)
        then latency_ms end as latency,
    result,
    -- A question and the call that it was about are not the same call twice.
    case when result <> 'asked' then try(unhex(split_part(arguments_hash, ':', 2))) end as arguments,
    starts_with(arguments_hash, 'hmac') as keyed,
    verified, instance, sequence,
from (
    select *, case when stamp between timestamp '1970-01-01' and timestamp '2200-01-01' then stamp end as moment
    from (
        select *, try_cast(timestamp as timestamp) as stamp
        from read_json($files, format = 'newline_delimited', columns = $columns, ignore_errors = true,
            maximum_object_size = $longest)
    )
)
where event is null or moment is null or (
    ($since is null or moment >= try_cast($since as timestamp))
    and ($until is null or moment < try_cast($until as timestamp))
)
"""
"""Bad lines become rows of nothing, which are counted; and so are times that no clock of a server shows."""

UNREADABLE: Final = """
select
    count(*) filter (
        event is null or event not in ('call', 'intent', 'asked', 'confirmed', 'start', 'checkpoint')
        or (event = 'call' and (moment is null or result is null))
    ),
    (select count(*) from lines as i where i.event = 'intent'
        and not exists (select 1 from lines as c where c.event = 'call' and c.request_id = i.request_id)),
from lines
"""

TABLES: Final = (
    "create macro written(moment) as strftime(moment, '%Y-%m-%dT%H:%M:%S.%gZ')",
    """
create temp table callers as
select row_number() over () as caller, issuer, client, tool, any_value(verified) as verified
from (select distinct issuer, client, tool, verified from lines where event = 'call')
group by issuer, client, tool
""",
    """
create temp table calls as
select caller, moment, back_at, denied, latency, result, arguments, keyed, instance, sequence
from lines join callers as c
    on c.issuer is not distinct from lines.issuer and c.client = lines.client and c.tool = lines.tool
where event = 'call' and moment is not null and result is not null
""",
    "drop table lines",
)
"""Numbers for the callers: sorting and grouping takes half the time without their names."""

TOTALS: Final = """
select
    count(*) as calls,
    count(*) filter (denied) as denials,
    (select count(distinct (issuer, client)) from callers where verified) as clients,
    (select count(distinct tool) from callers) as tools,
    written(min(moment)) as first_seen,
    written(max(moment)) as last_seen,
    epoch(min(moment)) as first,
    epoch(max(moment)) as last,
    round(quantile_cont(latency, 0.5), 3) as p50_ms,
    round(quantile_cont(latency, 0.99), 3) as p99_ms,
from calls
"""

ANSWERS: Final = "select result, count(*) from calls group by result order by 2 desc, 1"

CALLERS: Final = """
with waits as materialized (
    select caller, denied, moment, back_at,
        coalesce(sum(case when denied then 0 else 1 end) over before, 0) as allowed_before,
        max(back_at) over before as wait_until,
    from calls
    window before as (partition by caller order by moment, instance, sequence
        rows between unbounded preceding and 1 preceding)
), early as (
    select caller, count(back_at) as told_to_wait, count(*) filter (moment < wait_until) as came_back_early
    from waits group by caller
), runs as (
    select caller, count(*) as length from waits where denied group by caller, allowed_before
), denial_runs as (
    select caller, count(*) filter (length >= 3) as denial_runs, max(length) as longest_denial_run
    from runs group by caller
), repeats as (
    select caller, count(*) as times from calls where arguments is not null group by caller, arguments
), repeated as (
    select caller, max(times) filter (times > 1) as repeated from repeats group by caller
), sums as (
    select
        caller,
        count(*) as calls,
        count(*) filter (denied) as denials,
        round(quantile_cont(latency, 0.5), 3) as p50_ms,
        round(quantile_cont(latency, 0.99), 3) as p99_ms,
        written(min(moment)) as first_seen,
        written(max(moment)) as last_seen,
    from calls group by caller
)
select
    issuer, client, tool, calls, denials,
    coalesce(denial_runs, 0) as denial_runs,
    coalesce(longest_denial_run, 0) as longest_denial_run,
    case when verified then told_to_wait else 0 end as told_to_wait,
    case when verified then came_back_early else 0 end as came_back_early,
    coalesce(repeated, 0) as repeated,
    p50_ms, p99_ms, first_seen, last_seen,
from sums
join callers using (caller)
join early using (caller)
left join denial_runs using (caller)
left join repeated using (caller)
order by calls desc, client, tool, issuer
limit $limit
"""
"""Nobody whose credential was refused can be told from others, so that none of them is said to have come too early."""

LOOPS: Final = """
with loops as (
    select caller, arguments, any_value(keyed) as keyed, count(*) as calls, min(moment) as first, max(moment) as last
    from calls where arguments is not null
    group by caller, arguments having count(*) >= $least
)
select
    client, tool,
    case when keyed then 'hmac-sha256:' else 'sha256:' end || lower(hex(arguments)) as arguments_hash,
    calls,
    written(first) as first_seen,
    written(last) as last_seen,
from loops join callers using (caller)
order by calls desc, client, tool, arguments_hash
limit $limit
"""

SERIES: Final = """
select
    cast(floor(epoch(moment)) as bigint) // $step * $step as start,
    count(*) as calls,
    count(*) filter (denied) as denials,
    count(*) filter (result = 'denied_auth') as denied_auth,
    count(*) filter (result = 'denied_scope') as denied_scope,
    count(*) filter (result = 'denied_policy') as denied_policy,
    count(*) filter (result = 'denied_rate') as denied_rate,
    count(*) filter (result in ('tool_error', 'tool_failure', 'error', 'unavailable', 'malformed')) as failures,
    round(quantile_cont(latency, 0.5), 3) as p50_ms,
    round(quantile_cont(latency, 0.99), 3) as p99_ms,
from calls
group by start
order by start
"""
