"""The business glossary of a mesh: what words mean, and which columns are meant by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from polyport.descriptor import yaml
from polyport.descriptor.rules import custom
from polyport.descriptor.text import did_you_mean, error, source_of
from polyport.descriptor.types import Term

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from polyport.descriptor.types import DataProduct
    from polyport.descriptor.yaml import Document
    from polyport.errors import Diagnostic

PROPERTY = "polyport.term"
"""The custom property of a column that names a term, or several."""
_ADDRESS = "/glossary/"
_WORDS = ("id", "label", "definition")
_KNOWN = (*_WORDS, "links")


@dataclass(frozen=True, slots=True)
class Glossary:
    """A file of terms."""

    terms: Mapping[str, Term]
    found: tuple[Diagnostic, ...] = ()
    named: bool = True
    """Whether the mesh names a glossary at all."""


def term_of(address: str) -> str:
    """The id of the term that an address ending in `/glossary/{term}` means; empty for any other address."""
    _, found, name = address.rpartition(_ADDRESS)
    return unquote(name) if found and name and "/" not in name else ""


def terms_of(node: Mapping[str, Any]) -> tuple[str, ...]:
    """The terms that a contract's property refers to: `authoritativeDefinitions` and `polyport.term`."""
    said = custom(node).get(PROPERTY)
    own = said if isinstance(said, list) else [said] if said else []
    found = [term_of(address) for address in _addresses(node)]
    return tuple(dict.fromkeys(str(name) for name in (*found, *own) if name))


def definitions_of(node: Mapping[str, Any]) -> tuple[str, ...]:
    """The addresses of its `authoritativeDefinitions` that are no terms of the glossary."""
    return tuple(a for a in _addresses(node) if not term_of(a))


def _addresses(node: Mapping[str, Any]) -> list[str]:
    listed = node.get("authoritativeDefinitions") or ()
    return [str(entry["url"]) for entry in listed if isinstance(entry, dict) and entry.get("url")]


def read(folder: Path, mesh: Document | None) -> Glossary:
    """The glossary that `mesh.yaml` in `folder` names with `vocabulary`, and what is wrong with it."""
    name = mesh.get("vocabulary") if mesh else None
    if mesh is None or not isinstance(name, str):
        return Glossary({}, named=False)
    path = folder / name
    if not path.is_file():
        place = mesh.value_at(("vocabulary",), "no such file")
        return Glossary({}, (error("PP264", f"no file `{name}`", place, fix="terms: [...]"),))
    document, found = yaml.read(path)
    if document is None:
        return Glossary({}, found)
    listed = document.get("terms")
    if not isinstance(listed, list):
        whole = source_of(path, "").whole()
        return Glossary({}, (*found, error("PP264", "no list `terms`", whole, fix="terms: [...]")))
    terms: dict[str, Term] = {}
    found = (*found, *_fill(document, listed, terms))
    return Glossary(terms, found)


def _fill(
    document: Document, listed: Sequence[object], terms: dict[str, Term]
) -> Iterator[Diagnostic]:
    """Put the sound entries into `terms`; what is wrong with the others."""
    for at, entry in enumerate(listed):
        wrong = _wrong(entry, terms)
        if wrong:
            place = document.value_at(("terms", at), wrong)
            fix = "{id: production-cost, label: Production cost, definition: What it cost.}"
            yield error("PP264", f"term {at + 1} cannot be read: {wrong}", place, fix=fix)
        elif isinstance(entry, dict):
            links = tuple(str(link) for link in entry.get("links") or ())
            terms[entry["id"]] = Term(entry["id"], entry["label"], entry["definition"], links)


def _wrong(entry: object, terms: Mapping[str, Term]) -> str:
    """What is wrong with one entry; empty where nothing is."""
    if not isinstance(entry, dict):
        return "it is no mapping"
    for name in _WORDS:
        if not isinstance(entry.get(name), str) or not entry[name].strip():
            return f"`{name}` must be text"
    unknown = [str(name) for name in entry if name not in _KNOWN]
    if unknown:
        return f"unknown key `{unknown[0]}`"
    links = entry.get("links") or []
    if not isinstance(links, list) or not all(
        isinstance(link, str) and link.startswith(("http://", "https://")) for link in links
    ):
        return "`links` must be http or https addresses"
    return f"`{entry['id']}` is there already" if entry["id"] in terms else ""


def check(products: Sequence[DataProduct], glossary: Glossary) -> Iterator[Diagnostic]:
    """Columns that refer to terms that the mesh does not have."""
    for product in products:
        for contract in product.contracts.values():
            document: Document | None = None
            for at, one in enumerate(contract.objects):
                for i, column in enumerate(one.properties):
                    for term in column.terms:
                        if term in glossary.terms:
                            continue
                        document = document or yaml.read(contract.file)[0]
                        path = ("schema", at, "properties", i, "name")
                        yield _unknown(contract.file, document, path, (term, glossary))


def _unknown(
    file: Path, document: Document | None, path: tuple[str | int, ...], said: tuple[str, Glossary]
) -> Diagnostic:
    term, glossary = said
    label = f"refers to `{term}`"
    place = document.value_at(path, label) if document else source_of(file, "").whole(label)
    fix = (
        did_you_mean(term, list(glossary.terms), what="terms")
        if glossary.named
        else "mesh.yaml: vocabulary: glossary.yaml"
    )
    return error("PP265", f"no term `{term}` in the mesh's glossary", place, fix=fix)
