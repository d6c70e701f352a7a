-- Some films stand in the database twice, as two cuts under one IMDb id: the first entry is kept.
SELECT
  CAST(film_id AS INTEGER) AS film_id,
  imdb_id,
  title,
  CAST(year AS INTEGER) AS year,
  CAST(runtime_min AS INTEGER) AS runtime_min,
  CASE
    WHEN row_number() OVER (PARTITION BY imdb_id ORDER BY film_id) > 1 THEN 'second entry of one IMDb id'
  END AS _refused
FROM films
