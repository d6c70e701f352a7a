"""`polyport diff --contract`: two contracts or ODPS documents, change by change: the verdict, and who breaks."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from polyport.cli import console
from polyport.cli.options import one_product
from polyport.descriptor.text import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.access.impact import Affected
    from polyport.descriptor.compare import Change, Difference
    from polyport.descriptor.types import DatasetMapping
    from polyport.descriptor.yaml import Document
    from polyport.ledger.contracts import Kept
    from polyport.product import Product

STYLES = {"breaking": console.bad, "risky": console.warning, "compatible": console.good}
YAML = (".yaml", ".yml")
Refs: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a comparison."""

    value: Mapping[str, Any]
    file: Document | None = None
    """Where it stands; None for what was kept."""
    mapping: Mapping[str, DatasetMapping] | None = None
    """What was kept of its mapping, where it was an older major's; None: the product's of now."""

    def place(self, change: Change) -> str:
        return str(self.file.value_at(change.at)) if self.file else ""


def difference(
    old: str, new: tuple[Path | None, Path | None], *, refs: Refs, as_json: bool
) -> None:
    """Print the difference of two documents; exits with 1 where a change is breaking.

    Args:
        old: A file, or the id of a contract of the product.
        new: The other file, and the product's folder; without a file: what the product says now.
        refs: Of a contract by its id: from which kept one to which, by snapshot or version.
        as_json: As a document of the OMDS draft.

    Raises:
        DescriptorError: One of them is no sound document.
        ConfigurationError: They are not of one kind, or do not fit the options.
        NotFoundError: There is no such file, contract, version or snapshot.
    """
    file, folder = new
    if _is_file(old) and file and not folder:
        _check_refs(refs, file=True, to_file=True)
        _tell(_file(Path(old)), _file(file), None, as_json=as_json)
        return
    with one_product(folder or Path()) as product:
        sides = _sides(product, old, file, refs)
        _tell(*sides, product, as_json=as_json)


def _is_file(text: str) -> bool:
    from polyport.errors import NotFoundError

    path = Path(text)
    if path.suffix in YAML and not path.is_file():
        raise NotFoundError(f"no file {text}", fix="name a file, or the id of a contract")
    return path.is_file()


def _check_refs(refs: Refs, *, file: bool, to_file: bool) -> None:
    from polyport.errors import ConfigurationError

    for option, ref, against in (("--from", refs[0], file), ("--to", refs[1], to_file)):
        if ref and against:
            raise ConfigurationError(
                f"{option} {ref} names what was kept of a contract, and a file was given",
                where="diff --contract",
                fix="name the contract by its id, or leave the option out",
            )


def _sides(product: Product, old: str, file: Path | None, refs: Refs) -> tuple[_Side, _Side]:
    from polyport.ledger import contracts

    named = _is_file(old)
    _check_refs(refs, file=named, to_file=file is not None)
    kept = contracts.kept(product.ledger.journal, product.spec.id)
    left = _file(Path(old)) if named else None
    name = str(left.value.get("id")) if left else old
    versions = contracts.chosen(kept, name, product.spec.id) if not left or refs[1] else ()
    if file:
        right = _file(file)
    elif refs[1]:
        right = _kept(product, versions, refs[1])
    else:
        right = _now(product, name)
    if left is None:
        left = (
            _kept(product, versions, refs[0])
            if refs[0]
            else _side(contracts.differing(versions, right.value))
        )
    return left, right


def _kept(product: Product, versions: Sequence[Kept], ref: str) -> _Side:
    from polyport.ledger import contracts

    return _side(contracts.at(versions, ref, lambda r: product.store.snapshot(product.spec.id, r)))


def _side(kept: Kept) -> _Side:
    return _Side(kept.document, mapping=kept.mapping)


def _now(product: Product, name: str) -> _Side:
    """The contract of that id as it stands in the product's folder."""
    from polyport.errors import NotFoundError

    contract = product.spec.contracts.get(name)
    if contract is None:
        raise NotFoundError(
            f"{product.spec.id} has no contract {name!r}",
            fix=f"contracts: {', '.join(product.spec.contracts) or 'none'}",
        )
    return _file(contract.file)


def _file(path: Path) -> _Side:
    from polyport import descriptor

    found = descriptor.examine_file(path)
    document, _ = descriptor.read(path)
    if document is None or any(d.severity == "error" for d in found):
        raise descriptor.failure(found, path)
    return _Side(document.value, document)


def _tell(old: _Side, new: _Side, product: Product | None, *, as_json: bool) -> None:
    from polyport.access import impact
    from polyport.descriptor.compare import compare, omds

    found = compare(old.value, new.value)
    places = [new.place(change) for change in found.changes]
    books = product if found.kind == "DataContract" else None
    who = _who(found, old, books) if books else ()
    if as_json:
        more = {"polyport.affected": impact.told(who, names=True)} if books else {}
        console.say_json(omds.document(found, places=places if new.file else (), more=more))
    else:
        _show(found, places, who)
    if found.counts["breaking"]:
        sys.exit(1)


def _who(found: Difference, old: _Side, product: Product) -> tuple[Affected, ...]:
    from polyport.access import impact

    books = (product.ledger, product.control)
    mapping = old.mapping
    if mapping is None:
        mapping = product.spec.mapping(str(old.value.get("id")))
    now = datetime.now(UTC)
    return impact.broken(found.of("breaking"), old.value, product.spec, books, now, mapping)


def _show(found: Difference, places: Sequence[str], who: Sequence[Affected]) -> None:
    from polyport.descriptor.compare import VERDICTS

    concerned = {id(each.change): each for each in who}
    ranked = sorted(enumerate(found.changes), key=lambda pair: VERDICTS.index(pair[1].verdict))
    for at, change in ranked:
        _change(change, places[at])
        if id(change) in concerned:
            _concerned(concerned[id(change)])
    counts = [f"{number} {verdict}" for verdict, number in found.counts.items() if number]
    console.say(", ".join(counts) if counts else "Nothing differs but perhaps the version.")
    if found.suggested and found.changes:
        console.talk(
            f"The change from {found.old.version} wants version {found.suggested} or above"
            f"; {found.new.id} says {found.new.version or 'none'}"
        )


def _change(change: Change, place: str) -> None:
    style = STYLES[change.verdict]
    console.say(f"{style(change.verdict)}: {_clean(change.reason)}")
    where = f"{place}  " if place else ""
    console.say(f"  --> {where}{console.dim(_clean(change.path))}")


def _concerned(each: Affected) -> None:
    """Who read what breaks, and to whom it was promised."""
    from polyport.access.impact import DAYS

    for one in each.consumers:
        told = f"{one.principal}: {plural(one.reads, 'read')}, last {one.last_at[:10]}"
        console.say(f"  breaks {_clean(told)}")
    for agreed in each.agreements:
        told = f"{agreed.id} with {agreed.consumer_name} for {agreed.purpose}"
        console.say(f"  covered by the agreement {_clean(told)}")
    if not each.consumers and not each.agreements:
        console.say(console.dim(f"  nobody read it in {DAYS} days, and no agreement covers it"))


def _clean(text: str) -> str:
    return console.CONTROL.sub(" ", text)
