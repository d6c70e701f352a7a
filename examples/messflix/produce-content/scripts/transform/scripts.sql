-- One row a script: what it is, in which languages, from which countries, how popular its film, and what it cost.
WITH spoken AS (
  SELECT
    film_id,
    list_sort(list(DISTINCT language)) AS languages
  FROM languages
  GROUP BY film_id
),

origin AS (
  SELECT
    countries.film_id,
    list_sort(list(DISTINCT codes.iso_alpha2)) AS countries
  FROM countries
  INNER JOIN country_codes AS codes ON codes.name = countries.country
  GROUP BY countries.film_id
),

authors AS (
  SELECT
    film_id,
    CAST(count(*) AS INTEGER) AS writers
  FROM writers
  GROUP BY film_id
),

latest AS (
  SELECT
    imdb_id,
    rank AS popularity_rank
  FROM popularity
  WHERE week = (SELECT max(week) FROM popularity)
),

best AS (
  SELECT
    imdb_id,
    min(rank) AS best_rank,
    CAST(count(*) AS INTEGER) AS weeks_ranked
  FROM popularity
  GROUP BY imdb_id
),

cost AS (
  SELECT
    imdb_id,
    max(production_cost_usd) AS production_cost_usd,
    max(production_cost_eur) AS production_cost_eur
  FROM costs
  WHERE imdb_id IS NOT NULL
  GROUP BY imdb_id
)

SELECT
  films.imdb_id,
  films.title,
  films.year,
  films.runtime_min,
  spoken.languages,
  origin.countries,
  coalesce(authors.writers, 0) AS writers,  -- a writer may have been erased
  latest.popularity_rank,
  best.best_rank,
  best.weeks_ranked,
  cost.production_cost_usd,
  cost.production_cost_eur
FROM films
LEFT JOIN spoken ON spoken.film_id = films.film_id
LEFT JOIN origin ON origin.film_id = films.film_id
LEFT JOIN authors ON authors.film_id = films.film_id
LEFT JOIN latest ON latest.imdb_id = films.imdb_id
LEFT JOIN best ON best.imdb_id = films.imdb_id
LEFT JOIN cost ON cost.imdb_id = films.imdb_id
