"""A mesh of many products takes of each command what its products take, and not that times their number."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from polyport.engine.duckdb import DuckDBEngine
from polyport.mesh import Mesh
from polyport.product import Product
from polyport.testing.output_port import make_product

NUMBER = 6


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    """Six products that are alike, the first with all kinds of ports."""
    root = tmp_path_factory.mktemp("large") / "m"
    root.mkdir()
    (root / "mesh.yaml").write_text("name: cinema\n")
    with make_product(root / "p0", "sql"):
        pass
    for number in range(1, NUMBER):
        home = shutil.copytree(root / "p0", root / f"p{number}")
        file = home / "dataproduct.odps.yaml"
        file.write_text(file.read_text().replace("id: films\n", f"id: films{number}\n", 1))
    return root


@pytest.fixture
def loaded(monkeypatch):
    """How often each product was loaded."""
    count = Counter()
    load = Product.load.__func__

    def counted(cls, home, **given):
        count[Path(home).name] += 1
        return load(cls, home, **given)

    monkeypatch.setattr(Product, "load", classmethod(counted))
    return count


@pytest.fixture
def instances(monkeypatch):
    """How many instances of the engine were open at once, after each that was opened."""
    now, seen = set(), []
    connect, rest, close = DuckDBEngine._connect, DuckDBEngine.rest, DuckDBEngine.close

    def opened(self):
        now.add(id(self))
        seen.append(len(now))
        return connect(self)

    def ended(how):
        def call(self):
            how(self)
            now.discard(id(self))

        return call

    monkeypatch.setattr(DuckDBEngine, "_connect", opened)
    monkeypatch.setattr(DuckDBEngine, "rest", ended(rest))
    monkeypatch.setattr(DuckDBEngine, "close", ended(close))
    return seen


def test_all_are_built_by_one_instance_of_the_engine_at_a_time(mesh, polyport, loaded, instances):
    ended = polyport("build", mesh)
    assert ended.code == 0, ended.err
    assert loaded == Counter({f"p{number}": 1 for number in range(NUMBER)})
    assert instances == [1] * NUMBER


@pytest.mark.parametrize("command", ["build", "history", "rows", "quality"])
def test_of_one_only_that_is_loaded(mesh, polyport, loaded, command):
    assert polyport(command, mesh / "p3").code == 0
    assert loaded == Counter({"p3": 1})


def test_all_are_checked_by_reading_each_file_as_often_as_in_a_small_mesh(
    mesh, polyport, monkeypatch, tmp_path
):
    def reads(root):
        count, read = Counter(), Path.read_bytes

        def counted(path):
            count[path.name] += path.suffix == ".yaml"
            return read(path)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "read_bytes", counted)
            assert polyport("check", root).code == 0
        return count

    two = tmp_path / "two"
    shutil.copytree(mesh / "p0", two / "p0")
    shutil.copytree(mesh / "p1", two / "p1")
    shutil.copy(mesh / "mesh.yaml", two)
    many, few = reads(mesh), reads(two)
    assert many["dataproduct.odps.yaml"] == few["dataproduct.odps.yaml"] * NUMBER // 2 > 0


def test_what_the_mesh_is_called_is_known_without_its_products(mesh, loaded):
    with Mesh.find(mesh / "p1") as found:
        product = found.product("films1")
        assert (found.name, product.mesh, product.around().name) == ("cinema",) * 3
    with Product.load(mesh / "p1") as alone:
        assert (alone.mesh, alone.around().name) == ("", "")
