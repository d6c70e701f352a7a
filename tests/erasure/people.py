"""A product that keeps a person in every form: snapshots, raw, quarantine, logs, exports, ledger, caches."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import sqlite3
import sys
import textwrap
import zipfile
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

from polyport.cli import main
from polyport.product import Product

JANE = "Jané O'Canary-Doe"
"""An accent, a quote and a hyphen: each escape has its own way with them."""

FILES = {
    "dataproduct.odps.yaml": """
        apiVersion: v1.1.0
        kind: DataProduct
        id: people
        name: People
        version: 1.0.0
        status: active
        domain: testing
        description: {purpose: To be erased from.}
        inputPorts: [{name: sheet, version: 1.0.0}]
        outputPorts:
          - {name: files, type: files, version: 1.0.0, contractId: people}
          - {name: rest, type: rest, version: 1.0.0, contractId: people}
        team: {name: Testing, members: [{username: ann@example.com, role: owner}]}
        """,
    "contracts/people.odcs.yaml": """
        apiVersion: v3.2.0
        kind: DataContract
        id: people
        name: People
        version: 1.0.0
        status: active
        schema:
          - name: people
            properties:
              - {name: id, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true}
              - {name: person, logicalType: string, physicalType: VARCHAR}
              - {name: city, logicalType: string, physicalType: VARCHAR}
              - name: age
                logicalType: integer
                physicalType: BIGINT
                quality:
                  - {type: library, metric: invalidValues, mustBe: 0, severity: warning, arguments: {validValues: [30, 31, 32]}}
          - name: notes
            properties:
              - {name: note, logicalType: string, physicalType: VARCHAR}
              - {name: about, logicalType: string, physicalType: VARCHAR}
        """,
    "polyport.yaml": """
        inputs:
          sheet: {type: files, path: inputs/*.csv}
        access:
          roles: {analyst: {}}
        ports:
          files: {push: {to: drive, formats: [csv, parquet, xlsx, json, ndjson, arrow], role: owner}}
        """,
    "cleanse/checked.sql": """
        SELECT *, CASE WHEN city = 'Nowhere' THEN 'no such city: ' || city || ' of ' || person END AS _refused FROM sheet
        """,
    "transform/people.sql": "SELECT id::BIGINT AS id, person, city, age::BIGINT AS age FROM checked",
    "transform/notes.sql": "SELECT 'lives in ' || city AS note, person AS about FROM checked WHERE city = 'Rome'",
}
OTHERS = ["1,Ann Able,Oslo,30", "2,Bob Able,Rome,31", "3,Zoë Żak,Paris,32"]


def people(*more):
    return [*OTHERS, *more]


def write_people(home, rows):
    (home / "inputs").mkdir(exist_ok=True)
    text = "\n".join(["id,person,city,age", *rows]) + "\n"
    (home / "inputs/people.csv").write_text(text, "utf-8")


def build(home):
    with Product.load(home) as product:
        return product.build()


def rows_of(product, ref="latest", dataset="people"):
    from polyport.model import OWNER

    with product.open(OWNER, ref) as view, view.scan(dataset) as reader:
        return sorted(reader.read_all().to_pylist(), key=str)


def make(home):
    """Three snapshots: without her, with her, and with her, changed, and a row of hers set aside."""
    for name, text in FILES.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip(), "utf-8")
    write_people(home, people())
    build(home)
    write_people(home, people(f"4,{JANE},Berlin,33"))
    build(home)
    write_people(home, people(f"4,{JANE},Bonn,30", f"5,{JANE},Nowhere,34", "6,New One,Rome,31"))
    build(home)
    return home


def call(*arguments):
    """Run `polyport ARGUMENTS`; exit status, what was said on either side."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", ["polyport", *map(str, arguments)]))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, out.getvalue(), err.getvalue()


def erase_jane(home, *more, yes=True):
    arguments = ["erase", "people", home, "--value", JANE, "--column", "person", "--json", *more]
    code, out, err = call(*arguments, *(["--reason", "asked", "--yes"] if yes else []))
    return code, json.loads(out) if out.startswith("[") else out or err


# Canaries: each writes what a kind of file keeps the value in, and nowhere in plain sight


def plant_text(path):
    path.write_text(f"x,{JANE},y\n", "utf-8")


def plant_utf16(path):
    path.write_bytes(f"a,{JANE}".encode("utf-16"))


def plant_utf16_bare(path):
    path.write_bytes(f"a,{JANE}".encode("utf-16-le"))


def plant_latin(path):
    path.write_bytes(f"caf\xe9,{JANE}".encode("latin-1"))


def plant_upper(path):
    path.write_text(f"MRS {JANE.upper()}", "utf-8")


def plant_json(path):
    path.write_text(json.dumps({"n": f"line\n{JANE}"}), "utf-8")


def plant_decomposed(path):
    import unicodedata

    path.write_text(unicodedata.normalize("NFD", JANE), "utf-8")


def plant_xml(path):
    path.write_text(f"<a><b>{JANE[:4]}</b><i>{JANE[4:]}</i></a>", "utf-8")


def plant_url(path):
    from urllib.parse import quote_plus

    path.write_text(f"GET /x?q=a+{quote_plus(JANE)}&b", "ascii")


def plant_gzip(path):
    path.write_bytes(gzip.compress(b"x" * 3_000_000 + f"\n{JANE}\n".encode()))


def plant_bz2(path):
    import bz2

    path.write_bytes(bz2.compress(JANE.encode()))


def plant_xz(path):
    import lzma

    path.write_bytes(lzma.compress(JANE.encode()))


def plant_zstd(path):
    with pa.CompressedOutputStream(str(path), "zstd") as sink:
        sink.write(("lorem " * 500 + JANE).encode())


def plant_tar_gz(path):
    import tarfile

    with tarfile.open(path, "w:gz") as archive:
        data = f"hello {JANE}".encode()
        info = tarfile.TarInfo("a.txt")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))


def plant_xlsx(path):
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["a", JANE])
    book.save(path)


def plant_zip_in_zip(path):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", f"hello {JANE}" * 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.zip", inner.getvalue())


def plant_parquet(path):
    pq.write_table(
        pa.table({"n": ["x"] * 5_000 + [JANE]}), path, compression="zstd", use_dictionary=False
    )


def plant_parquet_nested(path):
    pq.write_table(pa.table({"n": [[{"who": JANE}] * 50]}), path, compression="zstd")


def plant_parquet_dictionary(path):
    """In the dictionary page, and in no row."""
    words = pa.array([f"word number {n}" for n in range(2_000)] + [JANE])
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), words)
    pq.write_table(
        pa.table({"n": column}),
        path,
        compression="zstd",
        write_statistics=False,
        store_schema=False,
    )
    assert JANE.encode() not in path.read_bytes()
    assert JANE not in pq.read_table(path)["n"].to_pylist()


def plant_arrow(path):
    table = pa.table({"n": ["x"] * 500 + [JANE]})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(path, table.schema, options=options) as writer:
        writer.write_table(table)


def plant_arrow_stream(path):
    table = pa.table({"n": ["x"] * 500 + [JANE]})
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(path, table.schema, options=options) as writer:
        writer.write_table(table)


def plant_sqlite(path):
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (a, b)")
        database.execute("INSERT INTO t VALUES (1, ?)", [JANE])
        database.commit()


def plant_sqlite_free_page(path):
    """Deleted, and still in a page that is free."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA secure_delete = OFF")
        database.execute("CREATE TABLE t (a, b)")
        database.executemany(
            "INSERT INTO t VALUES (?, ?)", [(n, f"{JANE} {n}") for n in range(2_000)]
        )
        database.commit()
        database.execute("DELETE FROM t")
        database.commit()
        assert not database.execute("SELECT * FROM t").fetchall()


def plant_avro(path):
    """Deflated, as Iceberg's manifests are."""
    import zlib

    def number(n):
        n, out = n << 1, b""
        while n >= 0x80:
            out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
        return out + bytes([n])

    def text(data):
        return number(len(data)) + data

    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(b"bound " * 50 + JANE.encode()) + packer.flush()
    meta = (
        number(2)
        + text(b"avro.codec")
        + text(b"deflate")
        + text(b"avro.schema")
        + text(b'"bytes"')
        + number(0)
    )
    path.write_bytes(b"Obj\x01" + meta + b"S" * 16 + number(1) + text(block) + b"S" * 16)


PLANTS = {
    name.removeprefix("plant_"): f
    for name, f in list(globals().items())
    if name.startswith("plant_")
}
