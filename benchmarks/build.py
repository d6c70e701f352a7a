"""Build + gate + publish of N rows against the bare DuckDB script that does the same work.

Both read the same Parquet file, compute the same ten rules, and write the same columns as Parquet with zstd. Polyport
besides keeps the raw file (hashed and copied), writes manifest and Iceberg metadata, the report, and the logs.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import textwrap
from pathlib import Path

from benchmarks.measure import Figures, median, run

RUNS = 5
COLUMNS = """
    range::BIGINT AS id,
    'film ' || (range % 500_000) AS title,
    ['Warner', 'Fox', 'Universal', 'Sony', 'MGM'][1 + range % 5] AS studio,
    DATE '1990-01-01' + (range % 12_000)::INT AS released,
    (range * 37 % 1_000_000 / 100)::DECIMAL(12,2) AS cost,
    (range * 91 % 5_000_000 / 100)::DECIMAL(12,2) AS gross,
    (range % 101)::INTEGER AS rating,
    CASE WHEN range % 50 = 0 THEN NULL ELSE 'tt' || lpad((range % 9_999_999)::VARCHAR, 7, '0') END AS imdb_id
"""
ODPS = """
apiVersion: v1.1.0
kind: DataProduct
id: bench
name: Bench
version: 1.0.0
status: active
domain: benchmarks
inputPorts: [{name: source, version: 1.0.0}]
outputPorts: [{name: rest, type: rest, version: 1.0.0, contractId: bench}, {name: files, type: files, version: 1.0.0, contractId: bench}]
"""
ODCS = """
apiVersion: v3.2.0
kind: DataContract
id: bench
name: Bench
version: 1.0.0
status: active
schema:
  - name: costs
    quality:
      - {id: some-rows, metric: rowCount, mustBeGreaterThan: 1000}
      - {id: margin, type: sql, query: "SELECT count(*) FROM ${table} WHERE gross < 0", mustBe: 0}
    properties:
      - {name: id, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true}
      - {name: title, logicalType: string, physicalType: VARCHAR, required: true, logicalTypeOptions: {minLength: 1}}
      - name: studio
        logicalType: string
        physicalType: VARCHAR
        quality: [{id: known-studio, metric: invalidValues, arguments: {validValues: [Warner, Fox, Universal, Sony, MGM]}, mustBe: 0}]
      - {name: released, logicalType: date, physicalType: DATE, required: true}
      - {name: cost, logicalType: number, physicalType: "DECIMAL(12,2)", logicalTypeOptions: {minimum: 0}}
      - {name: gross, logicalType: number, physicalType: "DECIMAL(12,2)"}
      - {name: rating, logicalType: integer, physicalType: INTEGER, logicalTypeOptions: {minimum: 0, maximum: 100}}
      - name: imdb_id
        logicalType: string
        physicalType: VARCHAR
        quality:
          - {id: imdb-filled, metric: nullValues, unit: percent, mustBeLessThan: 5}
          - {id: imdb-pattern, metric: invalidValues, arguments: {pattern: "^tt[0-9]{7}$"}, mustBe: 0}
"""
SELECT = "SELECT id, title, studio, released, cost, gross, rating, imdb_id FROM source"
BARE = """
import duckdb, sys
con = duckdb.connect()
con.execute("SET preserve_insertion_order = false")
con.execute("COPY ({select}) TO '{out}' (FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd)".replace("FROM source", "FROM '{source}'"))
t = "'{out}'"
row = con.execute(f'''SELECT count(*), count(*) FILTER (id IS NULL), count(*) FILTER (title IS NULL),
  count(*) FILTER (length(title) < 1), count(*) FILTER (studio NOT IN ('Warner','Fox','Universal','Sony','MGM')),
  count(*) FILTER (released IS NULL), count(*) FILTER (cost < 0), count(*) FILTER (rating < 0 OR rating > 100),
  count(*) FILTER (imdb_id IS NULL), count(*) FILTER (NOT regexp_matches(imdb_id, '^tt[0-9]{{{{7}}}}$')) FROM {{t}}''').fetchone()
double = con.execute(f"SELECT count(*) FROM (SELECT id FROM {{t}} GROUP BY id HAVING count(*) > 1)").fetchone()
gross = con.execute(f"SELECT count(*) FROM {{t}} WHERE gross < 0").fetchone()
assert row[0] > 1000 and not any(row[i] for i in (1, 2, 3, 4, 5, 6, 7, 9)) and row[8] < row[0] / 20, row
assert double == gross == (0,)
"""


def prepare(folder: Path, rows: int) -> Path:
    """A product in `folder` whose input has `rows` rows; the folder."""
    import duckdb

    for name, text in {
        "dataproduct.odps.yaml": ODPS,
        "contracts/bench.odcs.yaml": ODCS,
        "polyport.yaml": "inputs:\n  source: {type: files, path: inputs/*.parquet}\n",
        "transform/costs.sql": SELECT + "\n",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip(), "utf-8")
    (folder / "inputs").mkdir(exist_ok=True)
    with duckdb.connect() as connection:
        target = folder / "inputs" / "source.parquet"
        connection.execute(
            f"COPY (SELECT {COLUMNS} FROM range({rows})) TO '{target}' (FORMAT parquet)"
        )
    return folder


def compare(rows: int) -> tuple[Figures, Figures]:
    """Medians of Polyport's first build, and of the bare script, run in turn; what the first of each took is left out."""
    folder = Path(tempfile.mkdtemp(prefix="polyport-bench-"))
    try:
        product = prepare(folder / "product", rows)
        out = folder / "bare.parquet"
        script = folder / "bare.py"
        source = product / "inputs" / "source.parquet"
        script.write_text(
            textwrap.dedent(BARE).format(select=SELECT, out=out, source=source), "utf-8"
        )
        ours, bare = [], []
        for _ in range(RUNS + 1):
            shutil.rmtree(product / ".polyport", ignore_errors=True)
            ours.append(run([sys.executable, "-m", "polyport", "build", str(product)]))
            out.unlink(missing_ok=True)
            bare.append(run([sys.executable, str(script)]))
    finally:
        shutil.rmtree(folder)
    return median(ours[1:]), median(bare[1:])


def main() -> None:
    """Print ratios for 1 M and 10 M rows."""
    for rows in (1_000_000, 10_000_000):
        ours, bare = compare(rows)
        print(
            f"build {rows:>10,} rows: {ours.seconds / bare.seconds:.2f}x the bare script's time"
            f" ({ours.seconds:.2f} s, {bare.seconds:.2f} s), CPU {ours.cpu / bare.cpu:.2f}x,"
            f" peak memory {ours.peak / bare.peak:.2f}x ({ours.peak / 2**20:.0f} MiB, {bare.peak / 2**20:.0f} MiB)"
        )


if __name__ == "__main__":
    main()
