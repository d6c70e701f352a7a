"""Explanations say what a View then shows: any policy, any principal."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from polyport.access import Policy, View
from polyport.access.admission import Admissions, admissions
from polyport.access.control import Control
from polyport.access.explain import EVERY_ROW, Question, explain
from polyport.access.known import consuming
from polyport.descriptor.settings import settings as read_settings
from polyport.descriptor.types import DataProduct, Port, Settings
from polyport.engine.duckdb import DuckDBEngine
from polyport.errors import AccessError, NotFoundError
from polyport.expression import parse
from polyport.ledger import Ledger
from polyport.model import OWNER, Dataset, Principal, Snapshot
from polyport.testing.output_port import make_product

FILMS = pa.table(
    {
        "id": pa.array([1, 2, 3, 4], pa.int64()),
        "title": ["Alien", "Dune", None, "It's"],
        "studio": ["Fox", "Universal", "Fox", None],
        "cost": pa.array([11.0, 40.0, None, 0.5]),
    }
)
COLUMNS = FILMS.schema.names
DATASET = Dataset("films", FILMS.schema, ("id",), 4)
NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
SNAPSHOT = Snapshot("films", "00000001-x", 1, None, NOW, {"films": DATASET})
PORTS = tuple(Port(name, name) for name in ("rest", "files"))
FILTERS = [
    "id > 2", "studio = principal.studio", "not studio = principal.studio or id = 1",
    "title like 'A%' and cost is not null", "title in ('It''s', 'Dune')", "id between 2 and 3",
]  # fmt: skip
SIGHTS = st.fixed_dictionaries(
    {},
    optional={
        "rows": st.sampled_from(FILTERS),
        "columns": st.lists(st.sampled_from(COLUMNS), unique=True),
        "mask": st.dictionaries(st.sampled_from(COLUMNS), st.sampled_from(["null", "hash"])),
        "purposes": st.lists(st.sampled_from(["audit", "planning"]), min_size=1, unique=True),
    },
)
ROLES = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    SIGHTS | st.fixed_dictionaries({"datasets": st.dictionaries(st.sampled_from(["films", "x"]), SIGHTS)}),
)  # fmt: skip
AGREEMENTS = st.lists(
    st.fixed_dictionaries(
        {
            "decision": st.sampled_from(["approved", "approved", "approved", "requested", "revoked"]),
            "purpose": st.sampled_from(["audit", "planning"]),
            "port": st.sampled_from(["rest", "rest", "files"]),
            "roles": st.lists(st.sampled_from(["a", "b", "owner"]), max_size=2),
            "columns": st.lists(st.sampled_from([*COLUMNS, "films.cost"]), max_size=2),
            "ends": st.sampled_from([None, None, "2026-04-01T00:00:00Z"]),
        }
    ),
    max_size=3,
)  # fmt: skip


def product(status="active", ports=PORTS):
    return DataProduct(
        None, "films", "Films", "1.0.0", status, "", "", (), ports, (), {}, Settings()
    )  # fmt: skip


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with DuckDBEngine(scratch=tmp_path_factory.mktemp("spill")) as made:
        yield made


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    found = tmp_path_factory.mktemp("rows") / "films.parquet"
    pq.write_table(FILMS, found)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ledgers")


def journaled(ledger, agreed):
    for n, each in enumerate(agreed):
        own = (
            [{"property": "polyport.columns", "value": each["columns"]}] if each["columns"] else []
        )
        document = {
            "description": {"purpose": each["purpose"]},
            "provider": {"outputPortId": each["port"]},
            "consumer": {"userId": "pat"},
            "roles": [{"role": role} for role in each["roles"]],
            "customProperties": own,
            "endTimestamp": each["ends"],
        }
        ledger.journal.append(
            "agreement", f"a{n}", {"agreement": document, "decision": each["decision"]},
            product="films", by="owner",
        )  # fmt: skip


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    roles=ROLES,
    agreed=AGREEMENTS,
    held=st.frozensets(st.sampled_from(["a", "b", "c", "platform", "zzz"])),
    attributes=st.sampled_from([{}, {"studio": "Fox"}]),
    purpose=st.sampled_from(["", "audit", "planning"]),
    required=st.booleans(),
    promised=st.sampled_from([None, {"films": COLUMNS}, {"films": ["id", "title"]}]),
)
@example(
    roles={"a": {"mask": {"title": "hash"}}},
    agreed=[],
    held=frozenset({"a"}),
    attributes={},
    purpose="",
    required=False,
    promised={"films": ["id", "title"]},
)
def test_it_says_what_a_view_shows(
    engine, path, folder, roles, agreed, held, attributes, purpose, required, promised
):
    (folder / "ledger.sqlite").unlink(missing_ok=True)
    ledger = Ledger(folder / "ledger.sqlite")
    try:
        journaled(ledger, agreed)
        policy = Policy("films", read_settings({"access": {"roles": roles}}).roles, "s", promised)
        admissions = Admissions("films", Control(ledger.journal), lambda: required, lambda: NOW)
        asked = Question(Principal("pat", held, attributes), "rest", purpose)
        found = explain(product(), admissions, policy, [SNAPSHOT], asked)
        admission = admissions.admit(asked.principal, "rest", purpose)
    finally:
        ledger.close()
    (said,) = found.datasets
    assert found.admitted is not bool(admission.refusal)
    assert {a.id for a in found.agreements if a.counts} == set(admission.agreements)
    assert all(bool(a.reason) is not a.counts for a in found.agreements)

    def view(principal, stated=""):
        refusal = admission.refusal if principal is not OWNER else None
        return View(
            SNAPSHOT, principal, "rest", stated, policy, engine,
            lambda *_: [str(path)], lambda _: None, refusal=refusal,
        )  # fmt: skip

    with view(admission.principal, admission.purpose) as theirs:
        if not said.seen:
            assert said.reason
            with pytest.raises(AccessError) as caught:
                theirs.scan("films")
            assert caught.value.message == said.reason
            return
        shown = [c.column for c in said.columns if c.verdict != "hidden"]
        assert shown == theirs.schema("films").names
        assert {c.column for c in said.columns if c.verdict == "masked"} == set(
            theirs.masked("films")
        )
        assert all(c.reason for c in said.columns if c.verdict != "shown")
        rows = theirs.scan("films").read_all().num_rows
    where = None if said.rows == EVERY_ROW else parse(said.rows)
    with view(OWNER) as whole:
        assert whole.scan("films", columns=["id"], where=where).read_all().num_rows == rows
    assert [r for r in said.roles if r.counts]


def ask(
    principal, *, status="active", ledger, port="rest", dataset="", ports=PORTS, required=False
):
    admissions = Admissions("films", Control(ledger.journal), lambda: required, lambda: NOW)
    policy = Policy("films", read_settings(POLICY).roles, "s", {"films": COLUMNS})
    asked = Question(principal, port, dataset=dataset)
    return explain(product(status, ports), admissions, policy, [SNAPSHOT], asked)


POLICY = {
    "access": {
        "roles": {
            "partner": {"rows": "studio = principal.studio", "columns": ["id", "title"]},
            "clerk": {"mask": {"title": "hash"}},
        }
    }
}


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path / "ledger.sqlite")
    yield made
    made.close()


def test_reasons_in_words(ledger):
    (said,) = ask(
        Principal("pat", frozenset({"partner", "king"}), {"studio": "Fox"}), ledger=ledger
    ).datasets
    assert said.rows == "studio = 'Fox'"
    reasons = {r.role: r.reason for r in said.roles}
    assert reasons == {"king": "the product has no role 'king'", "partner": ""}
    columns = {c.column: (c.verdict, c.reason) for c in said.columns}
    assert columns["id"] == ("shown", "")
    assert columns["cost"] == ("hidden", "role 'partner' does not show it")


def test_an_attribute_that_is_not_known_is_told(ledger):
    (said,) = ask(Principal("pat", frozenset({"partner"})), ledger=ledger).datasets
    assert "principal.studio is not known of pat" in said.roles[0].reason
    assert said.rows == "studio = principal.studio"


def test_an_agreement_that_limits_columns_is_told_from_the_role(ledger):
    journaled(
        ledger,
        [
            {
                "decision": "approved", "purpose": "audit", "port": "rest", "roles": ["clerk"],
                "columns": ["id", "title"], "ends": None,
            }
        ],
    )  # fmt: skip
    found = ask(Principal("pat"), ledger=ledger)
    columns = {c.column: (c.verdict, c.reason) for c in found.datasets[0].columns}
    assert columns["cost"] == ("hidden", "the agreements that give role 'clerk' do not name it")
    assert columns["title"] == ("masked", "shown as a hash")
    assert found.agreements[0].counts


def test_the_state_of_the_product_counts(ledger):
    found = ask(Principal("pat", frozenset({"clerk"})), status="draft", ledger=ledger)
    assert (found.admitted, found.status) == (False, "draft")
    assert "it is draft" in found.datasets[0].reason
    found = ask(
        Principal("pat", frozenset({"clerk"})), status="retired", ledger=ledger, port="product"
    )
    assert "is retired" in found.reason


def test_a_port_is_one_of_the_products_and_of_another_product_the_way_in_which_it_reads(ledger):
    with pytest.raises(NotFoundError, match="no port 'nosuch'") as caught:
        ask(Principal("pat"), ledger=ledger, port="nosuch")
    assert caught.value.fix == "output ports: rest, files"
    assert ask(Principal("pat"), ledger=ledger, port="").port == "rest"
    assert ask(consuming("scripts"), ledger=ledger, port="").port == "product"
    with pytest.raises(NotFoundError, match="no dataset 'x'") as caught:
        ask(Principal("pat"), ledger=ledger, dataset="x")
    assert caught.value.fix == "datasets: films"


def test_a_version_of_a_port_that_is_not_served_any_more_is_told(ledger):
    gone = Port("rest", "rest", sunset=NOW.date())
    clerk = Principal("pat", frozenset({"clerk"}))
    found = ask(clerk, ledger=ledger, ports=(gone,))
    assert not found.admitted
    assert f"is not served since {NOW.date()}" in found.reason
    kept = Port("rest", "rest", version="2.0.0")
    assert ask(clerk, ledger=ledger, ports=(gone, kept)).admitted


def test_what_helps_is_said(ledger):
    """Of an agreement that ended, a request for the same consumer and port; of another, who decides or when."""
    given = {"purpose": "audit", "port": "rest", "roles": [], "columns": [], "ends": None}
    for change, helps in (
        ({"decision": "approved", "ends": "2026-04-01T00:00:00Z"}, "--port rest --user pat"),
        ({"decision": "revoked"}, "agreement show a0"),
        ({"decision": "requested"}, "agreement approve a0"),
    ):
        journaled(ledger, [{**given, **change}])
        found = ask(Principal("pat"), ledger=ledger, required=True)
        assert helps in found.fix, change


def test_what_helps_is_no_command_for_who_reads_over_a_network(tmp_path):
    with make_product(tmp_path, "rest", agreements="required") as product:
        control = product.control
        found = {
            remote: explain(
                product.spec,
                admissions(control, product.spec, lambda: NOW),
                product.policy,
                product.history(),
                Question(Principal("ann", frozenset({"accountant"})), remote=remote),
            ).fix
            for remote in (False, True)
        }
    assert "polyport agreement" in found[False]
    assert found[True]
    assert "polyport " not in found[True]
