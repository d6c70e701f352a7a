-- PostgreSQL's functions that the engine does not have: macros of the dialect `postgres`.
-- What they do not know of PostgreSQL's patterns is an error, never a guess.
CREATE MACRO polyport_format(f) AS array_to_string(list_transform(
    regexp_extract_all(f, '"[^"]*"|(?:FM)?(?:YYYY|IYYY|YY|MONTH|Month|month|MON|Mon|mon|DAY|Day|day|DDD|DD|DY|Dy|dy|HH24|HH12|HH|MI|MM|SSSSS|SSSS|SS|MS|US|IW|ID|AM|PM|am|pm|TZ|OF|CC|WW|W|Q|J|D)|FM|.'),
    lambda p: CASE
        WHEN p[1] = '"' THEN replace(p[2:-2], '%', '%%')
        WHEN p = '%' THEN '%%'
        WHEN p = 'T' OR regexp_matches(p, '^[^A-Za-z]') THEN p
        ELSE coalesce(MAP {'YYYY': '%Y', 'IYYY': '%G', 'YY': '%y', 'MM': '%m', 'DD': '%d', 'DDD': '%j', 'HH24': '%H',
            'HH12': '%I', 'HH': '%I', 'MI': '%M', 'SS': '%S', 'MS': '%g', 'US': '%f', 'IW': '%V', 'ID': '%u', 'AM': '%p',
            'PM': '%p', 'Mon': '%b', 'Dy': '%a', 'TZ': 'UTC', 'OF': '+00', 'FMMonth': '%B', 'FMDay': '%A', 'FMYYYY': '%Y',
            'FMMM': '%-m', 'FMDD': '%-d', 'FMDDD': '%-j', 'FMHH24': '%-H', 'FMHH12': '%-I', 'FMHH': '%-I', 'FMMI': '%-M',
            'FMSS': '%-S', 'FMMon': '%b', 'FMDy': '%a', 'FMQ': chr(1) || 'q', 'FMD': chr(1) || 'r', 'FMID': '%u',
            'MONTH': chr(1) || 'a', 'Month': chr(1) || 'b', 'month': chr(1) || 'c', 'FMMONTH': chr(1) || 'd',
            'FMmonth': chr(1) || 'e', 'MON': chr(1) || 'f', 'mon': chr(1) || 'g', 'DAY': chr(1) || 'h',
            'Day': chr(1) || 'i', 'day': chr(1) || 'j', 'FMDAY': chr(1) || 'k', 'FMday': chr(1) || 'l',
            'DY': chr(1) || 'm', 'dy': chr(1) || 'n', 'am': chr(1) || 'o', 'pm': chr(1) || 'o', 'Q': chr(1) || 'q',
            'D': chr(1) || 'r', 'W': chr(1) || 's', 'WW': chr(1) || 't', 'SSSS': chr(1) || 'u',
            'SSSSS': chr(1) || 'u', 'CC': chr(1) || 'v', 'J': chr(1) || 'w'}[p],
            error('to_char does not know the pattern ' || p || ' here')) END), '');
CREATE MACRO polyport_moment_text(t, f) AS CASE WHEN NOT contains(f, chr(1)) THEN strftime(t, f)
    ELSE replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(
        replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(strftime(t, f),
        chr(1) || 'a', upper(rpad(monthname(t), 9, ' '))), chr(1) || 'b', rpad(monthname(t), 9, ' ')),
        chr(1) || 'c', lower(rpad(monthname(t), 9, ' '))), chr(1) || 'd', upper(monthname(t))),
        chr(1) || 'e', lower(monthname(t))), chr(1) || 'f', upper(monthname(t)[1:3])),
        chr(1) || 'g', lower(monthname(t)[1:3])), chr(1) || 'h', upper(rpad(dayname(t), 9, ' '))),
        chr(1) || 'i', rpad(dayname(t), 9, ' ')), chr(1) || 'j', lower(rpad(dayname(t), 9, ' '))),
        chr(1) || 'k', upper(dayname(t))), chr(1) || 'l', lower(dayname(t))),
        chr(1) || 'm', upper(dayname(t)[1:3])), chr(1) || 'n', lower(dayname(t)[1:3])),
        chr(1) || 'o', lower(strftime(t, '%p'))), chr(1) || 'q', CAST(quarter(t) AS VARCHAR)),
        chr(1) || 'r', CAST(dayofweek(t) + 1 AS VARCHAR)), chr(1) || 's', CAST((day(t) - 1) // 7 + 1 AS VARCHAR)),
        chr(1) || 't', lpad(CAST((dayofyear(t) - 1) // 7 + 1 AS VARCHAR), 2, '0')),
        chr(1) || 'u', CAST(hour(t) * 3600 + minute(t) * 60 + second(t) AS VARCHAR)),
        chr(1) || 'v', lpad(CAST(century(t) AS VARCHAR), 2, '0')),
        chr(1) || 'w', CAST(CAST(floor(julian(date_trunc('day', t))) AS BIGINT) AS VARCHAR)) END;
CREATE MACRO polyport_fraction(f) AS CAST(length(regexp_replace(split_part(replace(f, 'D', '.'), '.', 2), '[^09]', '', 'g')) AS INTEGER);
CREATE MACRO polyport_mask(f) AS CASE
    WHEN regexp_matches(replace(replace(f, 'D', '.'), 'G', ','), '^(FM)?[$€£ ]*[90][90,]*(\.[90]*)?[% ]*$|^(FM)?[$€£ ]*\.[90]+[% ]*$')
    THEN regexp_extract(replace(replace(f, 'D', '.'), 'G', ','), '[90,.]+')
    ELSE error('to_char does not know the pattern ' || f || ' of numbers here') END;
CREATE MACRO polyport_shown(whole, w) AS array_to_string(list_transform(range(1, length(w) + 1), lambda k: CASE
    WHEN w[k] = ',' THEN CASE WHEN trim(whole[1:k - 1 - (length(w[1:k]) - length(replace(w[1:k], ',', ''))) + 1]) = '' THEN ' ' ELSE ',' END
    ELSE whole[k - (length(w[1:k]) - length(replace(w[1:k], ',', '')))] END), '');
CREATE MACRO polyport_whole(i, w, fraction) AS lpad(lpad(
    CASE WHEN i = '0' AND (fraction OR contains(w, '0')) THEN '' ELSE i END,
    CAST(CASE WHEN contains(w, '0') THEN length(w) - strpos(w, '0') + 1 ELSE 0 END AS INTEGER), '0'), CAST(length(w) AS INTEGER), ' ');
CREATE MACRO polyport_number_text(i, d, below, w, m, filled) AS CASE
    WHEN length(i) > length(replace(w, ',', '')) AND NOT (i = '0' AND contains(m, '.'))
    THEN CASE WHEN below THEN '-' WHEN filled THEN '' ELSE ' ' END || regexp_replace(m, '[90]', '#', 'g')
    ELSE CASE WHEN filled
        THEN CASE WHEN below THEN '-' ELSE '' END
            || replace(polyport_shown(polyport_whole(i, replace(w, ',', ''), contains(m, '.')), w), ' ', '')
            || CASE WHEN contains(m, '.') THEN '.' || d[1:greatest(length(rtrim(d, '0')), length(rtrim(split_part(m, '.', 2), '9')))] ELSE '' END
        ELSE regexp_replace(polyport_shown(polyport_whole(i, replace(w, ',', ''), contains(m, '.')), w), '^( *)', '\1' || CASE WHEN below THEN '-' ELSE ' ' END)
            || CASE WHEN contains(m, '.') THEN '.' || d ELSE '' END END END;
CREATE MACRO polyport_number(t, below, f) AS regexp_extract(f, '^(?:FM)?([$€£ ]*)', 1)
    || polyport_number_text(split_part(t, '.', 1), split_part(t, '.', 2), below, split_part(polyport_mask(f), '.', 1), polyport_mask(f), starts_with(f, 'FM'))
    || regexp_extract(f, '[% ]*$');
CREATE MACRO polyport_plain(x, f) AS polyport_number(CAST(abs(x) AS VARCHAR) || CASE WHEN polyport_fraction(f) = 0 THEN '' ELSE '.' || repeat('0', polyport_fraction(f)) END, x < 0, f);
CREATE MACRO polyport_cut(t, n) AS CASE WHEN n = 0 THEN split_part(t, '.', 1)
    ELSE split_part(t, '.', 1) || '.' || rpad(split_part(t, '.', 2)[1:n], n, '0') END;
CREATE MACRO polyport_rounded(x, n) AS polyport_cut(CAST(abs(x) + CASE n
    WHEN 0 THEN 0.5 WHEN 1 THEN 0.05 WHEN 2 THEN 0.005 WHEN 3 THEN 0.0005 WHEN 4 THEN 0.00005 WHEN 5 THEN 0.000005
    WHEN 6 THEN 0.0000005 WHEN 7 THEN 0.00000005 WHEN 8 THEN 0.000000005 WHEN 9 THEN 0.0000000005 ELSE 0.0000000000 END AS VARCHAR), n);
CREATE MACRO polyport_decimal(x, f) AS polyport_number(polyport_rounded(x, polyport_fraction(f)),
    x < 0 AND regexp_matches(polyport_rounded(x, polyport_fraction(f)), '[1-9]'), f);
CREATE MACRO polyport_float(x, f) AS polyport_number(CASE
    WHEN abs(x) < 1e15 AND length(printf('%.0f', abs(x))) + polyport_fraction(f) <= 15 THEN printf('%.*f', polyport_fraction(f), abs(x))
    WHEN x IS NOT NULL THEN error('to_char knows 15 digits of a floating-point number here') END, x < 0, f);
CREATE MACRO to_char(t TIMESTAMPTZ, f) AS polyport_moment_text(t, polyport_format(f)),
    (x HUGEINT, f) AS polyport_plain(x, f),
    (x DECIMAL(38, 10), f) AS polyport_decimal(x, f),
    (x DOUBLE, f) AS polyport_float(x, f);
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
CREATE MACRO array_remove(a, x) AS list_filter(a, lambda e: e IS DISTINCT FROM x);
CREATE MACRO array_lower(a, d) AS CASE WHEN d = 1 AND len(a) > 0 THEN 1 END;
CREATE MACRO array_upper(a, d) AS CASE WHEN d = 1 AND len(a) > 0 THEN CAST(len(a) AS INTEGER) END;
CREATE MACRO array_to_string(a, s) AS system.main.array_to_string(a, s),
    (a, s, n) AS system.main.array_to_string(list_transform(a, lambda e: coalesce(CAST(e AS VARCHAR), n)), s);
CREATE MACRO regexp_count(t, p) AS CAST(len(regexp_extract_all(t, p)) AS INTEGER);
CREATE MACRO regexp_like(t, p) AS regexp_matches(t, p), (t, p, f) AS regexp_matches(t, p, f);
CREATE MACRO regexp_substr(t, p) AS CASE WHEN regexp_matches(t, p) THEN regexp_extract(t, p) END;
