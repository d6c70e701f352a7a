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
CREATE MACRO polyport_shifted(x, m) AS x * m;
CREATE MACRO polyport_float_digits(d, most, behind) AS list_transform([d],
    lambda f: printf('%.*f', CAST(greatest(0, least(behind, most - length(printf('%.0f', abs(f))))) AS INTEGER), f))[1];
CREATE MACRO polyport_exact_digits(v, behind) AS list_transform([CAST(v AS VARCHAR)], lambda t: list_transform([strpos(t, '.')],
    lambda p: (CASE WHEN p = 1 OR t[1:2] = '-.' THEN replace(t, '.', '0.') ELSE t END)
        || (CASE WHEN p = 0 AND behind > 0 THEN '.' ELSE '' END)
        || repeat('0', behind - CASE WHEN p = 0 THEN 0 ELSE length(t) - p END))[1])[1];
CREATE MACRO polyport_digits(x, behind) AS list_transform([x], lambda v: CASE typeof(v)
    WHEN 'DOUBLE' THEN polyport_float_digits(CAST(v AS DOUBLE), 15, behind)
    WHEN 'FLOAT' THEN polyport_float_digits(CAST(v AS DOUBLE), 6, behind)
    ELSE polyport_exact_digits(round(v, behind), behind) END)[1];
CREATE MACRO polyport_ending(n) AS CASE
    WHEN NOT regexp_matches(n, '[0-9]$') THEN error('"' || n || '" is not a number')
    WHEN regexp_matches(n, '(^|[^1])[123]$') THEN CASE right(n, 1) WHEN '1' THEN 'st' WHEN '2' THEN 'nd' ELSE 'rd' END
    ELSE 'th' END;
CREATE MACRO polyport_number_place(t, n, before, behind, ends) AS list_transform([strpos(n, '.')], lambda p:
    CAST((((CASE WHEN t[1] = '-' THEN before + 2 ELSE 0 END)
        + (CASE WHEN n[1] = '0' THEN 0 ELSE least(CASE WHEN p = 0 THEN length(n) ELSE p - 1 END, before + 1) END)) * (behind + 1)
        + (CASE WHEN p = 0 THEN 0 ELSE length(n) - p END)) * (1 + ends * behind)
        + ends * (CASE WHEN p = 0 THEN 0 ELSE length(n) - length(rtrim(n, '0')) END) + 1 AS INTEGER))[1];
CREATE MACRO polyport_odd_place(t, few) AS CASE WHEN t LIKE '%nan' THEN 6 WHEN t = 'inf' THEN 5 ELSE 4 END - CASE WHEN few THEN 3 ELSE 0 END;
CREATE MACRO polyport_template(t, n, few, shown, before, behind, ends) AS shown[CASE WHEN n[1] IN ('n', 'i')
    THEN CAST(len(shown) + 1 - polyport_odd_place(t, few) AS INTEGER) ELSE polyport_number_place(t, n, before, behind, ends) END];
CREATE MACRO polyport_number(x, shown, holders, before, behind, ends) AS list_transform([x], lambda v: list_transform([polyport_digits(v, behind)],
    lambda t: list_transform([ltrim(t, '-')], lambda n:
        translate(polyport_template(t, n, typeof(v) = 'FLOAT', string_split(shown, chr(63730)), before, behind, ends), holders, n))[1])[1])[1];
CREATE MACRO polyport_ordinal(x, shown, holders, before, behind, ends) AS list_transform([x], lambda v: list_transform([polyport_digits(v, behind)],
    lambda t: list_transform([ltrim(t, '-')], lambda n: list_transform([translate(
        polyport_template(t, n, typeof(v) = 'FLOAT', string_split(shown, chr(63730)), before, behind, ends), holders, n)],
        lambda s: CASE WHEN regexp_matches(s, '[\x{F8F0}\x{F8F1}]')
            THEN replace(replace(s, chr(63728), polyport_ending(n)), chr(63729), upper(polyport_ending(n))) ELSE s END)[1])[1])[1])[1];
CREATE MACRO polyport_roman(x, padded, small) AS list_transform([x], lambda v: list_transform([CASE
    WHEN typeof(v) IN ('DOUBLE', 'FLOAT') THEN round_even(CAST(v AS DOUBLE), 0) ELSE CAST(round(v, 0) AS DOUBLE) END],
    lambda n: list_transform([CASE WHEN n BETWEEN 1 AND 3999 THEN CAST(n AS INTEGER) END], lambda i:
        CASE WHEN n IS NULL THEN NULL WHEN i IS NULL THEN '###############' ELSE
            ltrim(lpad(translate(['', 'M', 'MM', 'MMM'][i // 1000 + 1]
                || ['', 'C', 'CC', 'CCC', 'CD', 'D', 'DC', 'DCC', 'DCCC', 'CM'][i // 100 % 10 + 1]
                || ['', 'X', 'XX', 'XXX', 'XL', 'L', 'LX', 'LXX', 'LXXX', 'XC'][i // 10 % 10 + 1]
                || ['', 'I', 'II', 'III', 'IV', 'V', 'VI', 'VII', 'VIII', 'IX'][i % 10 + 1],
                'MDCLXVI', CASE WHEN small = 1 THEN 'mdclxvi' ELSE 'MDCLXVI' END), 15, ' '), CASE WHEN padded = 1 THEN '' ELSE ' ' END) END)[1])[1])[1];
CREATE MACRO polyport_wide(t, n) AS lpad(t, CAST(greatest(n, length(t)) AS INTEGER), '0');
CREATE MACRO polyport_exact_science(t, behind) AS list_transform([ltrim(t, '-')], lambda n: list_transform([replace(n, '.', '')],
    lambda d: list_transform([ltrim(d, '0')], lambda s: list_transform([
        CAST(CAST(rpad(s[1:behind + 1], CAST(behind + 1 AS INTEGER), '0') AS HUGEINT) + CASE WHEN s[behind + 2] >= '5' THEN 1 ELSE 0 END AS VARCHAR)],
        lambda h: list_transform([CASE WHEN s = '' THEN 0 ELSE strpos(n || '.', '.') - 2 - length(d) + length(s) END], lambda e:
            (CASE WHEN t[1] = '-' THEN '-' ELSE '' END)
                || (CASE WHEN behind = 0 THEN h ELSE polyport_wide(h, behind + 1)[:-behind - 1] || '.' || right(polyport_wide(h, behind + 1), behind) END)
                || (CASE WHEN e < 0 THEN 'e-' ELSE 'e+' END) || polyport_wide(CAST(abs(e) AS VARCHAR), 2))[1])[1])[1])[1])[1];
CREATE MACRO polyport_float_science(f, before, behind) AS list_transform([f], lambda d: CASE
    WHEN NOT isfinite(d) THEN repeat('#', before) || '.' || repeat('#', behind + 4)
    ELSE printf('%.*e', CAST(behind AS INTEGER), d) END)[1];
CREATE MACRO polyport_science(x, before, behind) AS list_transform([x], lambda v: list_transform([CASE
    WHEN typeof(v) IN ('DOUBLE', 'FLOAT', 'INTEGER', 'SMALLINT', 'TINYINT', 'USMALLINT', 'UTINYINT')
    THEN polyport_float_science(CAST(v AS DOUBLE), before, behind)
    ELSE polyport_exact_science(CAST(round(v, 38) AS VARCHAR), behind) END],
    lambda t: CASE WHEN t[1] = '-' THEN t ELSE ' ' || t END)[1])[1];
CREATE MACRO polyport_fits(e, digits, separators, room) AS CASE
    WHEN contains(e, ',') THEN length(e) <= digits + separators + room + 1
    ELSE greatest(0, length(e) - length(regexp_replace(e, '[^0-9]', '', 'g')) - room) // 2
        + length(regexp_replace(e, '[^0-9]', '', 'g')) <= digits END;
CREATE MACRO polyport_read_number(x, form, digits, separators, room, pattern) AS list_transform([x], lambda t: CASE
    WHEN t IS NULL THEN NULL
    WHEN regexp_full_match(t, form) AND polyport_fits(regexp_extract(t, '^[^0-9]*[0-9,]*'), digits, separators, room)
    THEN (CASE WHEN regexp_matches(t, '[-<]') THEN '-' ELSE '' END) || regexp_replace(t, '[^0-9.]', '', 'g')
    ELSE error('to_number reads texts that are written as the pattern ' || pattern || ' says, and not ' || left(t, 100)) END)[1];
CREATE MACRO polyport_interval(months, days, micros) AS
    to_months(CAST(months AS INTEGER)) + to_days(CAST(days AS INTEGER)) + to_microseconds(CAST(micros AS BIGINT));
CREATE MACRO polyport_months(i) AS system.main.date_part('year', i) * 12 + system.main.date_part('month', i);
CREATE MACRO polyport_micros(i) AS (system.main.date_part('hour', i) * 60 + system.main.date_part('minute', i)) * 60000000 + system.main.date_part('microsecond', i);
CREATE MACRO polyport_rounded(x) AS round_even(x * 1e6, 0) / 1e6;
CREATE MACRO polyport_interval_divided(i, n) AS list_transform([struct_pack(i := CAST(i AS INTERVAL), n := CAST(n AS DOUBLE))], lambda s: CASE
    WHEN s.n = 0 AND s.i IS NOT NULL THEN error('division by zero')
    ELSE list_transform([struct_pack(m := trunc(polyport_months(s.i) / s.n), d := trunc(system.main.date_part('day', s.i) / s.n),
        f := polyport_rounded((polyport_months(s.i) / s.n - trunc(polyport_months(s.i) / s.n)) * 30))], lambda p: list_transform([
        polyport_rounded((system.main.date_part('day', s.i) / s.n - p.d + p.f - trunc(p.f)) * 86400)], lambda r:
            polyport_interval(p.m, p.d + trunc(p.f) + trunc(r / 86400),
                round_even(polyport_micros(s.i) / s.n + (r - trunc(r / 86400) * 86400) * 1e6, 0)))[1])[1] END)[1];
CREATE MACRO polyport_carried(large, small) AS CASE WHEN large > 0 AND small < 0 THEN -1 WHEN large < 0 AND small > 0 THEN 1 ELSE 0 END;
CREATE MACRO justify_hours(i) AS list_transform([CAST(i AS INTERVAL)], lambda v: list_transform([struct_pack(
    d := system.main.date_part('day', v) + polyport_micros(v) // 86400000000, u := polyport_micros(v) % 86400000000)], lambda p: polyport_interval(
        polyport_months(v), p.d + polyport_carried(p.d, p.u), p.u - polyport_carried(p.d, p.u) * 86400000000))[1])[1];
CREATE MACRO justify_days(i) AS list_transform([CAST(i AS INTERVAL)], lambda v: list_transform([struct_pack(
    m := polyport_months(v) + system.main.date_part('day', v) // 30, d := system.main.date_part('day', v) % 30)], lambda p: polyport_interval(
        p.m + polyport_carried(p.m, p.d), p.d - polyport_carried(p.m, p.d) * 30, polyport_micros(v)))[1])[1];
CREATE MACRO justify_interval(i) AS list_transform([CAST(i AS INTERVAL)], lambda v: list_transform([struct_pack(
    d := system.main.date_part('day', v) + polyport_micros(v) // 86400000000, u := polyport_micros(v) % 86400000000)], lambda h: list_transform([struct_pack(
        m := polyport_months(v) + h.d // 30, d := h.d % 30)], lambda p: list_transform([struct_pack(
            m := p.m + polyport_carried(p.m, p.d * 86400000000 + h.u), d := p.d - polyport_carried(p.m, p.d * 86400000000 + h.u) * 30)], lambda q:
                polyport_interval(q.m, q.d + polyport_carried(q.d, h.u), h.u - polyport_carried(q.d, h.u) * 86400000000))[1])[1])[1])[1];
CREATE MACRO polyport_match_0(t, p, f) AS list_transform([t], lambda s: CASE WHEN regexp_matches(s, p, f) THEN [regexp_extract(s, p, 0, f)] END)[1];
CREATE MACRO polyport_match_1(t, p, f) AS list_transform([t], lambda s: CASE WHEN regexp_matches(s, p, f) THEN list_transform([regexp_extract(s, p, ['1'], f)], lambda m: [m['1']])[1] END)[1];
CREATE MACRO polyport_match_2(t, p, f) AS list_transform([t], lambda s: CASE WHEN regexp_matches(s, p, f) THEN list_transform([regexp_extract(s, p, ['1', '2'], f)], lambda m: [m['1'], m['2']])[1] END)[1];
CREATE MACRO polyport_match_3(t, p, f) AS list_transform([t], lambda s: CASE WHEN regexp_matches(s, p, f) THEN list_transform([regexp_extract(s, p, ['1', '2', '3'], f)], lambda m: [m['1'], m['2'], m['3']])[1] END)[1];
CREATE MACRO polyport_match_4(t, p, f) AS list_transform([t], lambda s: CASE WHEN regexp_matches(s, p, f) THEN list_transform([regexp_extract(s, p, ['1', '2', '3', '4'], f)], lambda m: [m['1'], m['2'], m['3'], m['4']])[1] END)[1];
CREATE MACRO polyport_match_5(t, p, f) AS list_transform([t], lambda s: CASE WHEN regexp_matches(s, p, f) THEN list_transform([regexp_extract(s, p, ['1', '2', '3', '4', '5'], f)], lambda m: [m['1'], m['2'], m['3'], m['4'], m['5']])[1] END)[1];
CREATE MACRO polyport_match_6(t, p, f) AS list_transform([t], lambda s: CASE WHEN regexp_matches(s, p, f) THEN list_transform([regexp_extract(s, p, ['1', '2', '3', '4', '5', '6'], f)], lambda m: [m['1'], m['2'], m['3'], m['4'], m['5'], m['6']])[1] END)[1];
CREATE MACRO polyport_match_7(t, p, f) AS list_transform([t], lambda s: CASE WHEN regexp_matches(s, p, f) THEN list_transform([regexp_extract(s, p, ['1', '2', '3', '4', '5', '6', '7'], f)], lambda m: [m['1'], m['2'], m['3'], m['4'], m['5'], m['6'], m['7']])[1] END)[1];
CREATE MACRO polyport_match_8(t, p, f) AS list_transform([t], lambda s: CASE WHEN regexp_matches(s, p, f) THEN list_transform([regexp_extract(s, p, ['1', '2', '3', '4', '5', '6', '7', '8'], f)], lambda m: [m['1'], m['2'], m['3'], m['4'], m['5'], m['6'], m['7'], m['8']])[1] END)[1];
CREATE MACRO polyport_match_9(t, p, f) AS list_transform([t], lambda s: CASE WHEN regexp_matches(s, p, f) THEN list_transform([regexp_extract(s, p, ['1', '2', '3', '4', '5', '6', '7', '8', '9'], f)], lambda m: [m['1'], m['2'], m['3'], m['4'], m['5'], m['6'], m['7'], m['8'], m['9']])[1] END)[1];
CREATE MACRO polyport_scientific(n, sign) AS list_transform([rtrim(replace(n, '.', ''), '0')], lambda d: sign || d[1]
    || (CASE WHEN length(d) > 1 THEN '.' || d[2:] ELSE '' END) || 'e+' || lpad(CAST(strpos(n, '.') - 2 AS VARCHAR), 2, '0'))[1];
CREATE MACRO polyport_float_text(x, most) AS list_transform([CAST(x AS VARCHAR)], lambda t: CASE
    WHEN contains(t, 'n') THEN CASE t WHEN 'inf' THEN 'Infinity' WHEN '-inf' THEN '-Infinity' ELSE 'NaN' END
    WHEN contains(t, 'e') THEN t
    WHEN strpos(ltrim(t, '-'), '.') - 1 > most THEN polyport_scientific(ltrim(t, '-'), CASE WHEN t[1] = '-' THEN '-' ELSE '' END)
    WHEN ends_with(t, '.0') THEN t[:-3] ELSE t END)[1];
CREATE MACRO polyport_text(x) AS CASE typeof(x) WHEN 'DOUBLE' THEN polyport_float_text(x, 15) WHEN 'FLOAT' THEN polyport_float_text(x, 6)
    ELSE CAST(x AS VARCHAR) END;
CREATE MACRO polyport_text_once(x) AS list_transform([x], lambda v: polyport_text(v))[1];
