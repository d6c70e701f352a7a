"""The report as a page: the same address, readable by people and machines that read for them, and safe."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from tests.ports.information.quality.broken_films import (
    ANALYST,
    BASE,
    CLERK,
    FILES,
    HTML,
    PARTNER,
    ROWS,
    write,
)

from polyport.errors import QualityError
from polyport.product import Product
from polyport.server import create_app
from polyport.testing.asgi import Client

VOID = {"meta", "br", "link", "img", "input", "hr"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"


class Read(HTMLParser):
    """Tags as they nest; raises where one is closed that is not open."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def all(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]


def page(client, address=BASE, headers=None):
    reply = client.get(address, headers=HTML | (headers or {}))
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    return Read(reply.text)


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("application/json, text/html;q=0.9", "application/json"),
        ("text/*", "text/html"),
        ("application/vnd.bitol.oors+json", "application/vnd.bitol.oors+json"),
    ],
)
def test_one_address_gives_what_is_accepted(client, accept, media):
    reply = client.get(BASE, headers={"accept": accept})
    assert reply.headers["content-type"].partition(";")[0] == media
    assert "Accept" in reply.headers["vary"]


def test_the_page_tells_what_the_document_tells(client):
    told = client.get(BASE).json()
    found = page(client)
    for result in told["results"]:
        assert result["sentence"] in found.text
    for promise in told["sla"]:
        assert promise["property"] in found.text
        assert promise["measured"] in found.text
    assert "cost_is_sane" in found.text


def test_its_parts_are_headed_named_and_scoped(client, rows, product):
    run = product.ledger.reports("films")[0].run
    base = f"{BASE}/reports/{run}/rows"
    for address in (BASE, base, f"{base}?rule=cost_is_known", f"{base}?set_aside=films"):
        found = page(client, address)
        assert len(found.all("h1")) == len(found.all("main")) == 1
        assert len(found.all("title")) == 1 + len(found.all("svg"))
        assert found.all("html")[0]["lang"] == "en"
        levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h[1-6]", tag)]
        assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
        assert len(found.all("caption")) == len(found.all("table"))
        assert all(attrs.get("scope") in ("col", "row") for attrs in found.all("th"))
        assert all(a["role"] == "img" and a["aria-label"] for a in found.all("svg"))
        ids = [a["id"] for _, a in found.tags if "id" in a]
        assert len(ids) == len(set(ids))
        named = [a["aria-labelledby"] for _, a in found.tags if "aria-labelledby" in a]
        assert set(named) <= set(ids)
        assert all(a["tabindex"] == "0" for a in found.all("div") if a.get("role") == "region")


def test_no_state_is_told_by_colour_alone(client):
    text = client.get(BASE, headers=HTML).text
    states = re.findall(
        r'<span class="state \w+"><span aria-hidden="true">(.)</span> ([^<]+)<', text
    )
    assert states
    assert {words for _, words in states} <= {
        "holds", "broken, a warning", "broken", "could not be run", "not judged", "kept", "not measured",
        "published", "nothing had changed", "held back",
    } | {f"No rule of {name} is broken." for name in ("films", "raw_films")}  # fmt: skip


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_its_colours_can_be_told_apart_in_light_and_dark(client):
    style = re.search(r"<style>(.*?)</style>", client.get(BASE, headers=HTML).text, re.DOTALL)[1]
    schemes = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", scheme))
        for name in ("text", "quiet", "link", "good", "warn", "bad", "none"):
            for ground in ("ground", "card"):
                assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
        for name in ("good", "warn", "bad", "none"):
            assert contrast(colours[name], colours[f"{name}-ground"]) >= 4.5, name


def test_nothing_on_it_runs_or_comes_from_elsewhere(client):
    reply = client.get(BASE, headers=HTML)
    policy = dict(
        p.strip().partition(" ")[::2] for p in reply.headers["content-security-policy"].split(";")
    )
    style = re.search(r"<style>(.*?)</style>", reply.text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == f"'sha256-{digest}'"
    assert policy["frame-ancestors"] == "'none'"
    found = Read(reply.text)
    assert not {"script", "iframe", "object", "form", "img", "link"} & {
        tag for tag, _ in found.tags
    }
    assert not [a for _, attrs in found.tags for a in attrs if a.startswith("on") or a == "style"]
    assert all(a["href"].startswith(("/", "#")) for a in found.all("a"))


def test_hostile_names_and_values_are_shown_as_text(tmp_path):
    quoted = HOSTILE.replace("'", "''")
    contract = (
        FILES["contracts/films.odcs.yaml"]
        .replace("{id: cost_is_known,", f"{{name: '{quoted}', description: '{quoted}',")
        .replace("Two days at most.", f"'{quoted}'")
    )
    odps = FILES["dataproduct.odps.yaml"].replace("name: Films", f"name: '{quoted}'")
    rows = [row.replace("Dune", '"' + HOSTILE.replace('"', '""') + '"') for row in ROWS]
    rows.append('8,"' + HOSTILE.replace('"', '""') + '",Fox,-9,1999')
    write(
        tmp_path / "films",
        rows,
        FILES | {"contracts/films.odcs.yaml": contract, "dataproduct.odps.yaml": odps},
    )
    with Product.load(tmp_path / "films") as product:
        product.build()
        client = Client(create_app([product]))
        base = f"{BASE}/reports/{product.ledger.reports('films')[0].run}/rows"
        links = [
            g["_links"]["self"]["href"] for g in client.get(base).json()["groups"] if "_links" in g
        ]
        assert len(links) == 5
        shown = 0
        for address in (BASE, base, *links):
            found = page(client, address)
            shown += found.text.count(HOSTILE)
            assert not found.all("script")
            assert not found.all("img")
        assert shown >= 6


@pytest.mark.parametrize("viewer", [PARTNER, ANALYST, CLERK], ids=["partner", "analyst", "clerk"])
def test_a_viewer_is_told_what_it_sees_and_no_more(client, viewer):
    found = page(client, headers=viewer)
    assert "You see what your roles may see" in found.text
    assert "you may be told of" not in found.text or viewer is CLERK
    hidden = {"clerk": ["studio", "cost", "raw_films"], "analyst": ["raw_films"]}
    for word in hidden.get(viewer["polyport-role"], []):
        assert word not in found.text
    assert "-51234" not in found.text


def test_a_build_that_was_held_back_says_so_and_what_is_served(product, client):
    write(product.spec.home, [*ROWS, "1,Again,Fox,2,1999"])
    with pytest.raises(QualityError, match=r"hold"):
        product.build()
    found = page(client)
    assert "This build published nothing; snapshot 1 is still served by every port" in found.text
    assert "held back" in found.text
    assert "id is unique" in found.text


def test_before_the_first_build_there_is_no_page(tmp_path):
    write(tmp_path / "films", ROWS)
    with Product.load(tmp_path / "films") as product:
        reply = Client(create_app([product])).get(BASE, headers=HTML)
        assert (reply.status_code, reply.json()["code"]) == (404, "PP410")
