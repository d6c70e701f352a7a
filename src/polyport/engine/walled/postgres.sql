-- PostgreSQL's functions that the engine does not have: macros of the dialect `postgres`.
-- What they do not know of PostgreSQL's patterns is an error, never a guess.
CREATE MACRO polyport_format(f) AS array_to_string(list_transform(
    regexp_extract_all(f, '"[^"]*"|FM|YYYY|IYYY|YY|MONTH|Month|month|MON|Mon|mon|DAY|Day|day|DDD|DD|DY|Dy|dy|HH24|HH12|HH|MI|MM|SSSS|SS|MS|US|IW|ID|AM|PM|am|pm|TZ|OF|.'),
    lambda p: CASE
        WHEN p[1] = '"' THEN replace(p[2:-2], '%', '%%')
        WHEN p = '%' THEN '%%'
        WHEN p = 'T' OR regexp_matches(p, '^[^A-Za-z]') THEN p
        ELSE coalesce(MAP {'YYYY': '%Y', 'IYYY': '%G', 'YY': '%y', 'MM': '%m', 'DD': '%d', 'DDD': '%j', 'HH24': '%H',
            'HH12': '%I', 'HH': '%I', 'MI': '%M', 'SS': '%S', 'MS': '%g', 'US': '%f', 'IW': '%V', 'ID': '%u', 'AM': '%p',
            'PM': '%p', 'Mon': '%b', 'Dy': '%a', 'TZ': 'UTC', 'OF': '+00'}[p],
            error('to_char does not know the pattern ' || p || ' here')) END), '');
CREATE MACRO to_char(t, f) AS strftime(CAST(t AS TIMESTAMPTZ), polyport_format(f));
CREATE MACRO polyport_moment(t) AS CAST(t AS TIMESTAMPTZ);
CREATE MACRO polyport_joined(a, b) AS a || b;
CREATE MACRO polyport_padded(t) AS rpad(t, 9, ' ');
CREATE MACRO polyport_quarter(t) AS CAST(quarter(t) AS VARCHAR);
CREATE MACRO polyport_weekday(t) AS CAST(dayofweek(t) + 1 AS VARCHAR);
CREATE MACRO polyport_month_week(t) AS CAST((day(t) - 1) // 7 + 1 AS VARCHAR);
CREATE MACRO polyport_year_week(t) AS lpad(CAST((dayofyear(t) - 1) // 7 + 1 AS VARCHAR), 2, '0');
CREATE MACRO polyport_century(t) AS lpad(CAST(century(t) AS VARCHAR), 2, '0');
CREATE MACRO polyport_day_seconds(t) AS CAST(hour(t) * 3600 + minute(t) * 60 + second(t) AS VARCHAR);
CREATE MACRO polyport_widths(f) AS CASE
    WHEN regexp_matches(regexp_replace(f, 'YYYY|HH24|MM|DD|MI|SS|MS|US|T', '', 'g'), '[A-Za-z"]')
    THEN error('to_timestamp and to_date know YYYY, MM, DD, HH24, MI, SS, MS and US here, not ' || f)
    ELSE replace(replace(replace(f, 'HH24', 'HH'), 'MS', 'LLL'), 'US', 'UUUUUU') END;
CREATE MACRO polyport_part(t, f, p, d) AS CASE
    WHEN contains(f, p) THEN CAST(substr(t, strpos(f, p), length(p)) AS INTEGER) ELSE d END;
CREATE MACRO polyport_read(t, f) AS make_timestamp(
    polyport_part(t, f, 'YYYY', 1), polyport_part(t, f, 'MM', 1), polyport_part(t, f, 'DD', 1),
    polyport_part(t, f, 'HH', 0), polyport_part(t, f, 'MI', 0),
    polyport_part(t, f, 'SS', 0) + polyport_part(t, f, 'LLL', 0) / 1e3 + polyport_part(t, f, 'UUUUUU', 0) / 1e6);
CREATE MACRO to_date(t, f) AS CAST(polyport_read(t, polyport_widths(f)) AS DATE);
CREATE MACRO to_timestamp(t, f) AS CAST(polyport_read(t, polyport_widths(f)) AS TIMESTAMPTZ), (t) AS system.main.to_timestamp(t);
CREATE MACRO polyport_json(x) AS CASE WHEN x IS NOT NULL THEN to_json(x) END;
CREATE MACRO row_to_json(x) AS to_json(x);
CREATE MACRO initcap(t) AS array_to_string(list_transform(regexp_extract_all(t, '[\p{L}\p{N}]+|[^\p{L}\p{N}]+'), lambda p: upper(p[1]) || lower(p[2:])), '');
CREATE MACRO btrim(t) AS trim(t), (t, c) AS trim(t, c);
CREATE MACRO div(a, b) AS CAST(trunc(a / b) AS DECIMAL(38,0));
CREATE MACRO polyport_extract(p, t) AS CAST(system.main.date_part(p, t) AS DECIMAL(18, 0));
CREATE MACRO polyport_extract_seconds(t) AS CAST(system.main.date_part('microsecond', t) / 1e6 AS DECIMAL(8, 6));
CREATE MACRO polyport_extract_milliseconds(t) AS CAST(system.main.date_part('microsecond', t) / 1e3 AS DECIMAL(8, 3));
CREATE MACRO polyport_extract_epoch(t) AS CAST(system.main.date_part('epoch', t) AS DECIMAL(20, 6));
CREATE MACRO polyport_date_part(p, t) AS CAST(system.main.date_part(p, t) AS DOUBLE);
CREATE MACRO polyport_date_part_seconds(t) AS CAST(system.main.date_part('microsecond', t) / 1e6 AS DOUBLE);
CREATE MACRO polyport_date_part_milliseconds(t) AS CAST(system.main.date_part('microsecond', t) / 1e3 AS DOUBLE);
CREATE MACRO polyport_date_part_epoch(t) AS CAST(system.main.date_part('epoch', t) AS DOUBLE);
CREATE MACRO polyport_similar(p) AS CASE
    WHEN contains(p, '\') OR regexp_matches(p, '\[[^\]]*[%_.$]')
    THEN error('SIMILAR TO knows % _ | * + ? {} () and [] of letters here, not ' || p)
    ELSE '(?s:' || regexp_replace(replace(replace(regexp_replace(p, '([.$])', '\\\1', 'g'), '%', '.*'), '_', '.'), '(^|[^\[])\^', '\1\\^', 'g') || ')' END;
CREATE MACRO date_trunc(p, t) AS system.main.date_trunc(p, t),
    (p, t, z) AS system.main.timezone(z, system.main.date_trunc(p, system.main.timezone(z, CAST(t AS TIMESTAMPTZ))));
CREATE MACRO date_bin(s, t, o) AS time_bucket(CAST(s AS INTERVAL), t, o);
CREATE MACRO polyport_bucket(k, x, lo, hi, n) AS CAST(CASE
    WHEN (hi - lo) * (k + 1) <= (x - lo) * n THEN k + 2 WHEN (hi - lo) * k > (x - lo) * n THEN k ELSE k + 1 END AS INTEGER);
CREATE MACRO width_bucket(x, lo, hi, n) AS CASE
    WHEN n <= 0 OR lo = hi THEN error('width_bucket needs a count above zero, and two bounds')
    WHEN lo < hi THEN CASE WHEN x < lo THEN 0 WHEN x >= hi THEN n + 1
        ELSE polyport_bucket(CAST(floor(CAST((x - lo) * n AS DOUBLE) / CAST(hi - lo AS DOUBLE)) AS INTEGER), x, lo, hi, n) END
    ELSE CASE WHEN x > lo THEN 0 WHEN x <= hi THEN n + 1
        ELSE polyport_bucket(CAST(floor(CAST((lo - x) * n AS DOUBLE) / CAST(lo - hi AS DOUBLE)) AS INTEGER), lo, x, lo - hi + x, n) END END;
CREATE MACRO make_interval(years := 0, months := 0, weeks := 0, days := 0, hours := 0, mins := 0, secs := 0) AS
    to_months(CAST(years * 12 + months AS INTEGER)) + to_days(CAST(weeks * 7 + days AS INTEGER))
    + to_microseconds(CAST(round((hours * 3600 + mins * 60 + CAST(secs AS DECIMAL(24, 9))) * 1000000) AS BIGINT));
CREATE MACRO array_remove(a, x) AS list_filter(a, lambda e: e IS DISTINCT FROM x);
CREATE MACRO array_lower(a, d) AS CASE WHEN d = 1 AND len(a) > 0 THEN 1 END;
CREATE MACRO array_upper(a, d) AS CASE WHEN d = 1 AND len(a) > 0 THEN CAST(len(a) AS INTEGER) END;
CREATE MACRO array_to_string(a, s) AS system.main.array_to_string(a, s),
    (a, s, n) AS system.main.array_to_string(list_transform(a, lambda e: coalesce(CAST(e AS VARCHAR), n)), s);
CREATE MACRO regexp_count(t, p) AS CAST(len(regexp_extract_all(t, p)) AS INTEGER);
CREATE MACRO regexp_like(t, p) AS regexp_matches(t, p), (t, p, f) AS regexp_matches(t, p, f);
CREATE MACRO regexp_substr(t, p) AS CASE WHEN regexp_matches(t, p) THEN regexp_extract(t, p) END;
CREATE MACRO polyport_like(x, p) AS CASE WHEN strpos(p, '\') = 0 THEN x ~~ p ELSE like_escape(x, p, '\') END;
CREATE MACRO polyport_ilike(x, p) AS CASE WHEN strpos(p, '\') = 0 THEN x ~~* p ELSE ilike_escape(x, p, '\') END;
CREATE MACRO polyport_not_like(x, p) AS CASE WHEN strpos(p, '\') = 0 THEN x !~~ p ELSE not_like_escape(x, p, '\') END;
CREATE MACRO polyport_not_ilike(x, p) AS CASE WHEN strpos(p, '\') = 0 THEN x !~~* p ELSE not_ilike_escape(x, p, '\') END;
CREATE MACRO polyport_like_escaped(x, p) AS like_escape(x, p, '\');
CREATE MACRO polyport_ilike_escaped(x, p) AS ilike_escape(x, p, '\');
CREATE MACRO polyport_not_like_escaped(x, p) AS not_like_escape(x, p, '\');
CREATE MACRO polyport_not_ilike_escaped(x, p) AS not_ilike_escape(x, p, '\');
CREATE MACRO polyport_like_each(x, a) AS list_transform(a, lambda p: like_escape(x, p, '\'));
CREATE MACRO polyport_ilike_each(x, a) AS list_transform(a, lambda p: ilike_escape(x, p, '\'));
CREATE MACRO polyport_not_like_each(x, a) AS list_transform(a, lambda p: not_like_escape(x, p, '\'));
CREATE MACRO polyport_not_ilike_each(x, a) AS list_transform(a, lambda p: not_ilike_escape(x, p, '\'));
CREATE MACRO polyport_any(found) AS list_reduce(found, lambda a, b: a OR b, false);
CREATE MACRO polyport_all(found) AS list_reduce(found, lambda a, b: a AND b, true);
