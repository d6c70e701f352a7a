"""The glossary: terms are read, mistakes are shown at their place."""

from __future__ import annotations

import pytest

from polyport.descriptor import glossary, read_mesh
from polyport.descriptor.glossary import definitions_of, term_of, terms_of


def read(folder, text, mesh="vocabulary: words.yaml\n"):
    (folder / "mesh.yaml").write_text(mesh, "utf-8")
    if text is not None:
        (folder / "words.yaml").write_text(text, "utf-8")
    document, _ = read_mesh(folder)
    return glossary.read(folder, document)


def test_terms_are_read(tmp_path):
    found = read(
        tmp_path, "terms: [{id: a, label: A, definition: First., links: [https://x.example/]}]"
    )
    assert not found.found
    assert found.terms["a"].links == ("https://x.example/",)
    assert not read(tmp_path, None, "name: x\n").named


@pytest.mark.parametrize(
    "text",
    [
        None, "words: []\n", "terms: x\n", "terms: [x]\n", "terms: [{id: a, label: A}]\n",
        "terms: [{id: 1, label: A, definition: B}]\n", "terms: [{id: a, label: ' ', definition: B}]\n",
        "terms: [{id: a, label: A, definition: B, more: C}]\n",
        "terms: [{id: a, label: A, definition: B, links: 'http://x'}]\n",
        "terms: [{id: a, label: A, definition: B, links: ['javascript:x']}]\n",
        "terms: [{id: a, label: A, definition: B}, {id: a, label: A, definition: B}]\n",
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(tmp_path, text):
    found = read(tmp_path, text)
    assert [d.code for d in found.found] == ["PP264"]


def test_how_columns_refer_to_terms():
    node = {
        "authoritativeDefinitions": [
            {"type": "businessDefinition", "url": "/glossary/film%20id"},
            {"type": "businessDefinition", "url": "https://mesh.example/glossary/cost"},
            {"type": "businessDefinition", "url": "https://example.com/P345"},
        ],
        "customProperties": [{"property": "polyport.term", "value": ["cost", "more"]}],
    }
    assert terms_of(node) == ("film id", "cost", "more")
    assert definitions_of(node) == ("https://example.com/P345",)
    assert term_of("/glossary/") == term_of("/glossary/a/b") == ""
