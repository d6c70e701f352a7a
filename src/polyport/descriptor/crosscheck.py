"""All checks of a product's files against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyport.descriptor.checks import (
    access,
    agreements,
    contracts,
    ports,
    product,
    quality,
    steps,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from polyport.descriptor.checks.folder import Folder
    from polyport.descriptor.odcs import ContractFile
    from polyport.errors import Diagnostic


def contract_alone(file: ContractFile) -> Iterator[Diagnostic]:
    """What is wrong with a contract by itself, beyond its JSON Schema."""
    yield from ports.ids(file.document)
    if file.contract:
        yield from contracts.check_alone(file)
        yield from quality.check_alone(file)


def folder_checks(folder: Folder) -> Iterator[Diagnostic]:
    """What is wrong between the files of a product."""
    yield from product.check(folder)
    yield from ports.check(folder)
    yield from contracts.check(folder)
    yield from steps.check(folder)
    yield from access.check(folder)
    yield from agreements.check(folder)
    if folder.complete:
        for file, datasets in _promised(folder):
            yield from quality.queries(file, datasets)


def _promised(folder: Folder) -> Iterator[tuple[ContractFile, list[str]]]:
    datasets = [one.name for _, _, one in folder.promised()]
    files = dict.fromkeys(id(file) for file, _, _ in folder.promised())
    for file in folder.contracts:
        if id(file) in files:
            yield file, datasets
