-- One row a film. The service gives 1 January where it knows the year of release only: the day is taken away again.
WITH received AS (
  SELECT
    *,
    CAST(released AS DATE) AS given_date,
    row_number() OVER (PARTITION BY imdb_id ORDER BY CAST(released AS DATE), title) AS entry
  FROM popularity_api
),

judged AS (
  SELECT
    *,
    month(given_date) = 1 AND day(given_date) = 1 AS year_only
  FROM received
)

SELECT
  imdb_id,
  title,
  CAST(year AS INTEGER) AS year,
  CASE WHEN NOT year_only THEN given_date END AS release_date,
  CAST(runtime_min AS INTEGER) AS runtime_min,
  genres,
  CAST(rating.tomatometer AS INTEGER) AS tomatometer,
  CAST(rating.reviews AS INTEGER) AS reviews,
  CAST(rating.average AS DECIMAL(3, 1)) AS average_rating,
  CAST(box_office_usd AS DECIMAL(18, 2)) AS box_office_usd,
  CAST(as_of AS DATE) AS as_of,
  CASE WHEN year_only THEN 'day of release unknown, given as 1 January' END AS _repaired,
  CASE WHEN entry > 1 THEN 'IMDb id given twice' END AS _refused
FROM judged
