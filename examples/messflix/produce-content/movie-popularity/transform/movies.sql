-- The films known to the popularity service, with its latest figures.
SELECT
  imdb_id,
  title,
  year,
  release_date,
  runtime_min,
  genres,
  tomatometer,
  reviews,
  average_rating,
  box_office_usd
FROM popularity_api
