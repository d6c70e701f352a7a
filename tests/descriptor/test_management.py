"""Management ports that the ODPS document names are ones that there are."""

from __future__ import annotations

import pytest

from polyport import ports
from polyport.errors import DescriptorError
from polyport.product import Product
from polyport.testing.output_port import make_product

ENTRY = "managementPorts: [{name: NAME, content: CONTENT}]\nteam:"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("lineage", "observability", ""),
        ("metadata", "discoverability", ""),
        ("access", "control", ""),
        ("linage", "observability", "no management port `linage`"),
        ("lineage", "control", "is not one of `control`"),
        ("agreements", "observability", "is not one of `observability`"),
    ],
)
def test_a_declared_management_port_is_one_that_there_is(tmp_path, name, content, words):
    home = tmp_path / "films"
    make_product(home, "rest").close()
    file = home / "dataproduct.odps.yaml"
    entry = ENTRY.replace("NAME", name).replace("CONTENT", content)
    file.write_text(file.read_text().replace("team:", entry, 1))
    if not words:
        Product.load(home).close()
        return
    with pytest.raises(DescriptorError) as failed:
        Product.load(home)
    (found,) = [d for d in failed.value.diagnostics if d.code == "PP284"]
    assert words in found.message
    assert found.places[0].line > 1


def test_one_that_something_else_serves_has_an_address(tmp_path):
    home = tmp_path / "films"
    make_product(home, "rest").close()
    file = home / "dataproduct.odps.yaml"
    entry = "managementPorts: [{name: board, content: control, url: 'https://x.example'}]\nteam:"
    file.write_text(file.read_text().replace("team:", entry, 1))
    Product.load(home).close()


def test_names_are_those_that_are_registered():
    known = ports.names()
    assert set(known) == {"input", "output", "information", "configuration"}
    assert "rest" in known["output"]
