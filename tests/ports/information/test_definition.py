"""The definition check: each clause passes for what is there, fails for what is not, and is unknown else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from polyport.access.identity import local_owner
from polyport.cli import cli
from polyport.descriptor.types import DataProduct, Property, SchemaObject, Surroundings
from polyport.model import Principal
from polyport.ports.information.definition import DefinitionPort, result
from polyport.ports.information.definition.clauses import Facts, clauses
from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.output_port import make_product


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    with make_product(tmp_path_factory.mktemp("definition") / "films", "rest") as made:
        yield made


def port_of(product):
    made = product.management(local_owner, product.ports())
    (found,) = [port for port in made if isinstance(port, DefinitionPort)]
    return found


@pytest.fixture
def facts(product):
    port = port_of(product)
    return Facts.of(port.context, product.clock())


def states(facts):
    return {clause.id: clause.status for clause in clauses(facts)}


def test_a_bare_product(facts):
    assert states(facts) == {
        "business-value": "pass", "findable": "fail", "accessible": "pass", "works-together": "unknown",
        "different-contexts": "fail", "autonomous": "pass", "read-optimised": "pass", "standardised": "pass",
        "mesh-node": "unknown", "dataset": "pass", "user-needs": "fail", "conscious-intention": "fail",
    }  # fmt: skip


def test_what_does_not_pass_says_what_to_do(facts):
    for clause in clauses(facts):
        assert clause.evidence
        assert bool(clause.fix) == (clause.status != "pass"), clause.id


def test_before_the_first_build_nothing_published_is_passed(facts):
    found = states(replace(facts, snapshots=()))
    assert (found["accessible"], found["read-optimised"], found["dataset"]) == (
        "fail",
        "unknown",
        "unknown",
    )


def with_term(spec, term):
    (contract,) = spec.contracts.values()
    one = contract.objects[0]
    first = replace(one.properties[0], terms=(term,))
    made = replace(contract, objects=(replace(one, properties=(first, *one.properties[1:])),))
    return replace(spec, contracts={contract.id: made})


def test_a_shared_term_works_together(facts):
    mine = with_term(facts.product, "film")

    def state(other):
        around = Surroundings("mesh", {"other": replace(other, id="other")})
        return states(replace(facts, product=mine, around=around))["works-together"]

    assert state(with_term(facts.product, "film")) == "pass"
    assert state(with_term(facts.product, "cost")) == "fail"
    assert state(facts.product) == "fail"  # the same names of columns are no shared meaning


def test_a_neighbour_that_cannot_be_read_leaves_it_unknown(facts):
    around = Surroundings("mesh", {"other": replace(facts.product, id="other")}, ("broken",))
    assert states(replace(facts, around=around))["works-together"] == "unknown"


@pytest.mark.parametrize(
    ("usage", "consumers", "ratings", "status"),
    [
        ("", {"ann"}, (5.0,), "fail"),
        ("Read it.", set(), (), "unknown"),
        ("Read it.", {"ann"}, (), "pass"),
        ("Read it.", set(), (4.0,), "pass"),
        ("Read it.", {"ann"}, (1.0, 2.0), "fail"),
    ],
)
def test_needs(facts, usage, consumers, ratings, status):
    document = {**facts.product.document, "description": {"purpose": "x", "usage": usage}}
    given = replace(
        facts, product=replace(facts.product, document=document), consumers=frozenset(consumers), ratings=ratings
    )  # fmt: skip
    assert states(given)["user-needs"] == status


def test_consumers_are_those_who_read_and_do_not_own(product):
    with product.open(
        Principal("owner as x", frozenset({"accountant"}), needs_agreement=False)
    ) as view:
        view.scan("films").read_all()
    assert Facts.of(port_of(product).context, product.clock()).consumers == frozenset()
    with product.open(Principal("carl", frozenset({"accountant"}))) as view:
        view.scan("films").read_all()
    assert Facts.of(port_of(product).context, product.clock()).consumers == {"carl"}
    client = Client(create_app([product]))
    assert (
        "carl" not in client.get("/products/films/definition", headers={"polyport-role": "x"}).text
    )
    assert "carl" not in client.get("/products/films/definition/omms").text


def test_only_passes_pass(facts):
    found = clauses(facts)
    assert result(found) == "fail"
    assert result([c for c in found if c.status != "fail"]) == "unknown"
    assert result([c for c in found if c.status == "pass"]) == "pass"


def test_the_omms_document_has_what_the_draft_wants(product):
    client = Client(create_app([product]))
    body = client.get("/products/films/definition/omms").json()
    accept = {"accept": "application/vnd.bitol.omms+json"}
    assert client.get("/products/films/definition", headers=accept).json() == body
    assert (body["kind"], body["apiVersion"]) == ("MaturityModel", "v0.2.0")
    assert {"id", "status", "levels"} <= set(body)
    (level,) = body["levels"]
    assert {"level", "name", "description", "criteria"} <= set(level)
    operators = ("mustBe", "mustBeGreaterOrEqualTo")
    for criterion in level["criteria"]:
        assert criterion["property"]
        assert criterion["type"] in ("library", "text")
        if criterion["type"] == "library":
            assert criterion["metric"] in ("nullValues", "rowCount")
            assert any(name in criterion for name in operators)
        told = {p["property"]: p["value"] for p in criterion["customProperties"]}
        assert told["polyport.status"] in ("pass", "fail", "unknown")
    assert len({c["id"] for c in level["criteria"]}) == 12


def run(*words):
    return CliRunner().invoke(cli, ["check", *map(str, words)])


def test_the_command_and_its_exit_status(product):
    home = product.spec.home
    done = run(home, "--definition")
    assert done.exit_code == 2
    assert "? It works together" in done.output
    assert "✗ It can be found" in done.output
    body = json.loads(run(home, "--definition", "--json").output)
    assert (body["product"], body["result"], len(body["clauses"])) == ("films", "fail", 12)
    assert json.loads(run(home, "--definition", "--omms").output)["kind"] == "MaturityModel"
    assert run(home, "--omms").exit_code == 2
    assert run(home, "--definition", "--format", "sarif").exit_code == 2


def test_unknown_alone_is_no_failure_unless_strict(tmp_path):
    with make_product(tmp_path / "films", "rest") as made:
        home = made.spec.home
        file = home / "dataproduct.odps.yaml"
        text = file.read_text("utf-8").replace("alike.}", "alike., usage: Read it.}")
        more = "tags: [films]\nsupport: [{channel: x, url: 'mailto:x@example.com'}]\n"
        file.write_text(text.replace("outputPorts: [", "outputPorts: [{name: f, type: files, version: 1.0.0, contractId: films}, ") + more, "utf-8")  # fmt: skip
        contract = home / "contracts/films.odcs.yaml"
        sla = "slaProperties: [{property: frequency, value: 1, unit: d}]\n"
        contract.write_text(contract.read_text("utf-8") + sla, "utf-8")
    done = run(home, "--definition")
    assert done.exit_code == 0, done.output
    assert "could not be established" in done.output
    assert run(home, "--definition", "--strict").exit_code == 2


def test_a_product_of_nothing_fails_and_does_not_raise():
    empty = DataProduct(Path(), "x", "", "", "", "", "", (), (), (), {}, None)
    bare = replace(empty, settings=replace(_settings()))
    found = states(Facts(bare, "urn:x", (), Surroundings(), frozenset(), 0, ()))
    assert "pass" not in {found["business-value"], found["accessible"], found["dataset"]}
    assert SchemaObject("x", (Property("y"),)).key == ()


def _settings():
    from polyport.descriptor.types import Settings

    return Settings()


def test_over_a_network_no_fix_is_a_command_of_the_products_machine(facts):
    found = clauses(replace(facts, snapshots=(), consumers=frozenset(), ratings=(), active=1))
    commands = [clause for clause in found if "polyport " in clause.fix]
    assert {c.id for c in commands} >= {"accessible", "read-optimised", "dataset"}
    assert all(c.remote_fix and "polyport " not in c.remote_fix for c in commands)
