"""Versions of the policy and the settings: the file, changes since, going back, and what each changes."""

from __future__ import annotations

import threading

import pytest

from polyport.access import configuration
from polyport.access.configuration import Change
from polyport.access.control import Control
from polyport.access.difference import difference
from polyport.errors import AccessError, ConflictError, DescriptorError, NotFoundError
from polyport.ledger import Ledger
from polyport.model import PLATFORM_ROLE, Principal
from polyport.product import Product
from polyport.testing.output_port import ACCOUNTANT, make_product

PARTNER = Principal("pat", frozenset({"partner"}), {"studio": "Fox"})


@pytest.fixture
def product(tmp_path):
    with make_product(tmp_path / "films", "files") as made:
        yield made


def kept(product, part="access"):
    return configuration.versions(product.ledger.journal, product.spec, part)


def put(product, block, part="access", *, based=None, by="ann"):
    based = kept(product, part)[-1].number if based is None else based
    return configuration.change(
        product.ledger.journal, product.spec, part, block, Change(based, by, "because")
    )


def rewrite(product, old, new):
    path = product.spec.home / "polyport.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return Product.load(product.spec.home)


def test_the_file_is_the_first_version_and_loading_again_adds_none(product):
    assert [(v.number, v.origin, v.by) for v in kept(product)] == [(1, "file", "polyport.yaml")]
    with Product.load(product.spec.home) as again:
        assert len(kept(again)) == len(kept(again, "settings")) == 1


def test_a_change_counts_at_the_next_read_and_ends_one_that_goes_on(product):
    with product.open(PARTNER) as view:
        assert "studio" not in view.schema("films").names
        put(
            product, {"agreements": "optional", "roles": {"partner": {"columns": ["id", "studio"]}}}
        )
        with pytest.raises(AccessError, match="changed"):
            view.scan("films")
    with product.open(PARTNER) as view:
        assert view.schema("films").names == ["id", "studio"]
    with product.open(ACCOUNTANT) as view, pytest.raises(AccessError, match="no role 'accountant'"):
        view.scan("films")


def test_a_file_that_did_not_change_undoes_nothing_and_one_that_did_counts(product):
    put(product, {"roles": {}})
    with Product.load(product.spec.home) as again:
        assert not again.policy.roles
    with rewrite(product, "accountant: {}", "accountant: {columns: [id]}") as again:
        assert [v.origin for v in kept(again)] == ["file", "port", "file"]
        assert set(again.policy.roles) == {"accountant", "partner"}
    with rewrite(product, "accountant: {columns: [id]}", "accountant: {}") as again:
        assert [v.origin for v in kept(again)] == ["file", "port", "file", "file"]


def test_one_based_on_another_version_is_refused(product):
    put(product, {"roles": {}}, based=1)
    with pytest.raises(ConflictError, match="version 2 of access holds"):
        put(product, {"roles": {"accountant": {}}}, based=1)
    assert len(kept(product)) == 2


def test_of_many_at_once_one_wins(product):
    outcomes = []

    def change(n):
        ledger = Ledger(product.state / "ledger.sqlite")
        try:
            configuration.change(
                ledger.journal, product.spec, "settings",
                {"retention": {"days": n}}, Change(1, f"p{n}"),
            )  # fmt: skip
            outcomes.append("done")
        except ConflictError:
            outcomes.append("conflict")
        finally:
            ledger.close()

    threads = [threading.Thread(target=change, args=(n,)) for n in range(1, 7)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(outcomes) == ["conflict"] * 5 + ["done"]
    assert [v.number for v in kept(product, "settings")] == [1, 2]


def test_what_says_the_same_is_no_new_version(product):
    assert put(product, kept(product)[-1].block).number == 1


@pytest.mark.parametrize(
    ("part", "block", "where", "code"),
    [
        ("access", {"roles": {"x": {"rows": "nope = 1"}}}, "$.access.roles.x.rows", "PP241"),
        ("access", {"roles": {"x": {"rows": "id ="}}}, "$.access.roles.x.rows", "PP240"),
        ("access", {"roles": {"a b": {"mask": {"title": "md5"}}}}, '$.access.roles["a b"].mask.title', "PP242"),
        ("access", {"roles": {"x": {"mask": {"title": "year"}}}}, "$.access.roles.x.mask.title", "PP243"),
        ("access", {"roles": {"x": {"rows": "id = 'a'"}}}, "$.access.roles.x.rows", "PP244"),
        ("access", {"roles": {"x": {"datasets": {"no": {}}}}}, "$.access.roles.x.datasets.no", "PP245"),
        ("access", {"roles": {"x": {"columns": ["id", "no"]}}}, "$.access.roles.x.columns[1]", "PP241"),
        ("access", {"roles": {"platform": {}}}, "$.access.roles.platform", "PP247"),
        ("access", {"roles": {"owner:films": {}}}, '$.access.roles["owner:films"]', "PP247"),
        ("access", {"rolls": {}}, "$.access.rolls", "PP101"),
        ("access", {"roles": {"x": 3}}, "$.access.roles.x", "PP104"),
        ("access", {"roles": {"x": {"columns": "id"}}}, "$.access.roles.x.columns", "PP104"),
        ("settings", {"retention": {"days": 0}}, "$.settings.retention.days", "PP105"),
        ("settings", {"retention": {"days": "x"}}, "$.settings.retention.days", "PP104"),
        ("settings", {"inputs": {}}, "$.settings.inputs", "PP101"),
        ("settings", {"access": {}}, "$.settings.access", "PP101"),
        ("settings", {"engine": {"memory": "much"}}, "$.settings.engine.memory", "PP106"),
        ("settings", {"schedule": "61 * * * *"}, "$.settings.schedule", "PP252"),
        ("settings", {"limits": {"rows_per_read": -1}}, "$.settings.limits.rows_per_read", "PP105"),
    ],
)  # fmt: skip
def test_what_is_wrong_changes_nothing_and_has_its_place(product, part, block, where, code):
    with pytest.raises(DescriptorError) as caught:
        put(product, block, part)
    assert (where, code) in [(str(d.places[0]), d.code) for d in caught.value.diagnostics]
    assert caught.value.problem()["errors"][0]["where"].startswith("$")
    assert len(kept(product, part)) == 1


def test_going_back(product):
    first = kept(product)[0]
    put(product, {"roles": {}})
    made = configuration.revert(product.ledger.journal, product.spec, "access", 1, Change(2, "ann"))
    assert (made.number, made.origin, made.block) == (3, "revert", first.block)
    assert made.note == "back to version 1"
    with pytest.raises(NotFoundError, match="no version 9"):
        configuration.revert(product.ledger.journal, product.spec, "access", 9, Change(3, "ann"))


def test_going_back_to_what_no_longer_fits_is_refused(product):
    with rewrite(product, "accountant: {}", "accountant: {mask: {cost: 'null'}}") as changed:
        contract = changed.spec.home / "contracts/films.odcs.yaml"
        assert len(kept(changed)) == 2
    put(product, {"roles": {}})
    text = contract.read_text().replace("name: cost,", "name: price,")
    contract.write_text(text)
    sql = product.spec.home / "transform/films.sql"
    sql.write_text(sql.read_text().replace("AS cost", "AS price"))
    with (
        rewrite(product, "{mask: {cost: 'null'}}", "{}") as changed,
        pytest.raises(DescriptorError),
    ):
        configuration.revert(
            changed.ledger.journal, changed.spec, "access", 2, Change(kept(changed)[-1].number, "x")
        )


def seen(product, old, new):
    versions = [configuration.Version(n, "port", "", "", b) for n, b in enumerate((old, new))]
    return {(c.where, c.effect): c.sentence for c in difference(product.spec, "access", *versions)}


@pytest.mark.parametrize(
    ("old", "new", "where", "effect"),
    [
        ({}, {"b": {}}, "b", "more"),
        ({"b": {}}, {}, "b", "less"),
        ({"b": {}}, {"b": {"rows": "id = 1"}}, "b/films", "less"),
        ({"b": {"rows": "id = 1"}}, {"b": {}}, "b/films", "more"),
        ({"b": {"rows": "id = 1"}}, {"b": {"rows": "id = 2"}}, "b/films", "other"),
        ({"b": {"columns": ["id"]}}, {"b": {"columns": ["id", "cost"]}}, "b/films", "more"),
        ({"b": {}}, {"b": {"columns": ["id"]}}, "b/films", "less"),
        ({"b": {}}, {"b": {"mask": {"cost": "null"}}}, "b/films", "less"),
        ({"b": {"mask": {"cost": "null"}}}, {"b": {"mask": {"cost": "round:1"}}}, "b/films", "other"),
        ({"b": {"purposes": ["x"]}}, {"b": {}}, "b/films", "more"),
        ({"b": {"purposes": ["x"]}}, {"b": {"purposes": ["x", "y"]}}, "b/films", "more"),
        ({"b": {}}, {"b": {"datasets": {"other": {}}}}, "b/films", "less"),
    ],
)  # fmt: skip
def test_who_sees_more_and_who_less(product, old, new, where, effect):
    assert (where, effect) in seen(product, {"roles": old}, {"roles": new})
    assert not seen(product, {"roles": old}, {"roles": old})


def test_optional_agreements_show_more(product):
    assert ("agreements", "more") in seen(product, {}, {"agreements": "optional"})


def test_settings_that_hold_are_used(product):
    put(
        product,
        {"retention": {"snapshots": 7}, "engine": {"threads": 1, "memory": "1GB"}},
        "settings",
    )
    assert configuration.running_settings(product.control, product.spec).keep_snapshots == 7
    product.build()
    with product.engine.query("SELECT current_setting('threads')::INT AS n", {}) as reader:
        assert reader.read_all()["n"].to_pylist() == [1]
    put(product, {}, "settings")
    product.build()
    with Product.load(product.spec.home) as again:
        assert configuration.running_settings(again.control, again.spec).threads == 0


def test_retention_is_that_of_the_newest_version(product):
    from polyport.testing.output_port import ROWS, write_rows

    put(product, {"retention": {"snapshots": 1}}, "settings")
    write_rows(product.spec.home, ROWS[:2])
    product.build()
    assert [s.sequence for s in product.history()] == [2]


def test_the_platform_role_sees_no_data_whatever_a_policy_says(product):
    document = {"access": {"agreements": "optional", "roles": {"platform": {}}}, "version": 2}
    product.ledger.journal.append("access", "access", document, product="films", by="x")
    with product.open(Principal("p", frozenset({PLATFORM_ROLE}))) as view:
        assert view.datasets == ()
        with pytest.raises(AccessError, match="sees no data"):
            view.scan("films")


def test_a_journal_without_versions_leaves_the_file_in_force(product, tmp_path):
    ledger = Ledger(tmp_path / "empty.sqlite")
    control = Control(ledger.journal)
    assert configuration.current(control, product.spec, "access").number == 0
    assert configuration.access_settings(control, product.spec) is product.spec.settings
    ledger.close()
