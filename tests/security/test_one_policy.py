"""One policy, whatever the way: each way to read is compared with the policy written down in plain Python."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import importlib.util
import io
import itertools
import json
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from polyport.access import Order, Policy, View
from polyport.access.admission import admissions as admissions_of
from polyport.access.control import Control
from polyport.access.results import Results
from polyport.access.sql.names import Names
from polyport.access.sql.session import WalledSession
from polyport.descriptor.types import DataProduct, Port, Role, RoleSettings, Settings
from polyport.engine import keyed
from polyport.engine.duckdb import DuckDBEngine
from polyport.engine.walled.pool import Workers
from polyport.engine.walled.relations import filled
from polyport.engine.walled.universe import Walls
from polyport.errors import AccessError, InputError, PolyportError
from polyport.expression import And, Attribute, Compare, In, IsNull, Like, Not, Or, to_sql
from polyport.expression import quote as identifier
from polyport.ledger import Ledger
from polyport.model import Dataset, Principal, Snapshot
from polyport.ports.input import InputContext, RawObject
from polyport.ports.input.product import ProductInput
from polyport.ports.output import OutputContext
from polyport.ports.output.files import FilesPort
from polyport.ports.output.rest import RestPort
from polyport.testing.asgi import Client

_spec = importlib.util.spec_from_file_location("oracle", Path(__file__).with_name("oracle.py"))
_oracle = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_oracle)
Sight, compared, text = _oracle.Sight, _oracle.compared, _oracle.text
let_in = _oracle.let_in


def in_force(agreement):
    return _oracle.in_force(agreement, NOW)


SALT = "a salt"
SCHEMA = pa.schema(
    {
        "id": pa.int64(),
        "name": pa.string(),
        "team": pa.string(),
        "score": pa.int32(),
        "cost": pa.decimal128(10, 2),
        "day": pa.date32(),
        "flag": pa.bool_(),
        "old": pa.string(),
    }
)
BILLS = pa.table({"bill": pa.array([1, 2], pa.int64()), "amount": ["x", "y"]})
PROMISED = {"people": [n for n in SCHEMA.names if n != "old"], "bills": ["bill", "amount"]}
TEAMS = ("red", "blue", "Žižek — 東京", "it's")
NAMES = st.text("ab%_'\",<&Žé東🎬", max_size=5)
DAYS = st.dates(dt.date(1890, 1, 1), dt.date(2090, 12, 31))
COSTS = st.decimals(-9999, 9999, places=2)
SCORES = st.integers(-60, 60)
VALUES = {
    "name": NAMES,
    "team": st.sampled_from(TEAMS),
    "score": SCORES,
    "cost": COSTS,
    "day": DAYS,
    "flag": st.booleans(),
    "old": st.sampled_from(("o1", "o2")),
}
ROWS = st.lists(st.fixed_dictionaries({n: st.none() | v for n, v in VALUES.items()}), max_size=9)
OPS = ("=", "!=", "<", "<=", ">", ">=")


def compares(name):
    values = VALUES[name]
    if name == "team":
        values |= st.just(Attribute("team")) | st.just(Attribute("id"))
    ops = st.sampled_from(("=", "!=") if name == "flag" else OPS)
    found = st.builds(Compare, st.just(name), ops, values)
    found |= st.builds(In, st.just(name), st.lists(values, min_size=1, max_size=3).map(tuple))
    return found | st.builds(IsNull, st.just(name))


LEAVES = st.sampled_from(list(VALUES)).flatmap(compares) | st.builds(
    Like, st.just("name"), NAMES | st.just("%a%")
)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(And, st.lists(inner, min_size=1, max_size=2).map(tuple))
        | st.builds(Or, st.lists(inner, min_size=1, max_size=2).map(tuple))
    ),
    max_leaves=4,
)
TEXT_MASKS = st.sampled_from(
    ("null", "hash", "partial", "partial:2", "prefix:1", "constant:", "constant:it's ${x}")
)
MASKS = {
    "id": st.sampled_from(("hash", "null", "constant:7")),
    "name": TEXT_MASKS,
    "team": TEXT_MASKS,
    "score": st.sampled_from(("null", "hash", "round:1")),
    "cost": st.sampled_from(("null", "hash", "round:1", "round:2")),
    "day": st.sampled_from(("null", "hash", "year", "month")),
    "flag": st.sampled_from(("null", "hash")),
}
SIGHTS = st.builds(
    RoleSettings,
    rows=st.none() | FILTERS,
    columns=st.none() | st.lists(st.sampled_from(SCHEMA.names), max_size=6, unique=True).map(tuple),
    mask=st.fixed_dictionaries({}, optional=MASKS),
    purposes=st.sampled_from((frozenset(), frozenset(), frozenset({"plan"}))),
)
ROLE = st.tuples(
    SIGHTS, st.dictionaries(st.sampled_from(("people", "bills")), SIGHTS), st.booleans()
)
POLICIES = st.dictionaries(st.sampled_from("abc"), ROLE, min_size=1).map(
    lambda made: {
        name: Role(name, default, own, only and bool(own))
        for name, (default, own, only) in made.items()
    }
)
PRINCIPALS = st.builds(
    Principal,
    st.sampled_from(("pat", "red")),
    st.sets(st.sampled_from("abcx"), min_size=1).map(frozenset),
    st.sampled_from(({}, {"team": "red"}, {"team": "it's", "id": "blue"})),
    st.sampled_from((frozenset(), frozenset({"crew"}))),
)
NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
LIMITS = st.sampled_from((*SCHEMA.names, "people.name", "people.id", "bills.bill", "nope"))
AGREEMENT = st.fixed_dictionaries(
    {
        "user": st.sampled_from(("pat", "pat", "red", "red", "eve", "")),
        "team": st.sampled_from(("crew", "others")),
        "ports": st.sampled_from((("*",), ("out",), ("out",), ("in", "out"), ("in",))),
        "purpose": st.sampled_from(("plan", "Plan", "audit")),
        "decision": st.sampled_from(("approved",) * 5 + ("requested", "refused", "revoked")),
        "starts": st.sampled_from((None, None, None, NOW - DAY, NOW, NOW + DAY)),
        "ends": st.sampled_from((None, None, None, NOW + DAY, NOW, NOW - DAY)),
        "roles": st.lists(st.sampled_from(("a", "b", "c", "x", "owner")), max_size=2, unique=True),
        "columns": st.just([]) | st.lists(LIMITS, max_size=5, unique=True),
    }
)
LIVE = {
    "user": ["pat", "red"],
    "ports": [("out",)],
    "decision": ["approved"],
    "starts": [None],
    "ends": [None, NOW + DAY],
}
HELD = AGREEMENT.flatmap(
    lambda made: st.fixed_dictionaries(
        {name: st.sampled_from(LIVE.get(name, [value])) for name, value in made.items()}
    )
)
"""One that lets somebody in."""
SOME = st.tuples(st.lists(AGREEMENT | HELD | HELD, min_size=1, max_size=3), st.booleans())
AGREED = SOME | SOME | SOME | st.tuples(st.just([]), st.booleans())
"""Agreements, and whether the product asks for one."""
ASKED = st.fixed_dictionaries(
    {
        "column": st.sampled_from(SCHEMA.names),
        "op": st.sampled_from(("", "ne", "gt", "ge", "lt", "le", "null", "none")),
        "pick": st.integers(0, 30),
        "sort": st.sampled_from(SCHEMA.names),
        "descending": st.booleans(),
        "fields": st.sets(st.sampled_from(SCHEMA.names), max_size=3),
        "size": st.integers(1, 3),
    }
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with DuckDBEngine(scratch=tmp_path_factory.mktemp("spill"), threads=1) as made:
        yield made


class World:
    """One snapshot under one policy, asked by one principal in every way there is."""

    workers: Workers

    def __init__(self, engine, ledger, folder, rows, roles, principal, purpose, agreed=((), False)):
        self.control, (self.agreements, self.required) = Control(ledger.journal), agreed
        self.engine, self.folder, self.roles, self.results = engine, folder, roles, Results()
        self.principal, self.purpose, self.indexed = principal, purpose, False
        self.rows = [{"id": n * 7, **row} for n, row in enumerate(rows)]
        table = pa.Table.from_pylist(self.rows, SCHEMA)
        datasets = {
            "people": Dataset("people", SCHEMA, ("id",), table.num_rows),
            "bills": Dataset("bills", BILLS.schema, ("bill",), 2),
        }
        at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        name = f"p{next(NAMED)}"
        self.snapshot = Snapshot(name, "00000001-abcdef01", 1, None, at, datasets)
        pq.write_table(table, folder / "people.parquet")
        pq.write_table(BILLS, folder / "bills.parquet")
        self.index = keyed.KeyedIndex(folder / "people.sqlite", datasets["people"])
        keyed.build(self.index._path, datasets["people"], self.files(0, "people"), engine, [])
        self.product = DataProduct(
            folder, name, "P", "1.0.0", "active", "", "", (), (), (), {},
            Settings(roles=roles, agreements="required" if self.required else "optional"),
        )  # fmt: skip
        for number, agreement in enumerate(self.agreements):
            agree(ledger, name, str(number), agreement)

    def close(self):
        self.index.close()

    def files(self, _, dataset):
        return [str(self.folder / f"{dataset}.parquet")]

    def snapshots(self):
        return [self.snapshot]

    def __call__(self, principal, ref="latest", *, purpose=""):
        policy = Policy("p", self.roles, SALT, PROMISED)
        admissions = admissions_of(self.control, self.product, lambda: NOW)
        found = admissions.admit(principal, "out", purpose)
        gives = (lambda _, name: self.index if name == "people" else None) if self.indexed else None
        view = View(
            self.snapshot, found.principal, "out", found.purpose, policy, self.engine, self.files, lambda _: None
        )  # fmt: skip
        view.refusal = found.refusal
        view.results = self.results
        view.keyed = gives or view.keyed
        return view

    def sight(self, dataset, names):
        admitted, purpose = let_in(
            self.agreements, self.principal, self.purpose, "out", required=self.required, now=NOW
        )
        return Sight(
            names, self.roles, self.principal, purpose, dataset,
            promised=PROMISED[dataset], salt=SALT, admitted=admitted,
        )  # fmt: skip

    def context(self, kind, **given):
        port = Port("out", kind, settings=given)
        return OutputContext(
            self.product, port, self, lambda _: (self.principal, self.purpose), self.folder
        )


NAMED = itertools.count()


def agree(ledger, product, name, agreement):
    """Write an agreement as it was decided on."""
    times = {"startTimestamp": agreement["starts"], "endTimestamp": agreement["ends"]}
    own = {"polyport.ports": agreement["ports"], "polyport.columns": agreement["columns"]}
    who = {"userId": agreement["user"]} if agreement["user"] else {"teamId": agreement["team"]}
    document = {
        "id": name,
        "description": {"purpose": agreement["purpose"]},
        "provider": {"dataProductId": product, "outputPortId": agreement["ports"][0]},
        "consumer": who,
        "roles": [{"role": role} for role in agreement["roles"]],
        "customProperties": [{"property": p, "value": v} for p, v in own.items()],
        **{field: time.isoformat() for field, time in times.items() if time},
    }
    entry = {"agreement": document, "decision": agreement["decision"], "note": ""}
    ledger.journal.append("agreement", name, entry, product=product, by="owner")


@pytest.fixture(scope="module", autouse=True)
def workers(tmp_path_factory):
    World.workers = Workers(scratch=tmp_path_factory.mktemp("workers"))
    yield
    World.workers.close()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    made = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.sqlite")
    yield made
    made.close()


@pytest.fixture
def world(engine, ledger, tmp_path):
    numbers = itertools.count()
    made = []

    def make(*given):
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        made.append(World(engine, ledger, folder, *given))
        return made[-1]

    yield make
    for one in made:
        one.close()


def norm(value, *, empty=True):
    """A value in one form, however a format writes it; formats that cannot tell '' from null: `empty=False`."""
    found = text(value.date() if isinstance(value, dt.datetime) else value)
    if found is None or (found == "" and not empty):
        return None
    try:
        number = Decimal(found)
        return str(number.normalize() + 0) if number.is_finite() else found
    except InvalidOperation:
        return found


def bag(rows, *, empty=True):
    """The rows in one order. Where '' is null, a row of nothing is a blank line, which readers leave out."""
    found = [{n: norm(v, empty=empty) for n, v in sorted(row.items())} for row in rows]
    return sorted((r for r in found if empty or set(r.values()) - {None}), key=repr)


class Asked:
    """A query of the columns seen, and its answer by the oracle."""

    def __init__(self, world, sight, asked):
        seen = sight.columns
        self.size = asked["size"]
        self.fields = [n for n in seen if n in asked["fields"]] or list(seen)
        self.sort = asked["sort"] if asked["sort"] in seen else ""
        self.descending = asked["descending"]
        rows = sight.rows(world.rows)
        self.where, self.pair = None, ()
        column = asked["column"]
        if column in seen and asked["op"] != "none":
            # What lies behind a mask, and what stands in its place: either may be asked for.
            values = [r[column] for r in world.rows] + [r[column] for r in rows]
            self._filter(
                sight, column, asked["op"], [v for v in values if v not in (None, "")], asked
            )
            rows = [r for r in rows if self._fits(r)]
        if self.sort:
            there = [r for r in rows if r[self.sort] is not None]
            there.sort(key=lambda r: r[self.sort], reverse=self.descending)
            rows = there + [r for r in rows if r[self.sort] is None]
        self.rows = rows

    def _filter(self, sight, column, op, values, asked):
        if op == "null":
            self.test, self.pair = (column, "null", None), (f"{column}.null", "true")
            self.where = IsNull(column)
        elif values and not (SCHEMA.field(column).type == pa.bool_() and op not in ("", "ne")):
            value = values[asked["pick"] % len(values)]
            raw = next((r for r in (value,) if not sight.is_text(column)), text(value))
            if isinstance(raw, str) and not (sight.is_text(column) or column in TEXTS):
                return
            sign = {"": "=", "ne": "!=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}[op]
            self.test, self.where = (column, sign, raw), Compare(column, sign, raw)
            self.pair = (f"{column}.{op}" if op else column, text(raw))

    def _fits(self, row):
        if self.where is None:
            return True
        column, sign, value = self.test
        if sign == "null":
            return row[column] is None
        return row[column] is not None and compared(row[column], sign, value)

    @property
    def shown(self):
        return [{n: r[n] for n in self.fields} for r in self.rows]

    def query(self, **more):
        pairs = [self.pair] if self.pair else []
        pairs += [("sort", ("-" if self.descending else "") + self.sort)] if self.sort else []
        pairs += [("fields", ",".join(self.fields))]
        pairs += [(n, str(v)) for n, v in more.items()]
        return "&".join(f"{n}={quote(v, safe='')}" for n, v in pairs)

    @property
    def order(self):
        return [Order(self.sort, descending=self.descending)] if self.sort else []


TEXTS = ("name", "team", "old")


def by_scan(world, asked, **more):
    with world(world.principal, purpose=world.purpose) as view:
        found = view.scan(
            "people", columns=asked.fields, where=asked.where, order=asked.order, **more
        )
        return found.read_all().to_pylist()


def by_keyed(world, asked):
    world.indexed = True
    found = by_scan(world, asked, limit=100)
    world.indexed = False
    return found


def by_pages(world, asked):
    client, rows = Client(RestPort(world.context("rest")).app()), []
    url = f"/people?{asked.query(limit=asked.size)}"
    while url:
        answer = client.get(url)
        assert answer.status_code == 200, answer.text
        found = json.loads(answer.content, parse_float=Decimal)
        rows += found["_embedded"]["people"]
        url = found["_links"].get("next", {}).get("href", "")
    # A row's address may hold nothing but a key that is seen as it is.
    links = [r.pop("_links") for r in rows if "_links" in r]
    with world(world.principal, purpose=world.purpose) as view:
        plain = "id" in view.schema("people").names and "id" not in view.masked("people")
    assert not links or plain
    return rows


def by_ndjson(world, asked):
    client = Client(RestPort(world.context("rest")).app())
    answer = client.get(f"/people?{asked.query()}", headers={"Accept": "application/x-ndjson"})
    assert answer.status_code == 200, answer.text
    return [json.loads(line, parse_float=Decimal) for line in answer.text.split("\n") if line]


def files_of(world):
    return FilesPort(world.context("files"), cache=world.folder / "cache")


def by_file(world, asked, suffix):
    port = files_of(world)
    answer = Client(port.app()).get(f"/people.{suffix}?{asked.query()}")
    port.close()
    assert answer.status_code == 200, answer.text
    return READERS[suffix](answer.content)


def of_parquet(content):
    return pq.read_table(io.BytesIO(content)).to_pylist()


def of_csv(content):
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def of_xlsx(content):
    sheet = CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0)
    head, *rows = sheet.to_python(skip_empty_area=False)
    return [dict(zip(head, row, strict=True)) for row in rows]


READERS = {"parquet": of_parquet, "csv": of_csv, "xlsx": of_xlsx}


def by_push(world, role):
    port = FilesPort(
        world.context("files", push={"to": "drive", "role": role, "purpose": world.purpose}),
        cache=world.folder / "cache",
    )
    port.push(world.snapshot, None, world.folder)
    port.close()
    folder = world.folder / "drive" / "latest"
    found = folder / "people.parquet"
    return pq.read_table(found).to_pylist() if found.exists() else None


def by_input(world, asked):
    """Another product of the mesh reads it as its input."""

    def keep(name, content, *, origin, media_type):
        path = world.folder / "kept.parquet"
        path.write_bytes(b"".join(content))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        now = dt.datetime.now(dt.UTC)
        return RawObject(name, path, digest, path.stat().st_size, media_type, origin, now)

    def opened(_, ref):
        return world(world.principal, ref, purpose=world.purpose)

    given = {"product": "p", "dataset": "people", "columns": asked.fields}
    port = ProductInput(
        InputContext(Port("in", "product", settings=given), world.folder, None, opened)
    )
    port.rows = asked.where
    return pq.read_table(port.fetch(keep, None).objects[0].path).to_pylist()


class Reached:
    """The world as a session reaches it."""

    def __init__(self, world):
        self.world = world

    def open(self, _, ref):
        return self.world(self.world.principal, ref, purpose=self.world.purpose)

    def newest(self, *_):
        return self.world.snapshot.content_id

    def asked(self, _):
        """There is no limit."""

    def products(self):
        return [self.world.snapshot.product]

    def teller(self, _):
        raise AssertionError


def by_sql(world, asked):
    """Consumers' own SQL: what the PostgreSQL wire, Flight SQL and HTTP give is what a session gives."""
    params = {}
    where = f"WHERE {to_sql(asked.where, params)}" if asked.where else ""
    order = f"ORDER BY {', '.join(each.sql for each in asked.order)}" if asked.order else ""
    sql = f"SELECT {', '.join(map(identifier, asked.fields))} FROM people {where} {order}"
    product = world.snapshot.product
    names = Names(product, Reached(world), "mesh")
    with WalledSession(product, world.principal, names, World.workers, Walls()) as session:
        return session.query(filled(sql, params)).reader.read_all().to_pylist()


WAYS = {
    "scan": by_scan,
    "sql": by_sql,
    "keyed": by_keyed,
    "pages": by_pages,
    "ndjson": by_ndjson,
    "parquet": lambda world, asked: by_file(world, asked, "parquet"),
    "csv": lambda world, asked: by_file(world, asked, "csv"),
    "xlsx": lambda world, asked: by_file(world, asked, "xlsx"),
    "input": by_input,
}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(ROWS, POLICIES, PRINCIPALS, st.sampled_from(("", "plan", "PLAN")), AGREED, ASKED)
def test_every_way_shows_what_policy_and_agreements_say(
    world, rows, roles, principal, purpose, agreed, asked
):
    each_way(world(rows, roles, principal, purpose, agreed), asked)


FEW = [
    {"name": "a", "team": "red", "score": 5, "cost": Decimal("1.50"), "day": dt.date(2000, 2, 3), "flag": True, "old": "o1"},
    {"name": "b", "team": "it's", "score": -5, "cost": None, "day": None, "flag": None, "old": "o2"},
]  # fmt: skip
WIDE = {
    "a": Role("a", RoleSettings(), {}, False),
    "b": Role("b", RoleSettings(Compare("score", ">", 0), None, {"name": "hash"}), {}, False),
    "c": Role("c", RoleSettings(None, ("id", "cost", "team"), {}, frozenset({"plan"})), {}, False),
    "m": Role("m", RoleSettings(None, None, {"name": "hash", "score": "round:1"}), {}, False),
}


PAT = Principal("pat", frozenset({"a"}))
GIVEN = {
    "user": "pat", "team": "", "ports": ("out",), "purpose": "plan", "decision": "approved", "starts": None, "ends": None,
    "roles": ["a"], "columns": [],
}  # fmt: skip
MASKED = {**GIVEN, "roles": ["m"]}
"""Of one whose filters, groups and order must not see through a mask."""
PLAIN = {"column": "id", "op": "none", "pick": 0, "sort": "id", "descending": False, "fields": set(), "size": 2}  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@example(PAT, "plan", ([{**GIVEN, "columns": ["name", "people.id", "nope"]}], True), PLAIN)
@example(PAT, "PLAN", ([{**GIVEN, "roles": ["b"]}, {**GIVEN, "columns": ["id"]}], True), PLAIN)
@example(PAT, "", ([{**GIVEN, "ends": NOW}], True), PLAIN)
@example(PAT, "", ([{**GIVEN, "starts": NOW + DAY}], True), PLAIN)
@example(PAT, "", ([{**GIVEN, "decision": "revoked"}], True), PLAIN)
@example(PAT, "", ([{**GIVEN, "ports": ("in",)}], True), PLAIN)
@example(PAT, "audit", ([GIVEN], True), PLAIN)
@example(PAT, "", ([MASKED], True), {**PLAIN, "column": "name", "op": "", "fields": {"id"}})
@example(PAT, "", ([MASKED], True), {**PLAIN, "column": "name", "op": "", "pick": 2})
@example(PAT, "", ([MASKED], True), {**PLAIN, "column": "score", "op": "lt", "fields": {"id"}})
@given(PRINCIPALS, st.sampled_from(("", "plan", "PLAN")), SOME, ASKED)
def test_every_way_shows_what_agreements_give(world, principal, purpose, agreed, asked):
    """Of a policy that shows much: so what is not seen is what agreements keep."""
    each_way(world(FEW, WIDE, principal, purpose, agreed), asked)


def each_way(made, asked):
    principal, purpose = made.principal, made.purpose
    sight = made.sight("people", SCHEMA.names)
    bills = made.sight("bills", BILLS.schema.names)
    with made(principal, purpose=purpose) as view:
        expected = [n for n, s in (("people", sight), ("bills", bills)) if s.grants]
        assert list(view.datasets) == expected
    event(f"agreements: {sum(map(in_force, made.agreements))}, required: {made.required}")
    if not sight.grants:
        event("denied")
        refused(made)
        return
    query = Asked(made, sight, asked)
    event(f"rows: {min(len(query.rows), 3)}")
    for way, read in WAYS.items():
        found = read(made, query)
        empty = way not in ("csv", "xlsx")
        assert bag(found, empty=empty) == bag(query.shown, empty=empty), way
        if query.sort in query.fields and way != "input":
            wanted = [norm(r[query.sort], empty=empty) for r in query.rows]
            came = [norm(r[query.sort], empty=empty) for r in found]
            assert [v for v in came if v is not None] == [v for v in wanted if v is not None], way
            assert not empty or came == wanted, way
    grouped(made, query, sight)
    pushed(made)


def refused(made):
    nothing = SimpleNamespace(
        fields=["id"], where=None, order=[], size=1, query=lambda **_: "fields=id"
    )
    for read in (by_scan, by_keyed, by_sql):
        with pytest.raises(AccessError):
            read(made, nothing)
    with pytest.raises(InputError):
        by_input(made, nothing)
    rest, files = RestPort(made.context("rest")), files_of(made)
    for app, url in (
        (rest.app(), "/people"),
        (rest.app(), "/people/7"),
        (rest.app(), "/people?group=team"),
        (files.app(), "/people.csv"),
        (files.app(), "/people.parquet?id=7"),
    ):
        answer = Client(app).get(url)
        assert answer.status_code == 403, (url, answer.text)
    files.close()


def grouped(made, query, sight):
    """Groups of the rows seen, computed twice: the second time they may come from what is kept."""
    by, of = query.fields[0], query.fields[-1]
    pairs = [f"group={by}", f"agg=count,count:{of},count_distinct:{of},min:{of},max:{of}"]
    if made_of_truth(sight, of):
        pairs[1] = f"agg=count,count:{of},count_distinct:{of}"
    pairs += ["=".join((query.pair[0], quote(query.pair[1], safe="")))] if query.pair else []
    groups = {}
    for row in query.rows:
        groups.setdefault(row[by], []).append(row[of])
    expected = []
    for value, cells in groups.items():
        there = [c for c in cells if c is not None]
        row = {by: value, "count": len(cells), f"count_{of}": len(there)}
        row[f"count_distinct_{of}"] = len(set(there))
        if not made_of_truth(sight, of):
            row |= {f"min_{of}": min(there, default=None), f"max_{of}": max(there, default=None)}
        expected.append(row)
    client = Client(RestPort(made.context("rest")).app())
    for _ in range(2):
        answer = client.get(f"/people?{'&'.join(pairs)}&limit=1000")
        assert answer.status_code == 200, answer.text
        found = json.loads(answer.content, parse_float=Decimal)["_embedded"]["groups"]
        assert bag(found) == bag(expected)


def made_of_truth(sight, name):
    return name == "flag" and not sight.is_text("flag")


def pushed(made):
    """The files that each role of the policy gets, written by the port itself, which has no attributes."""
    for role in made.roles:
        sight = Sight(
            SCHEMA.names, made.roles, Principal("port:out", frozenset({role})), made.purpose,
            "people", promised=PROMISED["people"], salt=SALT, admitted={role: None},
        )  # fmt: skip
        found = by_push(made, role)
        assert (found is None) == (not sight.grants)
        if found is not None:
            assert bag(found) == bag(sight.rows(made.rows)), role


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    ROWS,
    POLICIES,
    st.lists(PRINCIPALS, min_size=2, max_size=4),
    st.sampled_from(("", "plan")),
    AGREED,
)
def test_one_class_is_one_sight(world, rows, roles, principals, purpose, agreed):
    """ETags, kept results and kept files go by the class: it may not be shared by two who see different things."""
    made = world(rows, roles, principals[0], purpose, agreed)
    seen = {}
    for principal in principals:
        made.principal = principal
        with made(principal, purpose=purpose) as view:
            found = {}
            for name in view.datasets:
                found[name] = (
                    view.schema(name).names,
                    dict(view.masked(name)),
                    bag(view.scan(name).read_all().to_pylist()),
                )
            assert seen.setdefault(view.policy_class, found) == found


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(ROWS, POLICIES, PRINCIPALS, FILTERS)
def test_a_filter_sees_no_further_than_its_principal(world, rows, roles, principal, where):
    """Any filter, also one that does not fit a masked column's type: rows of the policy's own, or a refusal."""
    made = world(rows, roles, principal, "")
    with made(principal) as view:
        try:
            whole = bag(view.scan("people").read_all().to_pylist())
        except AccessError:
            return
        try:
            found = bag(view.scan("people", where=where).read_all().to_pylist())
        except PolyportError as error:
            assert error.http_status == 400
            return
        assert all(found.count(row) <= whole.count(row) for row in found)
