-- What each film cost, in US dollars as reported, and in euros at the ECB's rate of the day of its release.
WITH rates AS (
  -- A rate holds until the next one: over weekends and holidays it is the one of the working day before.
  SELECT
    CAST(date AS DATE) AS rate_date,
    CAST(usd AS DECIMAL(10, 5)) AS usd_per_eur,
    lead(CAST(date AS DATE), 1, DATE '9999-12-31') OVER (ORDER BY CAST(date AS DATE)) AS next_date
  FROM exchange_rates
),

films AS (
  SELECT
    *,
    CAST(year(release_date) AS INTEGER) AS release_year,
    lower(strip_accents(title)) AS plain_title
  FROM cost_sheets
)

SELECT
  trim(regexp_replace(replace(films.plain_title, '''', ''), '[^a-z0-9]+', '-', 'g'), '-') || '-' || films.release_year
    AS statement_id,
  films.title,
  register.imdb_id,
  films.release_date,
  films.release_year,
  films.distributor,
  films.genre,
  films.source,
  films.director,
  films.production_cost_usd,
  CAST(round(films.production_cost_usd / rates.usd_per_eur, 2) AS DECIMAL(18, 2)) AS production_cost_eur,
  rates.rate_date,
  rates.usd_per_eur,
  films.us_gross_usd,
  films.worldwide_gross_usd,
  films.sheet
FROM films
LEFT JOIN rates
  ON films.release_date >= rates.rate_date AND films.release_date < rates.next_date
LEFT JOIN film_register AS register
  ON register.title_key = regexp_replace(films.plain_title, '[^a-z0-9]', '', 'g')
  AND register.year = films.release_year
