-- The hundred most popular recent films of each week of 2014, Monday to Sunday.
--
--   score = tomatometer * ln(1 + reviews) / ln(401) * 0.5 ^ (days since release / 91)
--
-- How good (share of good reviews), how much talked about (four hundred reviews count in full), how new (half after
-- a quarter of a year). Films whose day of release is unknown cannot be placed in a week and are not ranked.
WITH weeks AS (
  SELECT
    CAST(days.monday AS DATE) AS week,
    CAST(days.monday + INTERVAL 6 DAY AS DATE) AS week_end
  FROM (
    SELECT unnest(generate_series(
      TIMESTAMP '2013-12-30', CAST((SELECT max(as_of) FROM popularity_api) AS TIMESTAMP), INTERVAL 7 DAY
    )) AS monday
  ) AS days
),

scored AS (
  SELECT
    weeks.week,
    films.imdb_id,
    films.title,
    films.release_date,
    films.tomatometer,
    films.reviews,
    CAST(date_diff('day', films.release_date, weeks.week_end) AS INTEGER) AS days_since_release,
    CAST(
      films.tomatometer * ln(1 + films.reviews) / ln(401)
      * power(0.5, date_diff('day', films.release_date, weeks.week_end) / 91.0) AS DECIMAL(9, 3)
    ) AS score
  FROM weeks
  INNER JOIN popularity_api AS films
    ON films.release_date <= weeks.week_end AND films.release_date > weeks.week_end - INTERVAL 2 YEAR
)

SELECT
  week,
  CAST(row_number() OVER (PARTITION BY week ORDER BY score DESC, reviews DESC, imdb_id) AS INTEGER) AS rank,
  imdb_id,
  title,
  score,
  release_date,
  days_since_release,
  tomatometer,
  reviews
FROM scored
QUALIFY rank <= 100
