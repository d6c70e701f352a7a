-- PostgreSQL's functions that the engine does not have: macros of the dialect `postgres`.
-- What they do not know of PostgreSQL's patterns is an error, never a guess.
CREATE MACRO polyport_format(f) AS array_to_string(list_transform(
    regexp_extract_all(f, '"[^"]*"|FM|YYYY|IYYY|YY|MONTH|Month|month|MON|Mon|mon|DAY|Day|day|DDD|DD|DY|Dy|dy|HH24|HH12|HH|MI|MM|SS|MS|US|IW|ID|AM|PM|am|pm|TZ|OF|.'),
    lambda p: CASE
        WHEN p[1] = '"' THEN replace(p[2:-2], '%', '%%')
        WHEN p = '%' THEN '%%'
        WHEN p = 'FM' THEN ''
        WHEN p = 'T' OR regexp_matches(p, '^[^A-Za-z]') THEN p
        ELSE coalesce(MAP {'YYYY': '%Y', 'IYYY': '%G', 'YY': '%y', 'MM': '%m', 'DD': '%d', 'DDD': '%j', 'HH24': '%H',
            'HH12': '%I', 'HH': '%I', 'MI': '%M', 'SS': '%S', 'MS': '%g', 'US': '%f', 'IW': '%V', 'ID': '%u', 'AM': '%p',
            'PM': '%p', 'Mon': '%b', 'Dy': '%a', 'Month': '%B', 'Day': '%A', 'TZ': 'UTC'}[p],
            error('to_char does not know the pattern ' || p || ' here')) END), '');
CREATE MACRO to_char(t, f) AS strftime(CAST(t AS TIMESTAMPTZ), polyport_format(f));
CREATE MACRO polyport_widths(f) AS CASE
    WHEN regexp_matches(regexp_replace(f, 'YYYY|HH24|MM|DD|MI|SS|MS|US|T', '', 'g'), '[A-Za-z"]')
    THEN error('to_timestamp and to_date know YYYY, MM, DD, HH24, MI, SS, MS and US here, not ' || f)
    ELSE replace(replace(replace(f, 'HH24', 'HH'), 'MS', 'LLL'), 'US', 'UUUUUU') END;
CREATE MACRO polyport_part(t, f, p, d) AS CASE
    WHEN contains(f, p) THEN CAST(substr(t, strpos(f, p), length(p)) AS INTEGER) ELSE d END;
CREATE MACRO polyport_moment(t, f) AS make_timestamp(
    polyport_part(t, f, 'YYYY', 1), polyport_part(t, f, 'MM', 1), polyport_part(t, f, 'DD', 1),
    polyport_part(t, f, 'HH', 0), polyport_part(t, f, 'MI', 0),
    polyport_part(t, f, 'SS', 0) + polyport_part(t, f, 'LLL', 0) / 1e3 + polyport_part(t, f, 'UUUUUU', 0) / 1e6);
CREATE MACRO to_date(t, f) AS CAST(polyport_moment(t, polyport_widths(f)) AS DATE);
CREATE MACRO to_timestamp(t, f) AS CAST(polyport_moment(t, polyport_widths(f)) AS TIMESTAMPTZ), (t) AS system.main.to_timestamp(t);
CREATE MACRO json_agg(x) AS json_group_array(x);
CREATE MACRO row_to_json(x) AS to_json(x);
CREATE MACRO initcap(t) AS array_to_string(list_transform(regexp_extract_all(t, '[\p{L}\p{N}]+|[^\p{L}\p{N}]+'), lambda p: upper(p[1]) || lower(p[2:])), '');
CREATE MACRO btrim(t) AS trim(t), (t, c) AS trim(t, c);
CREATE MACRO div(a, b) AS CAST(trunc(a / b) AS DECIMAL(38,0));
