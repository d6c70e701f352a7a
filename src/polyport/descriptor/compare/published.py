"""Contracts against what was published of them: a breaking change takes a new major version."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from polyport.descriptor import yaml
from polyport.descriptor.compare import compare, versions
from polyport.descriptor.text import error, source_of, warning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from polyport.descriptor.compare import Change, Difference
    from polyport.descriptor.types import Contract, DataProduct, Port
    from polyport.errors import Diagnostic, Place

_STATE = "status"
"""That a contract is retired is told to its readers otherwise: a new major version would not keep it alive."""
_DRAFTS = ("draft", "proposed")
"""A contract that was published so has promised nothing yet."""


def promised(product: DataProduct) -> tuple[Contract, ...]:
    """The contracts behind the output ports of `product`: what readers rely on."""
    used = dict.fromkeys(port.contract_id for port in product.outputs)
    return tuple(product.contracts[name] for name in used if name in product.contracts)


def check(
    contracts: Iterable[Contract], kept: Mapping[str, Mapping[str, Any]]
) -> Iterator[Diagnostic]:
    """What `contracts` may not, or should not, change without a new version.

    Args:
        contracts: As they are to be published.
        kept: Contract id -> its newest published document.
    """
    for contract in contracts:
        if contract.id in kept:
            old = kept[contract.id]
            draft = str(old.get(_STATE)).lower() in _DRAFTS
            yield from _check(contract, compare(old, contract.document), draft=draft)


def moved(
    product: DataProduct, before: Mapping[str, str], kept: Mapping[str, Mapping[str, Any]]
) -> Iterator[Diagnostic]:
    """What a contract may not change against the one of another id that it takes the place of, behind a port.

    Where that one is behind another port still, that the id is another is no change: references find it.

    Args:
        product: As it is to be published.
        before: `name@major` of each output port -> the id of the contract that was published behind it.
        kept: Contract id -> its newest published document.
    """
    behind = {port.contract_id for port in product.outputs}
    pairs = {(before.get(port_key(port), ""), port.contract_id): port for port in product.outputs}
    for (old, new), port in pairs.items():
        if old != new and old in kept and new in product.contracts:
            contract, found = (
                product.contracts[new],
                compare(kept[old], product.contracts[new].document),
            )
            if old in behind:
                changes = tuple(each for each in found.changes if each.section != "id")
                found = replace(found, changes=changes)
            draft = str(kept[old].get(_STATE)).lower() in _DRAFTS
            since = f"since `{old}` {found.old.version} was published behind port {port.name}"
            yield from _check(contract, found, draft=draft, since=since)


def port_key(port: Port) -> str:
    """One major version of an output port: `rest@1`."""
    return f"{port.name}@{port.major}"


def raised(old: str, new: str) -> bool:
    """Whether the version `new` has a higher major than `old`; where `old` is not semantic, whether it is another."""
    before, after = versions.read(old), versions.read(new)
    if before is None:
        return new != old
    return after is not None and after.major > before.major


def _check(
    contract: Contract, found: Difference, *, draft: bool, since: str = ""
) -> Iterator[Diagnostic]:
    old, new = found.old.version, contract.version
    breaking = [change for change in found.of("breaking") if change.section != _STATE]
    if breaking and not raised(old, new):
        since = since or f"since {old} was published"
        message = f"`{contract.id}` {new} {_counted(breaking, 'breaking')} {since}"
        lower = versions.raised(old, "MAJOR")
        fix = f"raise the major version: `version: {lower}`; or take the changes back"
        told = warning if draft else error
        yield told("PP239", message, *_places(contract, breaking), fix=fix)
    risky = [change for change in found.of("risky") if change.section != _STATE]
    if risky and new == old and not draft:
        message = (
            f"`{contract.id}` {new} {_counted(risky, 'risky')} {since or 'since it was published'}"
        )
        fix = f"give it a version of its own: `version: {found.suggested or 'another'}`"
        yield warning("PP229", message, *_places(contract, risky), fix=fix)


def _counted(changes: list[Change], verdict: str) -> str:
    number = len(changes)
    return f"has {number} {verdict} change{'' if number == 1 else 's'}"


def _places(contract: Contract, changes: list[Change]) -> tuple[Place, ...]:
    """Where the version stands, then each change with its reason."""
    document, _ = yaml.read(contract.file)
    if document is None:
        return (source_of(contract.file, "").whole(),)
    version = document.value_at(("version",), "the same major as what is published")
    return (version, *(document.value_at(change.at, change.reason) for change in changes))
