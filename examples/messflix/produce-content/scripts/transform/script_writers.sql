-- Who wrote each script, in the order in which the database names them.
SELECT
  films.imdb_id,
  CAST(writers.position AS INTEGER) AS position,
  writers.writer
FROM writers
INNER JOIN films ON films.film_id = writers.film_id
