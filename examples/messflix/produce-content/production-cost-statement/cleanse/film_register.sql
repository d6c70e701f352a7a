-- Which film has which IMDb id, by title and year. Two films of one title in one year are nobody's: no guess is made.
WITH keyed AS (
  SELECT
    imdb_id,
    CAST(year AS INTEGER) AS year,
    regexp_replace(lower(strip_accents(title)), '[^a-z0-9]', '', 'g') AS title_key
  FROM film_register
)

SELECT
  title_key,
  year,
  min(imdb_id) AS imdb_id
FROM keyed
WHERE title_key <> ''
GROUP BY title_key, year
HAVING count(DISTINCT imdb_id) = 1
