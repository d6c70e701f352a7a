"""Two majors of a port, served at once from one snapshot: the older one by a mapping, under the same policy."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import textwrap

import pyarrow.parquet as pq
import pytest

from polyport.access import Measure, Order
from polyport.errors import AccessError, DescriptorError, QueryError, RetiredError
from polyport.expression import parse
from polyport.model import OWNER, Principal
from polyport.product import Product
from polyport.server import client_lines, create_app
from polyport.testing.asgi import Client

PRODUCT = """
    apiVersion: v1.1.0
    kind: DataProduct
    id: films
    name: Films
    version: 2.0.0
    status: active
    domain: testing
    description: {purpose: Two majors.}
    inputPorts: [{name: sheet, version: 1.0.0}]
    outputPorts:
      - name: rest
        type: rest
        version: 1.3.0
        contractId: films-v1
        deprecated: true
        customProperties:
          - {property: polyport.deprecatedOn, value: "2026-01-01"}
          - {property: polyport.sunset, value: "2099-01-01"}
      - {name: rest, type: rest, version: 2.0.0, contractId: films}
      - {name: files, type: files, version: 1.0.0, contractId: films-v1}
      - {name: files, type: files, version: 2.0.0, contractId: films}
    team: {name: Testing, members: [{username: ann@example.com, role: owner}]}
    """
OLD = """
    apiVersion: v3.2.0
    kind: DataContract
    id: films-v1
    name: Films
    version: 1.3.0
    status: deprecated
    schema:
      - name: movie
        properties:
          - {name: nr, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true}
          - {name: "the name", logicalType: string, physicalType: VARCHAR, description: What it was called}
          - {name: by, logicalType: string, physicalType: VARCHAR}
          - {name: usd, logicalType: number, physicalType: "DECIMAL(18,2)"}
          - {name: currency, logicalType: string, physicalType: VARCHAR}
    """
NEW = """
    apiVersion: v3.2.0
    kind: DataContract
    id: films
    name: Films
    version: 2.0.0
    status: active
    schema:
      - name: films
        properties:
          - {name: id, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true}
          - {name: title, logicalType: string, physicalType: VARCHAR}
          - {name: director, logicalType: string, physicalType: VARCHAR}
          - {name: cost, logicalType: number, physicalType: "DECIMAL(18,2)"}
          - {name: studio, logicalType: string, physicalType: VARCHAR}
    """
SETTINGS = """
    inputs:
      sheet: {type: files, path: inputs/films.csv}
    access:
      agreements: optional
      roles:
        partner: {rows: "studio = 'Fox'", mask: {director: hash}}
        titles: {columns: [id, title]}
        studios: {columns: [studio]}
    ports:
      "rest@1": &older
        mapping:
          movie:
            from: films
            columns: {nr: id, "the name": title, by: director, usd: cost, currency: {value: "US'D"}}
      "files@1": *older
    """
ROWS = "id,title,director,cost,studio\n1,Alien,Scott,11.50,Fox\n2,Dune,Lynch,40.25,Universal\n3,Heat,Mann,,Fox\n"
PARTNER = Principal("pat", frozenset({"partner"}))


def write(home, **changed):
    files = {
        "dataproduct.odps.yaml": PRODUCT, "contracts/films-v1.odcs.yaml": OLD, "contracts/films.odcs.yaml": NEW,
        "polyport.yaml": SETTINGS, "inputs/films.csv": ROWS,
        "transform/films.sql": "SELECT id::BIGINT AS id, title, director, cost::DECIMAL(18,2) AS cost, studio FROM sheet",
    }  # fmt: skip
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        body = text
        for old, new in changed.get("swap", {}).items():
            body = body.replace(old, new)
        path.write_text(textwrap.dedent(body).lstrip())
    return home


@pytest.fixture
def product(tmp_path):
    with Product.load(write(tmp_path / "films")) as made:
        made.build()
        yield made


def old_port(product, kind="rest"):
    return next(
        p for p in product.ports() if p.context.spec.type == kind and p.context.spec.major == 1
    )


def ask(product, address, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client(create_app([product])).get(f"/products/films/{address}", headers=headers)


def rows(reply):
    found = json.loads(reply.content)["_embedded"]
    return [{k: v for k, v in row.items() if k != "_links"} for row in next(iter(found.values()))]


def test_only_todays_datasets_are_built(product):
    assert list(product.history()[-1].datasets) == ["films"]
    assert list(product.spec.objects) == ["films"]


def test_both_majors_show_one_snapshot_each_in_its_own_words(product):
    old, new = ask(product, "rest/v1/movie"), ask(product, "rest/v2/films")
    assert rows(old)[1] == {
        "nr": 2,
        "the name": "Dune",
        "by": "Lynch",
        "usd": 40.25,
        "currency": "US'D",
    }
    assert rows(new)[1]["title"] == "Dune"
    assert old.headers["polyport-snapshot"] == new.headers["polyport-snapshot"]
    assert old.headers["etag"] != new.headers["etag"]
    assert ask(product, "rest/v1/films").status_code == 404
    assert ask(product, "rest/v2/movie").status_code == 404


def test_a_row_its_links_and_its_description_are_the_older_ones(product):
    row = json.loads(ask(product, "rest/v1/movie/2").content)
    assert row["the name"] == "Dune"
    assert row["_links"]["self"]["href"].endswith("/rest/v1/movie/2")
    described = ask(product, "rest/v1/openapi.json").text
    assert "What it was called" in described
    assert "director" not in described
    contract = json.loads(ask(product, "rest/v1/contract.json").content)
    assert contract["version"] == "1.3.0"
    assert contract["schema"][0]["properties"][0]["name"] == "nr"


def test_the_policy_lies_below_the_mapping(product):
    partner = rows(ask(product, "rest/v1/movie", polyport_role="partner"))
    today = rows(ask(product, "rest/v2/films", polyport_role="partner"))
    assert [row["nr"] for row in partner] == [1, 3]
    assert [row["by"] for row in partner] == [row["director"] for row in today]
    assert "Scott" not in str(partner)
    titles = rows(ask(product, "rest/v1/movie", polyport_role="titles"))
    assert titles[0] == {"nr": 1, "the name": "Alien", "currency": "US'D"}
    refused = ask(product, "rest/v1/movie", polyport_role="studios")
    assert refused.status_code == 403
    assert json.loads(ask(product, "rest/v1/", polyport_role="studios").content)["datasets"] == []


def test_filters_groups_and_pages_take_the_older_names(product):
    assert [r["nr"] for r in rows(ask(product, "rest/v1/movie?usd.gt=11&sort=-usd"))] == [2, 1]
    assert rows(ask(product, "rest/v1/movie?group=currency&agg=sum:usd"))[0]["sum_usd"] == 51.75
    assert ask(product, "rest/v1/movie?cost.gt=11").status_code == 400
    page = json.loads(ask(product, "rest/v1/movie?limit=2").content)
    following = Client(create_app([product])).get(page["_links"]["next"]["href"])
    assert [r["nr"] for r in rows(following)] == [3]


def test_files_have_the_older_names(product):
    table = pq.read_table(io.BytesIO(ask(product, "files/v1/movie.parquet").content))
    assert table.schema.names == ["nr", "the name", "by", "usd", "currency"]
    text = ask(product, "files/v1/movie.csv", polyport_role="partner").text
    assert [row["nr"] for row in csv.DictReader(io.StringIO(text))] == ["1", "3"]
    assert ask(product, "files/v2/films.csv").text.startswith("id,title")


def test_the_older_one_says_until_when_and_what_comes_after(product):
    old, new = ask(product, "rest/v1/movie"), ask(product, "rest/v2/films")
    assert old.headers["deprecation"] == "@1767225600"
    assert old.headers["sunset"] == "Thu, 01 Jan 2099 00:00:00 GMT"
    assert '</products/films/rest/v2/>; rel="successor-version"' in old.headers["link"]
    again = ask(product, "rest/v1/movie", if_none_match=old.headers["etag"])
    assert (again.status_code, again.headers["sunset"]) == (304, old.headers["sunset"])
    assert not {"deprecation", "sunset"} & set(new.headers)
    assert "successor" not in new.headers["link"]


def test_after_its_sunset_it_is_gone_and_names_its_successor(product):
    product.clock = lambda: dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    gone = ask(product, "rest/v1/movie")
    assert (gone.status_code, gone.json()["code"]) == (410, "PP411")
    assert "2.0.0" in gone.json()["fix"]
    assert ask(product, "rest/v2/films").status_code == 200
    with pytest.raises(RetiredError):
        old_port(product).context.open(OWNER)


def test_reads_are_metered_by_what_is_really_read(product):
    with old_port(product).context.open(PARTNER) as view:
        view.scan("movie", columns=["the name", "currency"]).read_all()
    (read,) = [r for r in product.ledger.reads("films") if r["principal"] == "pat"]
    assert (read["port"], read["dataset"], read["columns"]) == ("rest", "films", ("title",))


def test_a_view_of_an_older_major_pages_aggregates_and_compares(product):
    product.build()
    (product.spec.home / "inputs/films.csv").write_text(ROWS.replace("40.25", "41.00"))
    product.build()
    port = old_port(product).context
    with port.open(OWNER, "1") as before, port.open(OWNER) as after:
        assert after.count_changes(before, "movie") == {"changed": 1}
        change = after.changes(before, "movie").read_all().to_pylist()[0]
        assert (str(change["before"]["usd"]), str(change["after"]["usd"])) == ("40.25", "41.00")
        page = after.scan("movie", order=[Order("nr")], after=[1], limit=1).read_all().to_pylist()
        assert page[0]["nr"] == 2
        found = after.aggregate(
            "movie", group=["by"], measures=[Measure("max", "usd")], where=parse("nr > 2")
        )
        assert found.read_all().to_pylist() == [{"by": "Mann", "max_usd": None}]
        with pytest.raises(QueryError):
            after.scan("movie", where=parse("title = 'Dune'"))
    assert before.policy_class != product.open(OWNER, "1").policy_class


def test_a_snapshot_from_before_the_change_is_shown_as_it_was(tmp_path):
    home = write(tmp_path / "films")
    settings = home / "polyport.yaml"
    (home / "dataproduct.odps.yaml").write_text(
        textwrap.dedent(PRODUCT)
        .replace("contractId: films}", "contractId: films-v1}")
        .replace("2.0.0, contract", "3.0.0, contract")
    )
    (home / "contracts/films.odcs.yaml").unlink()
    settings.write_text(
        textwrap.dedent(SETTINGS)
        .split("ports:")[0]
        .replace("director", "by")
        .replace("title]", '"the name"]')
        .replace("[id", "[nr")
        .replace("studio = 'Fox'", "usd > 0")
        .replace("[studio]", "[nr]")
    )
    (home / "transform/films.sql").unlink()
    (home / "transform/movie.sql").write_text(
        'SELECT id::BIGINT AS nr, title AS "the name", director AS "by", cost::DECIMAL(18,2) AS usd, \'USD\' AS currency FROM sheet'
    )
    with Product.load(home) as product:
        product.build()
    (home / "transform/movie.sql").unlink()
    write(home)
    with Product.load(home) as product:
        product.build()
        with old_port(product).context.open(OWNER, "1") as view:
            first = view.scan("movie", order=[Order("nr")]).read_all().to_pylist()[1]
        assert (first["the name"], first["by"], first["currency"]) == ("Dune", "Lynch", "US'D")


def test_lines_to_paste_tell_majors_apart(product):
    lines = client_lines(product, "http://127.0.0.1:8400")
    assert set(lines) == {"rest@1", "rest@2", "files@1", "files@2"}
    assert "/rest/v1/movie?" in lines["rest@1"]
    assert "/rest/v2/films?" in lines["rest@2"]


def seen_by(product, role, address):
    return ask(product, address, **({"polyport_role": role} if role else {})).json()


def test_the_document_tells_majors_apart_each_with_its_own_datasets(product):
    for role in ("", "partner", "titles"):
        told = seen_by(product, role, "metadata")
        assert set(told["clients"]) == {"rest@1", "rest@2", "files@1", "files@2"}
        assert "/rest/v1/movie?" in told["clients"]["rest@1"]
        assert "/rest/v2/films?" in told["clients"]["rest@2"]
        ports = {(p["name"], p["version"]): p for p in told["ports"]["output"]}
        assert ports["rest", "1.3.0"]["address"].endswith("/rest/v1/")
        assert ports["rest", "2.0.0"]["address"].endswith("/rest/v2/")
        assert "movie" in ports["files", "1.0.0"]["clients"]["curl"]
        names = [link["name"] for link in told["_links"]["port"]]
        assert names == ["rest@1", "rest@2", "files@1", "files@2"]
        for line in told["clients"].values():
            path = line.split("http://127.0.0.1/products/films/")[1].split('"')[0].split("'")[0]
            assert ask(product, path.split()[0]).status_code == 200, line
    assert "clients" not in seen_by(product, "studios", "metadata")["ports"]["output"][0]
    assert set(seen_by(product, "studios", "metadata")["clients"]) == {"rest@2", "files@2"}


@pytest.mark.parametrize(
    ("role", "columns"),
    [
        ("", ["nr", "the name", "by", "usd", "currency"]),
        ("partner", ["nr", "the name", "by", "usd", "currency"]),
        ("titles", ["nr", "the name", "currency"]),
    ],
)
def test_the_older_contract_is_told_to_whom_its_port_shows_it(product, role, columns):
    (older,) = [c for c in seen_by(product, role, "metadata/contracts") if c["id"] == "films-v1"]
    assert [p["name"] for p in older["schema"][0]["properties"]] == columns
    alone = seen_by(product, role, "metadata/contracts/films-v1")
    assert alone["schema"] == older["schema"]


def test_the_older_contract_is_not_told_to_whom_its_port_shows_nothing(product):
    told = seen_by(product, "studios", "metadata/contracts")
    assert [c["id"] for c in told] == ["films"]
    assert ask(product, "metadata/contracts/films-v1", polyport_role="studios").status_code == 404


def test_catalogues_tell_majors_apart(product):
    nodes = {n["@id"]: n for n in seen_by(product, "partner", "metadata/dcat.jsonld")["@graph"]}
    ports = [n for n in nodes.values() if n["@type"] == "dcat:DataService"]
    assert [p["rdfs:label"] for p in ports] == ["rest@1", "rest@2", "files@1", "files@2"]
    for node in nodes.values():
        if node["@type"] == "dcat:Distribution":
            address = node["dcat:accessURL"][0]["@id"].split("/products/films/")[1]
            assert ask(product, address, polyport_role="partner").status_code == 200, address
            assert node["dprod:isDistributionOf"][0]["@id"].endswith("#dataset:films")
    for role in ("", "partner"):
        assert "movie" not in str(seen_by(product, role, "metadata/croissant.json"))


@pytest.fixture
def narrowed(product):
    """The older major without `by`, as it is about to be published; `pat` and `ann` read that, and `joe` does not.

    `kim` reads what it is made from through the newer major, and `lee` through none.
    """
    for name, role in (("pat", "partner"), ("ann", "partner"), ("joe", "titles")):
        with old_port(product).context.open(Principal(name, frozenset({role}))) as view:
            view.scan(
                "movie", columns=[n for n in ("nr", "by") if n in view.schema("movie").names]
            ).read_all()
    newer = next(p for p in product.ports() if p.context.spec.version == "2.0.0").context.open
    for name, opened in (("kim", newer), ("lee", product.open)):
        with opened(Principal(name, frozenset({"partner"}))) as view:
            view.scan("films", columns=["director"]).read_all()
    document = {
        "apiVersion": "v0.9.0", "kind": "AccessAgreement", "id": "a", "status": "approved",
        "description": {"purpose": "x"}, "provider": {"teamId": "t", "dataProductId": "films", "outputPortId": "rest"},
        "consumer": {"userId": "zoe"}, "customProperties": [{"property": "polyport.columns", "value": ["director"]}],
    }  # fmt: skip
    entry = {"agreement": document, "decision": "approved", "note": ""}
    product.ledger.journal.append("agreement", "a", entry, product="films", by="owner")
    column = "          - {name: by, logicalType: string, physicalType: VARCHAR}\n"
    home = write(product.spec.home, swap={column: "", " by: director,": ""})
    product.ledger.flush()
    with Product.load(home) as changed:
        yield changed


def broken(product, who):
    app = create_app([product], identify=lambda _: (who, ""))
    path = "/products/films/contracts/difference?contract=films-v1&from=1.3.0"
    found = Client(app).get(path).json()
    affected = next(
        p["value"] for p in found["customProperties"] if p["property"] == "polyport.affected"
    )
    return found, affected


def test_who_breaks_is_found_behind_the_mapping(narrowed):
    found, (by,) = broken(narrowed, OWNER)
    assert "by" in by["path"]
    assert {c["principal"] for c in by["consumers"]} == {"pat", "ann"}
    assert [a["consumer"] for a in by["agreements"]] == ["zoe"]
    assert [d["impactLevel"] for d in found["diffs"] if "by" in d["path"]] == ["MAJOR"]


def test_readers_of_the_newer_major_break_by_its_contract_and_those_of_the_older_do_not(narrowed):
    newer = narrowed.spec.home / "contracts/films.odcs.yaml"
    line = "{name: director, logicalType: string, physicalType: VARCHAR"
    newer.write_text(newer.read_text("utf-8").replace(line, f"{line}(3)"), "utf-8")
    path = "/products/films/contracts/difference?contract=films&to=current"
    with Product.load(narrowed.spec.home) as changed:
        found = Client(create_app([changed], identify=lambda _: (OWNER, ""))).get(path).json()
    (affected,) = [
        p["value"] for p in found["customProperties"] if p["property"] == "polyport.affected"
    ]
    (narrower,) = [each for each in affected if "director" in each["path"]]
    assert {c["principal"] for c in narrower["consumers"]} == {"kim", "lee"}


def test_consumers_hear_of_the_older_major_what_it_shows_them_and_no_names(narrowed):
    found, (by,) = broken(narrowed, PARTNER)
    assert (by["consumerCount"], by["agreementCount"]) == (2, 1)
    assert not {"consumers", "agreements"} & set(by)
    assert not [name for name in ("'ann'", "'zoe'", "director", "studio") if name in str(found)]
    for role in ("titles", "studios", "nothing"):
        found, affected = broken(narrowed, Principal("joe", frozenset({role})))
        assert affected == []
        assert not [d for d in found["diffs"] if d["section"] == "schema"]


def test_an_agreement_holds_for_every_major(tmp_path):
    home = write(tmp_path / "films", swap={"agreements: optional": "agreements: required"})
    with Product.load(home) as product:
        product.build()
        both = [p.context.open for p in product.ports() if p.context.spec.name == "rest"]
        for each in both:
            with (
                each(PARTNER) as view,
                pytest.raises(AccessError, match="no data sharing agreement"),
            ):
                view.scan(next(iter(view.snapshot.datasets)))
        document = {
            "apiVersion": "v0.9.0", "kind": "AccessAgreement", "id": "a", "status": "approved",
            "description": {"purpose": "x"}, "provider": {"teamId": "t", "dataProductId": "films", "outputPortId": "rest"},
            "consumer": {"userId": "pat"},
        }  # fmt: skip
        entry = {"agreement": document, "decision": "approved", "note": ""}
        product.ledger.journal.append("agreement", "a", entry, product="films", by="owner")
        for each in both:
            with each(PARTNER) as view:
                assert view.scan(view.datasets[0]).read_all().num_rows == 2


@pytest.mark.parametrize(
    ("swap", "code", "words"),
    [
        ({"from: films": "from: film"}, "PP282", "no dataset `film` is published"),
        ({"usd: cost": "usd: costs"}, "PP282", "no column `costs`"),
        ({"usd: cost, ": ""}, "PP282", "`usd` of the older contract is not mapped"),
        ({"usd: cost": "usd: title"}, "PP282", "promises number, and the column is string"),
        ({"nr: id": "nr: id, more: id"}, "PP282", "no column `more`"),
        ({"movie:": "movies:"}, "PP282", "no dataset `movies`"),
        ({"rest@1": "rest@3"}, "PP207", "rest@3"),
        ({"version: 2.0.0, contractId: films}\n      - {name: files": "version: 1.4.0, contractId: films}\n      - {name: files"}, "PP281", "one address"),
        ({'value: "2099-01-01"': "value: soon"}, "PP283", "not a date"),
        ({'value: "2099-01-01"': 'value: "2025-01-01"'}, "PP283", "sunset before"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_its_place(tmp_path, swap, code, words):
    with pytest.raises(DescriptorError) as failed:
        Product.load(write(tmp_path / "films", swap=swap))
    found = [d for d in failed.value.diagnostics if d.code == code and words in d.message]
    assert found, failed.value.diagnostics
    assert found[0].places[0].line > 0
