"""A new user's first day: the pages are true, their blocks run, and each mistake has an answer that helps."""

import contextlib
import importlib.util
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from datetime import date
from decimal import Decimal
from pathlib import Path
from unittest import mock

import pytest

from polyport import ports
from polyport.access import Order
from polyport.access.masks import KINDS
from polyport.cli import main
from polyport.descriptor.scaffold import scaffold
from polyport.descriptor.types import Port
from polyport.mesh import Mesh
from polyport.model import OWNER, Principal
from polyport.ports.input import InputContext
from polyport.product import Product

ROOT = Path(__file__).parents[2]
MESSFLIX = ROOT / "examples" / "messflix"
COSTS = "produce-content/production-cost-statement"
BLOCK = re.compile(r"<!-- run: (\w+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page):
    return BLOCK.findall((ROOT / "docs" / page).read_text("utf-8"))


def call(*arguments, folder=None):
    """Exit status and all that `polyport ARGUMENTS` says."""
    said, code = io.StringIO(), 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", ["polyport", *map(str, arguments)]))
        stack.enter_context(contextlib.redirect_stdout(said))
        stack.enter_context(contextlib.redirect_stderr(said))
        if folder:
            stack.enter_context(contextlib.chdir(folder))
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, said.getvalue()


def run_python(text, folder):
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# docs/clients.md


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A folder with `messflix-demo` in it, two snapshots of the cost statement, served; and the port."""
    folder = tmp_path_factory.mktemp("clients")
    home = folder / "messflix-demo" / COSTS
    shutil.copytree(MESSFLIX / COSTS, home, ignore=shutil.ignore_patterns(".polyport", "drive"))
    shutil.copy(MESSFLIX / "mesh.yaml", folder / "messflix-demo")
    settings = home / "polyport.yaml"
    settings.write_text(re.sub(r"^ports:\n.*\n", "", settings.read_text(), flags=re.MULTILINE))
    with Mesh.find(home) as mesh:
        product = mesh.product("production-cost-statement")
        product.build()
        shutil.copytree(home / "inputs-next", home / "inputs", dirs_exist_ok=True)
        product.build()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "polyport", "serve", str(home), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            answering(process, f"http://127.0.0.1:{port}/")
            yield folder, port
        finally:
            process.terminate()


def answering(process, url):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None
        with contextlib.suppress(OSError), urllib.request.urlopen(url):
            return
        time.sleep(0.05)  # until the next try, not instead of an answer
    pytest.fail(f"nothing answers at {url}")


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_lines_for_clients_run(served):
    folder, port = served
    said = []
    for kind, text in blocks("clients.md"):
        script = text.replace("127.0.0.1:8400", f"127.0.0.1:{port}")
        if kind == "python":
            said.append(run_python(script, folder))
            continue
        done = subprocess.run(
            ["bash", "-ec", script], cwd=folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    curl, duckdb, arrow, paged, iceberg = said
    assert curl.count('"title":') == 2
    assert (folder / "universal.csv").read_text().count("Universal") == 255
    assert "255" in duckdb
    rows, director = arrow.split()
    assert int(rows) < 3200
    assert re.fullmatch("[0-9a-f]{16}", director)
    assert int(paged) == 3200 + 3 - 1
    assert [line.split()[0] for line in iceberg.splitlines()] == ["1", "2"]


def test_the_metadata_has_lines_for_sql_that_run(served):
    folder, port = served
    address = f"http://127.0.0.1:{port}/products/production-cost-statement"
    with urllib.request.urlopen(address) as reply:
        told = {p["name"]: p for p in json.load(reply)["ports"]["output"]}
    assert told["sql"]["address"] == f"postgresql://127.0.0.1:{port + 32}/production-cost-statement"
    assert told["flight"]["address"] == f"grpc://127.0.0.1:{port + 33}"
    with_ours_first = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ran = []
    for name in ("sql", "flight"):
        for client, line in told[name]["clients"].items():
            if client == "shell":
                program = line.split()[0]
                if shutil.which(program, path=with_ours_first["PATH"]) is None:
                    continue
                done = subprocess.run(
                    line,
                    shell=True,
                    env=with_ours_first,
                    cwd=folder,
                    capture_output=True,
                    text=True,
                    timeout=120,
                )
                assert done.returncode == 0, done.stderr
                said = done.stdout
            elif missing(line):
                continue
            else:
                said = run_python(line, folder)
            assert "statement_id" in said or "-19" in said or "-20" in said, (name, client, said)
            ran.append((name, client))
    assert ("flight", "shell") in ran


@pytest.mark.parametrize(
    ("page", "says"), [("flight.md", "[5 rows x 16 columns]"), ("sql.md", "3202\n")]
)
def test_the_lines_of_a_port_s_page_run(served, page, says):
    folder, port = served
    ((_, text),) = blocks(page)
    if missing(text):
        pytest.skip("its client is not installed")
    shifted = re.sub(r":(84\d\d)", lambda found: f":{port + int(found[1]) - 8400}", text)
    assert shifted != text
    assert says in run_python(shifted, folder)


def missing(script):
    """Whether a script imports what is not installed here."""
    names = re.findall(r"^(?:import|from) (\w+)", script, re.MULTILINE)
    return any(importlib.util.find_spec(name) is None for name in names)


# docs/python.md


def test_the_python_page_runs_from_top_to_bottom(tmp_path):
    scaffold("my-product", tmp_path)
    build, read, changed = [run_python(text, tmp_path) for _, text in blocks("python.md")]
    assert "published 1" in build
    assert "'total': Decimal('117.00')" in read
    assert "revenue': Decimal('117.00')" in read
    assert changed.startswith("added None {'date'")


# docs/policy.md

MASKS = re.compile(r"^\| `(\w+)(?:[:`].*)? \| ", re.MULTILINE)
FILMS = "id,director,day,cost\n1,Ridley Scott,2007-05-25,1234.56\n2,,,\n"
ROLES = """\
inputs:
  sheet: {type: files, path: inputs/*.csv}
access:
  agreements: optional
  roles:
    null: {mask: {director: "null"}}
    hash: {mask: {director: hash}}
    partial: {mask: {director: partial}}
    prefix: {mask: {director: "prefix:3"}}
    constant: {mask: {director: "constant:TEXT"}}
    year: {mask: {day: year}}
    month: {mask: {day: month}}
    hundreds: {mask: {cost: "round:2"}}
    tenths: {mask: {cost: "round:-1"}}
    french: {rows: "cost > 1000", columns: [id, cost]}
    all_titles: {columns: [id, director]}
    studio: {rows: "director = principal.name"}
"""


def films_product(home):
    scaffold(home.name, home.parent)
    for old in (*home.glob("*/*.csv"), *home.glob("transform/*"), *home.glob("contracts/*")):
        old.unlink()
    (home / "inputs/films.csv").write_text(FILMS)
    (home / "transform/films.sql").write_text("SELECT * FROM sheet")
    (home / "polyport.yaml").write_text(ROLES.replace("    null:", '    "null":'))
    odps = home / "dataproduct.odps.yaml"
    odps.write_text(odps.read_text().replace("- name: sales", "- name: sheet"))
    (home / f"contracts/{home.name}.odcs.yaml").write_text(
        f"apiVersion: v3.2.0\nkind: DataContract\nid: {home.name}\nversion: 1.0.0\nstatus: active\n"
        "schema:\n- name: films\n  properties:\n"
        "  - {name: id, logicalType: integer, required: true, primaryKey: true}\n"
        "  - {name: director, logicalType: string}\n"
        "  - {name: day, logicalType: date}\n"
        "  - {name: cost, logicalType: number, physicalType: 'DECIMAL(12,2)'}\n"
    )


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    home = tmp_path_factory.mktemp("policy") / "films"
    films_product(home)
    with Product.load(home) as product:
        product.build()
        yield product


def seen(product, *roles, **attributes):
    with product.open(Principal("ann", frozenset(roles), attributes)) as view:
        return sorted(view.scan("films").read_all().to_pylist(), key=lambda row: row["id"])


@pytest.mark.parametrize(
    ("role", "column", "shown"),
    [
        ("null", "director", None),
        ("partial", "director", "R***"),
        ("prefix", "director", "Rid"),
        ("constant", "director", "TEXT"),
        ("year", "day", date(2007, 1, 1)),
        ("month", "day", date(2007, 5, 1)),
        ("hundreds", "cost", 1200),
        ("tenths", "cost", pytest.approx(1234.6)),
    ],
)
def test_masks_give_what_the_page_says(films, role, column, shown):
    first, second = seen(films, role)
    found = first[column] if role != "tenths" else float(first[column])
    assert found == shown
    assert second[column] == ("TEXT" if role == "constant" else None)


def test_a_hash_is_the_same_for_the_same_value_and_names_none(films):
    first, second = seen(films, "hash")
    assert re.fullmatch("[0-9a-f]{16}", first["director"])
    assert second["director"] is None


def test_the_page_has_each_mask():
    page = (ROOT / "docs/policy.md").read_text("utf-8")
    assert set(MASKS.findall(page)) >= {*KINDS} - {"month"}


def test_roles_add_up_row_by_row(films):
    assert seen(films, "french", "all_titles") == [
        {"id": 1, "director": "Ridley Scott", "cost": Decimal("1234.56")},
        {"id": 2, "director": None, "cost": None},
    ]


def test_a_filter_with_an_unknown_attribute_fits_no_row(films):
    assert [row["id"] for row in seen(films, "studio", name="Ridley Scott")] == [1]
    assert seen(films, "studio") == []


# Mistakes


@pytest.fixture
def shop(tmp_path):
    return scaffold("shop", tmp_path)


HEAD = "date,place,count,price\n"
DAY = "2026-01-05,A,1,2\n"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (
            HEAD + DAY + "2026-01-05,B,1,2,3,4\n",
            "sales.csv, line 3: 6 cells where the header has 4",
        ),
        (HEAD + '2026-01-05,"A,1,2\n' + DAY, "a quote that is not closed"),
        (HEAD + DAY * 30_000 + DAY.replace(",1,", ",x,"), "in column 'count' is not a BIGINT"),
        (HEAD + DAY * 30_000 + "2026-01-05,A,1\n", "line 30,002: 3 cells where the header has 4"),
        (
            HEAD + DAY * 30_000 + '2026-01-05,"A,1,2\n',
            "line 30,002: a quote is opened and never closed",
        ),
        ("\ufeff", "sales.csv is empty (only a byte order mark)"),
        ("", "sales.csv is empty (0 bytes)"),
    ],
)
def test_a_broken_csv_file_is_named_with_its_line(shop, text, answer):
    (shop / "inputs/sales.csv").write_text(text, encoding="utf-8")
    code, said = call("build", shop)
    assert code == 3
    assert answer in said
    assert "fix:" in said
    assert ".polyport/raw" not in said
    assert "nothing was published" in said


def test_a_longer_row_does_not_take_the_place_of_the_header(shop):
    """An engine that looks for a dialect would skip all that stands above it, and say nothing."""
    (shop / "transform/shop.sql").write_text("SELECT * FROM sales")
    settings = shop / "polyport.yaml"
    settings.write_text(settings.read_text().replace("path:", "header: false\n    path:"))
    (shop / "inputs/sales.csv").write_text(DAY + DAY + "2026-01-05,B,1,2,3\n")
    code, said = call("build", shop)
    assert code == 3
    assert "sales.csv, line 3: 5 cells where the header has 4" in said


@pytest.mark.parametrize(
    ("above", "setting"),
    [("\n\n", ""), ("Sales of today\n\n", "skip_rows: 1"), ("a,b,c,d,e,f\n", "skip_rows: 1")],
)
def test_what_stands_above_the_header_can_be_left_out(shop, above, setting):
    path = shop / "inputs/sales.csv"
    path.write_text(above + path.read_text(), newline="")
    other = path.read_text().splitlines()[-2].replace("Harbour", "Square").replace(",", ";")
    (shop / "inputs/more.csv").write_text(above + f"date;place;count;price\n{other}\n")
    settings = shop / "polyport.yaml"
    settings.write_text(settings.read_text().replace("path:", f"{setting}\n    path:"))
    code, said = call("build", shop)
    assert code == 0, said
    code, said = call("rows", "shop", shop, "--json")
    assert said.count('"place"') == 5
    assert "Square" in said


@pytest.mark.parametrize("target", ["folder", "link"])
def test_what_is_no_file_is_called_what_it_is(shop, target):
    path = shop / "inputs/sales.csv"
    path.unlink()
    path.mkdir() if target == "folder" else path.symlink_to("gone.csv")
    code, said = call("build", shop)
    assert code == 3
    assert f"sales.csv is a {target}" in said


def test_windows_line_endings_and_byte_order_marks_change_nothing(shop):
    for path in shop.rglob("*.*"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert call("check", shop, "--strict")[0] == 0
    assert call("build", shop)[0] == 0
    assert "117.00" in call("rows", "shop", shop)[1]


@pytest.mark.parametrize("name", ["select", "my data", "Ünï", "o'b", 'say "hi"', "a" * 180])
def test_a_dataset_may_be_called_anything(shop, name):
    (shop / "transform/shop.sql").rename(shop / f"transform/{name}.sql")
    contract = shop / "contracts/shop.odcs.yaml"
    quoted = "'" + name.replace("'", "''") + "'"
    contract.write_text(contract.read_text().replace("- name: shop\n", f"- name: {quoted}\n"))
    code, said = call("build", shop)
    assert code == 0, said
    code, said = call("rows", name, shop, "--json")
    assert code == 0, said
    assert said.count('"place"') == 4


@pytest.mark.parametrize("name", ["my data", "100%25 ünd 'x' [a]*"])
def test_a_folder_and_a_dataset_may_be_called_anything_on_the_quick_path_too(tmp_path, name):
    (tmp_path / name).mkdir()
    home = scaffold("shop", tmp_path / name)
    (home / "transform/shop.sql").rename(home / f"transform/{name}.sql")
    contract = home / "contracts/shop.odcs.yaml"
    quoted = "'" + name.replace("'", "''") + "'"
    contract.write_text(contract.read_text().replace("- name: shop\n", f"- name: {quoted}\n"))
    with Product.load(home) as product:
        product.build()
        product.speed_up()
        for _ in range(2):  # by the engine while the index is made, then by the index
            with product.open(OWNER) as view:
                found = view.scan(name, order=[Order("date")], limit=3).read_all()
                assert found.num_rows == 3
            product.keyed.wait()
        assert product.keyed.get(view.snapshot, name) is not None


def test_a_dot_in_a_datasets_name_is_answered(shop):
    (shop / "transform/shop.sql").rename(shop / "transform/a.b.sql")
    contract = shop / "contracts/shop.odcs.yaml"
    contract.write_text(contract.read_text().replace("- name: shop\n", "- name: a.b\n"))
    code, said = call("check", shop)
    assert code == 2
    assert "a name without a dot" in said


def test_a_row_cannot_be_refused_in_transform_and_check_says_where(shop):
    step = shop / "transform/shop.sql"
    step.write_text(step.read_text().replace("FROM sales", ", 'no' AS _refused\nFROM sales"))
    assert "mend rows and set them aside there" in call("check", shop)[1]


def test_a_wrong_port_setting_stops_the_build_before_it_publishes(shop):
    settings = shop / "polyport.yaml"
    settings.write_text(settings.read_text() + "ports: {files: {formats: [csvv]}}\n")
    code, said = call("build", shop)
    assert code == 2
    assert "nothing was built" in said
    assert call("rows", "shop", shop)[0] == 5


def test_a_snapshot_that_was_published_but_not_pushed_is_shown(shop):
    (shop / "drive").write_text("in the way")
    settings = shop / "polyport.yaml"
    settings.write_text(
        settings.read_text() + "ports: {files: {push: {to: drive, role: reader}}}\n"
    )
    code, said = call("build", shop)
    assert code == 2
    assert "snapshot 1: shop" in said
    assert "'drive' is a file" in said
    assert call("rows", "shop", shop)[0] == 0


# What the reference of settings shows

NEEDED = {
    "files": {"path": "a.csv"},
    "spreadsheet": {"path": "a.xlsx"},
    "http": {"url": "http://127.0.0.1", "records": "$.rows"},
    "database": {"url": "sqlite:///a.db", "table": "films"},
    "product": {"product": "films", "dataset": "films"},
}
SCHEMA = json.loads((ROOT / "src/polyport/descriptor/polyport.schema.json").read_text("utf-8"))
SECRETS = ("API_TOKEN", "API_KEY", "API_LOGIN", "API_PASSWORD", "FINANCE_TOKEN", "DB_PASSWORD")


def examples():
    for kind in NEEDED:
        for name, node in SCHEMA["$defs"][f"{kind.capitalize()}Input"]["properties"].items():
            if "$ref" not in node and name != "type":
                yield from (pytest.param(kind, name, e) for e in node.get("examples", ()))


@pytest.mark.parametrize(("kind", "name", "example"), list(examples()))
def test_each_example_of_an_inputs_setting_is_one_that_the_port_takes(kind, name, example):
    settings = {**NEEDED[kind], name: example}
    if name == "query":
        del settings["table"]
    if (kind, name) == ("database", "options"):
        settings["adbc"] = "adbc_driver_postgresql"
    secrets = {one: f"${{{one}}}" for one in SECRETS}
    spec = Port("sheet", type=kind, settings=settings)
    ports.load("input", kind, where="sheet")(InputContext(spec, Path(), secrets=secrets))


# A mesh


@pytest.fixture
def mesh(tmp_path):
    """Three products; the last reads the first, which has no role for it."""
    root = tmp_path / ".work" / "mesh"
    root.mkdir(parents=True)
    (root / "mesh.yaml").write_text("name: mesh\n")
    for name in ("a-first", "b-second", "c-third"):
        scaffold(name, root)
    settings = root / "c-third/polyport.yaml"
    source = "{type: product, product: a-first, dataset: a_first}"
    settings.write_text(f"inputs:\n  sales: {source}\n")
    (root / "c-third/transform/c_third.sql").write_text("SELECT * FROM sales")
    return root


def test_a_mesh_is_found_from_within_and_below_a_hidden_folder(mesh):
    code, said = call("check", "..", folder=mesh / "a-first")
    assert code == 0, said
    assert said.count("✓") == 3
    assert call("build", "../../a-first", folder=mesh / "b-second/inputs")[0] == 0
    assert not (mesh / "a-first/.polyport").exists()


def test_a_consumer_without_a_role_is_told_what_to_ask_for(mesh):
    code, said = call("build", mesh)
    assert code == 3
    assert "there is no data sharing agreement" in said
    assert "polyport agreement request a-first" in said
    settings = mesh / "a-first/polyport.yaml"
    agreed = settings.read_text().replace("reader: {}", '"product:c-third": {}')
    settings.write_text(agreed.replace("  roles:", "  agreements: optional\n  roles:"))
    code, said = call("build", mesh)
    assert code == 0, said
    assert "117.00" in call("rows", "c_third", mesh / "c-third")[1]


def test_products_after_the_one_that_failed_are_named(mesh):
    (mesh / "a-first/inputs/sales.csv").unlink()
    code, said = call("build", mesh)
    assert code == 3
    assert "c-third was skipped: it reads a-first" in said
    assert "1 of 3 data products built" in said


def test_next_steps_can_be_pasted_where_a_folder_has_spaces(tmp_path):
    home = scaffold("shop", tmp_path).rename(tmp_path / "größe & co (1)")
    assert f"polyport build '{home}'" in call("check", home)[1]
    assert f"polyport serve '{home}'" in call("build", home)[1]
