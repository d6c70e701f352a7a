-- One row a distributor. Films that name none stand together under '(not stated)'.
SELECT
  coalesce(distributor, '(not stated)') AS distributor,
  CAST(count(*) AS INTEGER) AS films,
  min(release_date) AS first_release,
  max(release_date) AS last_release,
  CAST(sum(production_cost_usd) AS DECIMAL(18, 2)) AS production_cost_usd,
  CAST(sum(production_cost_eur) AS DECIMAL(18, 2)) AS production_cost_eur,
  CAST(count(*) FILTER (WHERE production_cost_eur IS NULL) AS INTEGER) AS films_without_eur,
  CAST(sum(worldwide_gross_usd) AS DECIMAL(18, 2)) AS worldwide_gross_usd
FROM cost_statement
GROUP BY coalesce(distributor, '(not stated)')
