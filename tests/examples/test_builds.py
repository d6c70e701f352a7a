"""The example products, built as a person builds them: what the example's README says is what happens."""

import importlib.util
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from polyport.errors import AccessError, QualityError
from polyport.mesh import Mesh
from polyport.model import OWNER, Principal

MESSFLIX = Path(__file__).parents[2] / "examples" / "messflix"
IGNORED = shutil.ignore_patterns(".polyport", "drive", "__pycache__", ".*_cache")
COSTS, POPULARITY, SCRIPTS = "production-cost-statement", "movie-popularity", "scripts"
SECOND = {"added": 3, "removed": 1, "changed": 7}


@contextmanager
def service(week):
    """The popularity service of `week`; its address."""
    spec = importlib.util.spec_from_file_location(
        "messflix_service", MESSFLIX / "api" / "server.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.make_server(week)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A mesh with the first snapshot of each product, and what each build gave."""
    home = tmp_path_factory.mktemp("messflix") / "messflix"
    shutil.copytree(MESSFLIX, home, ignore=IGNORED)
    with pytest.MonkeyPatch.context() as patch, service(1) as address, Mesh.find(home) as mesh:
        patch.setenv("POPULARITY_API_URL", address)
        results = {product.spec.id: product.build() for product in mesh.at(home)}
        yield home, mesh, results


@pytest.fixture
def mesh(built):
    return built[1]


@pytest.fixture
def results(built):
    return built[2]


@pytest.fixture
def other(built, tmp_path):
    """A mesh of its own for a test that builds again: the snapshots of `built`, copied."""
    home = tmp_path / "messflix"
    shutil.copytree(built[0], home)
    with Mesh.find(home) as found:
        yield home, found


ANALYST = Principal("ana", teams=frozenset({"analysts"}))
"""Has no role of her own: the agreement with her team gives one, for planning."""


def scan(product, dataset, principal=OWNER, purpose="", **how):
    opened = product.open(principal, purpose=purpose, port="rest")
    with opened as view, view.scan(dataset, **how) as reader:
        return reader.read_all().to_pylist()


def touched(result, kind):
    """How many rows each repair, or each reason, touched in the run."""
    return {k: n for step in result.run.steps for k, n in getattr(step, kind).items()}


def warnings(result):
    return {(r.dataset, r.column) for r in result.report.results if r.status == "warn"}


def test_each_product_is_published_with_its_rows(results):
    rows = {p: {d.name: d.rows for d in r.snapshot.datasets.values()} for p, r in results.items()}
    assert rows == {
        COSTS: {"cost_statement": 3200, "distributor_summary": 175},
        POPULARITY: {"movies": 6139, "weekly_ranking": 5100, "current_ranking": 100},
        SCRIPTS: {"scripts": 13725, "script_writers": 21011},
    }


def test_the_dirt_is_repaired_set_aside_and_counted(results):
    assert touched(results[COSTS], "repaired") == {"two-digit year": 22, "accents in the title": 18}
    assert touched(results[COSTS], "refused") == {"no title": 1}
    assert touched(results[POPULARITY], "repaired") == {
        "day of release unknown, given as 1 January": 3328
    }
    assert touched(results[POPULARITY], "refused") == {"IMDb id given twice": 1}
    assert touched(results[SCRIPTS], "refused") == {
        "second entry of one IMDb id": 2,
        "not a language": 2,
    }


def test_warnings_are_those_of_the_readme(results):
    assert warnings(results[COSTS]) == {
        ("cost_statement", "title"),
        ("cost_statement", "production_cost_eur"),
        ("cost_statement", "worldwide_gross_usd"),
    }
    assert warnings(results[POPULARITY]) == {("movies", "box_office_usd")}
    assert warnings(results[SCRIPTS]) == set()
    assert not [r for result in results.values() for r in result.report.stops]


def test_costs_are_converted_at_the_rate_of_the_last_working_day(mesh):
    rows = {r["statement_id"]: r for r in scan(mesh.product(COSTS), "cost_statement")}
    avatar = rows["avatar-2009"]
    assert float(avatar["production_cost_eur"]) == pytest.approx(237_000_000 / 1.4337, abs=0.01)
    assert rows["gone-with-the-wind-1939"]["production_cost_eur"] is None
    weekend = [r for r in rows.values() if r["rate_date"] and r["rate_date"] != r["release_date"]]
    assert weekend
    assert all(1 <= (r["release_date"] - r["rate_date"]).days <= 5 for r in weekend)
    assert rows["leon-1994"]["title"] == "Léon"
    assert rows["300-2007"]["title"] == "300"


def test_scripts_are_enriched_by_the_two_other_products(mesh, results):
    rows = {r["imdb_id"]: r for r in scan(mesh.product(SCRIPTS), "scripts")}
    assert sum(r["production_cost_usd"] is not None for r in rows.values()) == 2287
    assert sum(r["popularity_rank"] is not None for r in rows.values()) == 88
    assert rows["tt0470752"]["popularity_rank"] == rows["tt0470752"]["best_rank"] == 1
    assert rows["tt1741542"]["languages"] == ["French"]
    assert rows["tt1741542"]["countries"] == ["BE", "FR"]
    assert all(len(code) == 2 for r in rows.values() for code in r["countries"])
    for port, product in (("costs", COSTS), ("popularity", POPULARITY)):
        assert results[SCRIPTS].snapshot.inputs[port] == f"{product}@{results[product].snapshot.id}"


def test_an_analyst_sees_films_since_1990_for_planning_only(mesh):
    product = mesh.product(COSTS)
    rows = scan(product, "cost_statement", ANALYST, "planning")
    known = {r["director"] for r in scan(product, "cost_statement") if r["director"]}
    assert 0 < len(rows) < 3200
    assert min(r["release_year"] for r in rows) == 1990
    assert not known & {r["director"] for r in rows}
    with pytest.raises(AccessError, match="planning"):
        scan(product, "cost_statement", ANALYST, "resale")
    colleague = Principal("bob", frozenset({"analyst"}))
    with pytest.raises(AccessError, match="no data sharing agreement"):
        scan(product, "cost_statement", colleague, "planning")


def test_a_partner_sees_its_own_films_and_seven_columns(mesh):
    partner = Principal("reports@universal.example", attributes={"studio": "Warner Bros."})
    product = mesh.product(COSTS)
    rows = scan(product, "cost_statement", partner)
    assert len(rows) == 318
    assert {r["distributor"] for r in rows} == {"Warner Bros."}
    assert len(rows[0]) == 7
    with product.open(partner, port="rest") as view:
        assert view.datasets == ("cost_statement",)


def test_an_analyst_may_count_writers_and_not_know_them(mesh):
    product = mesh.product(SCRIPTS)
    masked = {r["writer"] for r in scan(product, "script_writers", ANALYST)}
    known = {r["writer"] for r in scan(product, "script_writers")}
    assert len(masked) == len(known)
    assert not masked & known


def test_products_read_each_other_under_their_policies(mesh):
    consumer = Principal("product:scripts", frozenset({"product:scripts", "consumer"}))
    with mesh.product(COSTS).open(consumer) as view:
        assert view.schema("cost_statement").names == [
            "imdb_id",
            "production_cost_usd",
            "production_cost_eur",
        ]
        assert view.datasets == ("cost_statement",)
    stranger = Principal("product:other", frozenset({"product:other", "consumer"}))
    with mesh.product(COSTS).open(stranger) as view, pytest.raises(AccessError):
        view.scan("cost_statement")


def test_files_lie_on_the_shared_drive(built):
    home, _, _ = built
    latest = home / "produce-content" / COSTS / "drive" / "latest"
    assert {p.name for p in latest.iterdir()} >= {
        f"cost_statement.{s}" for s in ("parquet", "csv", "xlsx")
    }


def test_the_next_day_brings_the_differences_that_the_readme_lists(other):
    home, mesh = other
    product = mesh.product(COSTS)
    inputs = home / "produce-content" / COSTS
    shutil.copytree(inputs / "inputs-next", inputs / "inputs", dirs_exist_ok=True)
    assert product.build().run.outcome == "published"
    assert dict(product.changes("1")["cost_statement"]) == SECOND
    assert product.build().run.outcome == "unchanged"


def test_the_next_week_brings_films_and_a_ranking(other, monkeypatch):
    _, mesh = other
    product = mesh.product(POPULARITY)
    with service(2) as address:
        monkeypatch.setenv("POPULARITY_API_URL", address)
        assert product.build().run.outcome == "published"
    found = product.changes("1")
    assert {n: found["movies"].get(n, 0) for n in SECOND} == {
        "added": 3,
        "removed": 0,
        "changed": 0,
    }
    assert {n: found["weekly_ranking"].get(n, 0) for n in SECOND} == {
        "added": 100,
        "removed": 0,
        "changed": 0,
    }
    assert found["current_ranking"]["changed"] > 90


@pytest.mark.parametrize(
    ("bad", "column"),
    [("negative-cost", "production_cost_usd"), ("missing-column", "production_cost_usd")],
)
def test_a_bad_sheet_is_refused_and_the_old_snapshot_stays(other, bad, column):
    home, mesh = other
    product = mesh.product(COSTS)
    inputs = home / "produce-content" / COSTS
    shutil.copytree(inputs / "inputs-bad" / bad, inputs / "inputs", dirs_exist_ok=True)
    with pytest.raises(QualityError) as refused:
        product.build()
    assert {r.column for r in refused.value.report.stops} == {column}
    assert len(product.history()) == 1
    assert len(scan(product, "cost_statement")) == 3200
