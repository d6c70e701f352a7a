"""What becomes of an agreement, by whom, and how it reads as a document."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import textwrap
import threading

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyport.access.agreements import agreements, document, history
from polyport.access.deciding import STEPS, Desk
from polyport.descriptor import agreement as oaas
from polyport.descriptor import dump
from polyport.errors import (
    AccessError,
    ConflictError,
    DescriptorError,
    NotFoundError,
    QueryError,
    RetiredError,
)
from polyport.model import Principal
from polyport.product import Product
from polyport.testing.output_port import make_product

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
ANN = Principal("ann", frozenset({"accountant"}))


def asked(**changed):
    return {
        "description": {"purpose": "planning"},
        "provider": {"outputPortId": "rest"},
        "consumer": {"userId": "ann"},
        "roles": [{"role": "accountant"}],
        **changed,
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("deciding") / "films"
    make_product(home, "rest").close()
    path = home / "polyport.yaml"
    path.write_text(path.read_text().replace("agreements: optional", "agreements: required"))
    return home


@pytest.fixture
def product(home, tmp_path):
    with Product.load(home, ledger=f"sqlite:///{tmp_path}/ledger.sqlite") as made:
        yield made


@pytest.fixture
def desk(product):
    return product.desk()


def reads(product, who=ANN):
    with product.open(who, port="rest") as view:
        return view.scan("films").read_all().num_rows


def test_a_request_is_approved_and_revoked_and_each_counts_at_the_next_read(product, desk):
    made, warnings = desk.request(asked(), by="ann")
    assert (made.decision, warnings) == ("requested", ())
    with pytest.raises(AccessError, match="not decided yet"):
        reads(product)
    desk.decide(made.id, "approved", by="owner")
    assert reads(product) == 4
    desk.decide(made.id, "revoked", by="owner", note="the project ended")
    with pytest.raises(AccessError, match="revoked: the project ended"):
        reads(product)
    entries = history(product.control, "films", made.id)
    assert [(e.by, e.document["decision"]) for e in entries] == [
        ("ann", "requested"), ("owner", "approved"), ("owner", "revoked"),
    ]  # fmt: skip
    assert [e.document["note"] for e in entries] == ["", "", "the project ended"]


@pytest.mark.parametrize("first", STEPS)
@pytest.mark.parametrize("then", STEPS)
def test_only_the_allowed_steps_are_taken(desk, first, then):
    made, _ = desk.request(asked(), by="ann")
    for step in {"revoked": ["approved", "revoked"], "requested": []}.get(first, [first]):
        desk.decide(made.id, step, by="owner", note="x")
    if then in STEPS[first]:
        assert desk.decide(made.id, then, by="owner", note="x").decision == then
    else:
        with pytest.raises(ConflictError, match="cannot be"):
            desk.decide(made.id, then, by="owner", note="x")


@pytest.mark.parametrize("decision", ["refused", "revoked"])
def test_a_no_needs_a_reason(desk, decision):
    made, _ = desk.request(asked(), by="ann")
    with pytest.raises(QueryError, match="needs a note"):
        desk.decide(made.id, decision, by="owner", note="  ")
    assert desk.get(made.id).decision == "requested"


def test_of_two_deciders_the_second_is_told(desk):
    made, _ = desk.request(asked(), by="ann")
    desk.decide(made.id, "approved", by="owner", after=made.seq)
    with pytest.raises(ConflictError, match="changed by somebody else"):
        desk.decide(made.id, "revoked", by="platform", note="x", after=made.seq)
    with pytest.raises(ConflictError, match="changed by somebody else"):
        desk.request(asked(id=made.id), by="eve")


def test_of_many_who_decide_at_once_one_does(desk):
    made, _ = desk.request(asked(), by="ann")
    outcomes, barrier = [], threading.Barrier(6)

    def decide(n):
        barrier.wait()
        try:
            desk.decide(
                made.id, ["approved", "refused"][n % 2], by=f"d{n}", note="x", after=made.seq
            )
            outcomes.append("done")
        except ConflictError:
            outcomes.append("conflict")

    threads = [threading.Thread(target=decide, args=(n,)) for n in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(outcomes) == ["conflict"] * 5 + ["done"]
    assert len(history(desk.control, "films", made.id)) == 2


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"provider": {"outputPortId": "rset"}}, "did you mean `rest`"),
        ({"provider": {"outputPortId": "rest", "dataProductId": "flims"}}, "another data product"),
        ({"provider": "rest"}, "expected mapping"),
        ({"roles": [{"role": "acountant"}]}, "did you mean `accountant`"),
        ({"roles": [{"role": "owner"}]}, "built-in"),
        ({"roles": [{"role": "Owner:films"}]}, "built-in"),
        ({"roles": [{"role": "platform"}]}, "built-in"),
        ({"roles": ["accountant"]}, "expected mapping"),
        ({"consumer": {}}, "no consumer"),
        ({"consumer": {"userId": ""}}, "empty string"),
        ({"consumer": {"dataProductId": "x"}}, "needs its team"),
        ({"description": {}}, "purpose"),
        ({"description": {"purpose": "  "}}, "invalid value"),
        ({"endTimestamp": "2026-12-31"}, "RFC 3339"),
        ({"endTimestamp": "2026-13-31T00:00:00Z"}, "RFC 3339"),
        ({"startTimestamp": "2026-02-01T00:00:00Z", "endTimestamp": "2026-01-01T00:00:00Z"}, "ends before"),
        ({"customProperties": [{"property": "polyport.columns", "value": "id"}]}, "list of names"),
        ({"customProperties": [{"property": "polyport.columns", "value": []}]}, "list of names"),
        ({"customProperties": [{"property": "polyport.columns", "value": ["idd"]}]}, "no column"),
        ({"customProperties": [{"property": "polyport.ports", "value": ["x"]}]}, "no output port"),
        ({"customProperties": [{"property": "polyport.columns", "value": ["id"]}] * 2}, "stands twice"),
        ({"customProperties": {"polyport.columns": ["id"]}}, "expected list"),
        ({"id": "a/b"}, "invalid value"),
        ({"id": ".."}, "invalid value"),
        ({"id": 7}, "expected string"),
        ({"kind": "DataProduct"}, "invalid value"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused_and_not_written(desk, change, word):
    with pytest.raises(DescriptorError) as caught:
        desk.request(asked(**change), by="ann")
    assert word in str(caught.value)
    assert not agreements(desk.control, "films")


def test_a_request_does_not_approve_itself(desk):
    with pytest.raises(QueryError, match="status 'requested'"):
        desk.request(asked(status="approved"), by="ann")


@pytest.mark.parametrize(("status", "error"), [("retired", RetiredError), ("deprecated", ConflictError)])  # fmt: skip
def test_what_is_going_away_takes_no_new_consumers(product, desk, status, error):
    object.__setattr__(product.spec, "status", status)
    with pytest.raises(error):
        desk.request(asked(), by="ann")
    assert not agreements(desk.control, "films")


def test_other_terms_are_another_version_and_count_at_once(product, desk):
    made, _ = desk.request(asked(), by="ann")
    desk.decide(made.id, "approved", by="owner")
    changed, _ = desk.change(
        made.id,
        asked(customProperties=[{"property": "polyport.columns", "value": ["id", "films.title"]}]),
        by="owner",
    )
    assert (changed.decision, changed.document["version"]) == ("approved", "1.1.0")
    with product.open(ANN, port="rest") as view:
        assert view.schema("films").names == ["id", "title"]
    desk.decide(made.id, "revoked", by="owner", note="x")
    with pytest.raises(ConflictError, match="cannot be changed"):
        desk.change(made.id, asked(), by="owner")
    with pytest.raises(NotFoundError):
        desk.change("none", asked(), by="owner")


def test_columns_of_an_agreement_hold_with_masks_rows_and_filters(product, desk):
    pat = Principal("pat", attributes={"studio": "Fox"})
    columns = [{"property": "polyport.columns", "value": ["id", "cost", "studio"]}]
    made, _ = desk.request(
        asked(consumer={"userId": "pat"}, roles=[{"role": "partner"}], customProperties=columns),
        by="pat",
    )
    desk.decide(made.id, "approved", by="owner")
    with product.open(pat, port="rest") as view:
        rows = view.scan("films").read_all().to_pylist()
        assert rows == [{"id": n, "cost": None} for n in (1, 3, 4)]
        with pytest.raises(QueryError, match="no column 'title'"):
            view.scan("films", columns=["title"])
    # Another agreement with another role adds up; the first's limit stays with its own role.
    more, _ = desk.request(
        asked(
            consumer={"userId": "pat"},
            customProperties=[{"property": "polyport.columns", "value": ["title"]}],
        ),
        by="pat",
    )
    desk.decide(more.id, "approved", by="owner")
    with product.open(pat, port="rest") as view:
        rows = view.scan("films").read_all().to_pylist()
        assert {row["id"] for row in rows} == {1, 3, 4, None}
        assert all(row["title"] for row in rows)
        assert {row["cost"] for row in rows} == {None}


def test_each_purpose_has_its_own_agreement(product, desk):
    both = [
        desk.request(asked(description={"purpose": p}, roles=[{"role": r}]), by="ann")[0]
        for p, r in (("Planning", "accountant"), ("audit", "partner"))
    ]
    for each in both:
        desk.decide(each.id, "approved", by="owner")
    ann = Principal("ann", attributes={"studio": "Universal"})
    with product.open(ann, port="rest", purpose="planning") as view:
        assert (view.purpose, view.scan("films").read_all().num_rows) == ("Planning", 4)
    with product.open(ann, port="rest", purpose="audit") as view:
        assert view.scan("films").read_all().num_rows == 1
    for stated in ("", "resale"):
        with product.open(ann, port="rest", purpose=stated) as view, pytest.raises(AccessError):
            view.scan("films")


@pytest.mark.parametrize("who", ["Ann", "ann ", "\uff41nn", "product:ann", "anń"])
def test_ids_are_exact(product, desk, who):
    made, _ = desk.request(asked(), by="ann")
    desk.decide(made.id, "approved", by="owner")
    with pytest.raises(AccessError):
        reads(product, Principal(who))


def test_a_purpose_that_the_role_is_not_for_is_a_warning(product):
    from polyport.descriptor.types import Role, RoleSettings

    role = Role("planner", RoleSettings(purposes=frozenset({"planning"})))
    desk = Desk(product.control, product.spec, {"planner": role})
    given = asked(roles=[{"role": "planner"}], description={"purpose": "resale"})
    _, (warning,) = desk.request(given, by="ann")
    assert (warning.code, warning.severity) == ("PP278", "warning")
    assert desk.request(asked(roles=[{"role": "planner"}]), by="ann")[1] == ()


# Documents


def shown(desk, name, now=NOW):
    made = document(desk.get(name), history(desk.control, "films", name), now)
    read, found = oaas.as_document(made)
    assert [*found, *oaas.examine(read), *oaas.check(read, desk.product, desk.roles)] == []
    return made, oaas.own_properties(made)


def test_documents_say_how_it_stands_in_words_of_the_draft(desk):
    made, _ = desk.request(asked(endTimestamp="2020-01-01T00:00:00Z"), by="ann")
    found, own = shown(desk, made.id)
    assert (found["status"], own["polyport.state"]) == ("requested", "requested")
    desk.decide(made.id, "approved", by="owner")
    found, own = shown(desk, made.id)
    assert (found["status"], own["polyport.state"]) == ("approved", "expired")
    assert (own["polyport.ports"], len(own["polyport.history"])) == (["rest"], 2)
    no, _ = desk.request(asked(), by="ann")
    desk.decide(no.id, "refused", by="owner", note="no budget")
    found, own = shown(desk, no.id)
    assert (found["status"], own["polyport.state"]) == ("rejected", "refused")
    assert own["polyport.history"][-1]["note"] == "no budget"
    gone, _ = desk.request(asked(endTimestamp="2099-01-01T00:00:00Z"), by="ann")
    desk.decide(gone.id, "approved", by="owner")
    ended = desk.decide(gone.id, "revoked", by="owner", note="x")
    found, own = shown(desk, gone.id)
    assert (found["status"], own["polyport.state"]) == ("approved", "revoked")
    assert oaas.moment(found["endTimestamp"]) == ended.at
    never, _ = desk.request(asked(), by="ann")
    desk.decide(never.id, "revoked", by="ann", note="not needed")
    assert shown(desk, never.id)[0]["status"] == "rejected"


def test_the_consumer_is_named_for_people(desk):
    for consumer in ({"teamId": "finance"}, {"teamId": "t", "dataProductId": "scripts"}):
        made, _ = desk.request(asked(consumer=consumer), by="owner")
        desk.decide(made.id, "approved", by="owner")
    desk.request(asked(), by="ann")
    names = [a.consumer_name for a in agreements(desk.control, "films").values()]
    assert names == ["team finance", "product:scripts", "ann"]


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8)
leaves = st.none() | st.booleans() | st.integers() | texts
extras = st.dictionaries(
    texts.filter(lambda k: k and k not in oaas.schema.schema_of("agreement")["properties"]),
    st.recursive(leaves, lambda x: st.lists(x, max_size=3) | st.dictionaries(texts, x, max_size=3)),
    max_size=3,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(extras, texts)
def test_unknown_fields_are_kept_leaf_by_leaf(desk, extra, name):
    given_ = {**asked(name=name), **extra}
    made, _ = desk.request(given_, by="ann")
    for key, value in given_.items():
        if key != "provider":
            assert made.document[key] == value
    read, found = oaas.as_document(made.document)
    assert (read.value, found) == (made.document, ())
    assert dump(read.value) == dump(made.document)


# Files of the product's folder


FILE = {
    "apiVersion": "v0.9.0", "kind": "AccessAgreement", "id": "f1", "status": "approved",
    "description": {"purpose": "planning"},
    "provider": {"teamId": "Testing", "dataProductId": "films", "outputPortId": "rest"},
    "consumer": {"userId": "ann"}, "roles": [{"role": "accountant"}], "costCenter": "MKT-1",
}  # fmt: skip


@pytest.fixture
def filed(home, tmp_path):
    import shutil

    copy = shutil.copytree(home, tmp_path / "films")
    file = copy / "agreements" / "ann.oaas.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(FILE))
    return copy, file


def test_a_file_counts_once_and_an_unchanged_one_undoes_no_revocation(filed):
    home, file = filed
    with Product.load(home) as product:
        assert reads(product) == 4
        (entry,) = history(product.control, "films", "f1")
        assert (entry.by, entry.document["agreement"]) == ("file:ann.oaas.yaml", FILE)
        product.desk().decide("f1", "revoked", by="owner", note="x")
    file.write_text("# a comment\n" + file.read_text())
    with Product.load(home) as product:
        assert product.desk().get("f1").decision == "revoked"
        with pytest.raises(AccessError):
            reads(product)
    file.write_text(yaml.safe_dump({**FILE, "version": "1.1.0"}))
    with Product.load(home) as product:
        assert reads(product) == 4
    file.write_text(yaml.safe_dump({**FILE, "status": "rejected"}))
    with Product.load(home) as product, pytest.raises(AccessError, match="was refused"):
        reads(product)
    file.write_text(yaml.safe_dump(FILE))
    with Product.load(home) as product:
        assert reads(product) == 4
        assert len(history(product.control, "films", "f1")) == 5


def test_processes_that_load_at_once_take_a_file_once(filed, tmp_path):
    home, _ = filed
    code = f"""
        from polyport.product import Product
        Product.load({str(home)!r}).close()
    """
    running = [subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)]) for _ in range(4)]
    assert [each.wait() for each in running] == [0] * 4
    with Product.load(home) as product:
        assert len(history(product.control, "films", "f1")) == 1


def test_an_exported_revocation_is_one_when_it_comes_back_as_a_file(filed):
    home, file = filed
    with Product.load(home) as product:
        product.desk().decide("f1", "revoked", by="owner", note="x")
        file.write_text(dump(shown(product.desk(), "f1")[0]))
    with Product.load(home) as product:
        assert product.desk().get("f1").decision == "revoked"


def test_a_wrong_file_keeps_the_product_from_loading(filed):
    home, file = filed
    file.write_text(yaml.safe_dump({**FILE, "roles": [{"role": "owner"}]}))
    with pytest.raises(DescriptorError) as caught:
        Product.load(home)
    assert caught.value.diagnostics[0].code == "PP276"
