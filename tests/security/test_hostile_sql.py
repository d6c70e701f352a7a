"""Hundreds of hostile statements: each is refused, limited, or answered within the policy."""

from __future__ import annotations

import importlib.util
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from polyport.engine.walled.pool import Workers
from polyport.errors import AccessError, NotFoundError, QueryError, SizeError
from polyport.mesh import Mesh

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("messy", HERE.parent / "access/sql/conftest.py")
messy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(messy)

GROUPS = yaml.safe_load((HERE / "hostile_sql.yaml").read_text("utf-8"))
OUTCOMES = ("refused", "answered", "limited")
ALL = [(outcome, sql) for group in GROUPS for outcome in OUTCOMES for sql in group.get(outcome, ())]
IN_POSTGRES = {s for g in GROUPS if g.get("dialect") for o in OUTCOMES for s in g.get(o, ())}
"""Those whose outcome is meant in that dialect."""
HIDDEN = (
    "CANARY", "CANARY Scott", "CANARY Mann", "CANARY Dune", "CANARY Lynch", "CANARY Ran", "CANARY Kurosawa",
    "CANARY Weaver", "MacLachlan", "Ebert", "Siskel", "Kael", "980013", "980014", "60.25", "13.75", "40.25",
    "CANARY outside", "root:",
)  # fmt: skip
BOMB_SECONDS = 1.5


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile")
    messy.write(root, messy.PRODUCTS)
    (root / "outside.json").write_text('{"a": "CANARY outside"}')
    mesh = Mesh.find(root)
    for name in mesh.homes:
        mesh.product(name).build()
    workers = Workers(scratch=root / "scratch")
    yield root, mesh, workers
    workers.close()
    mesh.close()


@pytest.fixture(scope="module")
def paths(world):
    root, mesh, _ = world
    films = mesh.product("films")
    snapshot = films.store.snapshot("films", "latest")
    raw, crew = (films.store.files(snapshot, n)[0] for n in ("films", "CANARY_crew"))
    return {
        "raw": raw.removeprefix("file://"),
        "crew": crew.removeprefix("file://"),
        "outside": str(root / "outside.json"),
    }


@pytest.fixture(scope="module")
def sessions(world):
    _, mesh, workers = world
    door = messy.door(mesh, workers)
    made = {r: door(messy.person(r)) for r in ("partner", "masked", "blind", "nobody")}
    made["postgres"] = door(messy.person("partner"), dialect="postgres")
    yield made
    for session in made.values():
        session.close()


def outcome(session, sql):
    """What became of a statement, and all that was said about it."""
    try:
        answer = session.query(sql)
        rows = answer.reader.read_all()
    except SizeError as error:
        return "limited", f"{error.message} {error.fix} {error.where}"
    except (QueryError, NotFoundError, AccessError) as error:
        assert error.message
        return "refused", f"{error.message} {error.fix} {error.where}"
    return "answered", f"{rows.schema} {answer.types} {rows.to_pylist()}"


def check(said, sql, hidden):
    found = [word for word in hidden if word in said and word.lower() not in sql.lower()]
    assert not found, f"{found} in {said}"


@pytest.fixture(scope="module")
def hidden(world):
    root, mesh, _ = world
    return (*HIDDEN, mesh.product("films").salt, mesh.product("ratings").salt, str(root))


QUICK = [(o, s) for o, s in ALL if o != "limited"]
BOMBS = [s for o, s in ALL if o == "limited"]


@pytest.mark.parametrize(
    ("expected", "sql"), QUICK, ids=[s[:60].encode("unicode_escape").decode() for _, s in QUICK]
)
def test_it_says_nothing_that_is_hidden(sessions, paths, hidden, expected, sql):
    text = sql.format(**paths)
    found, said = outcome(sessions["postgres" if sql in IN_POSTGRES else "partner"], text)
    assert found == expected, said
    check(said, text, hidden)


@pytest.mark.parametrize("role", ["partner", "masked", "blind", "nobody", "postgres"])
def test_nor_to_others(sessions, paths, hidden, role):
    """What is masked and not filtered, what is both, who may read nothing; and in the other dialect."""
    if role == "masked":  # all rows, so the keys and the first letters of what is hidden
        hidden = [w for w in hidden if not w.startswith("9800") and w != "CANARY"]
    for _, sql in QUICK:
        text = sql.format(**paths)
        _, said = outcome(sessions[role], text)
        check(said, text, hidden)


def test_the_owner_is_told_what_is_hidden(world, hidden):
    """Else the tests above could not fail."""
    _, mesh, workers = world
    with messy.door(mesh, workers)(messy.person("owner")) as session:
        _, said = outcome(session, "SELECT * FROM films, CANARY_crew")
    assert [w for w in hidden[:-3] if w in said] == [
        w for w in HIDDEN if w not in ("Ebert", "Siskel", "Kael", "CANARY outside", "root:")
    ]


@pytest.fixture(scope="module")
def bomber(world):
    _, mesh, workers = world
    session = messy.door(mesh, workers)(messy.person("partner"))
    session.walls = replace(session.walls, seconds=BOMB_SECONDS, memory="128MB", spill="64MB")
    yield session
    session.close()


@pytest.mark.parametrize("sql", BOMBS, ids=[s[:60] for s in BOMBS])
def test_a_bomb_costs_nobody_else(world, bomber, sessions, sql):
    over, seen = threading.Event(), []

    def neighbour():
        while not seen or not over.wait(0.1):
            seen.append(outcome(sessions["partner"], "SELECT count(*) AS n FROM films")[1])

    asking = threading.Thread(target=neighbour)
    asking.start()
    try:
        found, said = outcome(bomber, sql.format())
    finally:
        over.set()
        asking.join()
    assert found == "limited", said
    assert all("[{'n': 2}]" in said for said in seen), seen


def test_bombs_leave_nothing_on_disk(world, bomber):
    root, *_ = world
    outcome(bomber, "SELECT 1")
    left = [p for p in (root / "scratch").rglob("*") if p.is_file() and p.name != ".lock"]
    assert left == []


def test_there_are_enough_of_them():
    assert len(ALL) >= 300
    assert len(set(ALL)) == len(ALL)
    assert all(group["why"] for group in GROUPS)
    assert set().union(*GROUPS) == {"what", "why", "dialect", *OUTCOMES}
