-- One row a film. What is plainly wrong is repaired, what cannot be identified is set aside, and both are counted:
-- `_repaired` says what was repaired, `_refused` why a row is set aside.
WITH received AS (
  SELECT
    *,
    CAST(title AS VARCHAR) AS given_title,
    -- Dates come as real dates, and as text: '31-Dec-98'.
    coalesce(
      CAST(try_cast(CAST(release_date AS VARCHAR) AS TIMESTAMP) AS DATE),
      CAST(try_strptime(CAST(release_date AS VARCHAR), '%d-%b-%y') AS DATE)
    ) AS given_date
  FROM cost_sheets
),

judged AS (
  SELECT
    *,
    -- The sheets plan until the end of 2011: what lies later was typed with two digits of the year, a century off.
    coalesce(given_date > DATE '2011-12-31', FALSE) AS century_off,
    -- Accents that one system wrote and another read: 'LÈon' for 'Léon'.
    coalesce(regexp_matches(given_title, '[A-Za-z][ÈÍÎÛËÙ]|[˘‰‡·Ω]| Ö '), FALSE) AS garbled
  FROM received
)

SELECT
  CASE WHEN garbled THEN translate(given_title, 'ÈÍÎÛËÙ˘‰‡·ΩÖ', 'éêëóèôùäàá½…') ELSE given_title END AS title,
  CASE WHEN century_off THEN CAST(given_date - INTERVAL 100 YEAR AS DATE) ELSE given_date END AS release_date,
  distributor,
  genre,
  source,
  director,
  CAST(production_budget_usd AS DECIMAL(18, 2)) AS production_cost_usd,
  CAST(us_gross_usd AS DECIMAL(18, 2)) AS us_gross_usd,
  CAST(worldwide_gross_usd AS DECIMAL(18, 2)) AS worldwide_gross_usd,
  _file AS sheet,
  nullif(concat_ws(
    '; ',
    CASE WHEN century_off THEN 'two-digit year' END,
    CASE WHEN garbled THEN 'accents in the title' END
  ), '') AS _repaired,
  CASE
    WHEN title IS NULL THEN 'no title'
    WHEN given_date IS NULL THEN 'release date not readable'
  END AS _refused
FROM judged
