-- Two entries name no language.
SELECT
  CAST(film_id AS INTEGER) AS film_id,
  language,
  CASE WHEN language IN ('multiple languages', 'artistic language') THEN 'not a language' END AS _refused
FROM languages
