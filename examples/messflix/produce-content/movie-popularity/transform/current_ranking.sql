-- The newest week's ranking, film by film, against the week before.
WITH newest AS (
  SELECT max(week) AS week FROM weekly_ranking
)

SELECT
  now.imdb_id,
  now.title,
  now.week,
  now.rank,
  before.rank AS previous_rank,
  before.rank - now.rank AS climbed,
  now.score
FROM weekly_ranking AS now
INNER JOIN newest ON now.week = newest.week
LEFT JOIN weekly_ranking AS before
  ON before.imdb_id = now.imdb_id AND before.week = now.week - INTERVAL 7 DAY
