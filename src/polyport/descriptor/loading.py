"""From a folder, or a file, to what it says and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from polyport.descriptor import agreement, crosscheck, odcs, odps, settings, yaml
from polyport.descriptor.checks import contracts
from polyport.descriptor.checks.folder import Folder
from polyport.descriptor.text import did_you_mean, error, plural, shown_path, source_of
from polyport.descriptor.types import Settings
from polyport.errors import DescriptorError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from polyport.descriptor.odcs import ContractFile
    from polyport.descriptor.types import DataProduct
    from polyport.descriptor.yaml import Document
    from polyport.errors import Diagnostic

Found = tuple["Diagnostic", ...]
_YAML = (".yaml", ".yml")


def load(home: Path, *, port_types: Mapping[str, Collection[str]] | None = None) -> DataProduct:
    """The data product in the folder `home`. `port_types`: `input` and `output` -> the names of installed port types.

    Raises:
        DescriptorError: Its files are wrong; carries all diagnostics, in file order.
        NotFoundError: There is no such folder.
    """
    if not home.is_dir():
        raise NotFoundError(f"no folder {shown_path(home)}", fix="polyport init NAME makes one")
    product, found = examine(home, port_types=port_types)
    if product is None:
        raise failure(found, home)
    return product


def failure(found: Found, home: Path) -> DescriptorError:
    """The error that carries the diagnostics of `home`."""
    errors = [d for d in found if d.severity == "error"]
    files = list(dict.fromkeys(d.places[0].file for d in errors if d.places))
    where = files[0] if len(files) == 1 else shown_path(home)
    message = f"{plural(len(errors), 'problem')} in {where}"
    first = errors[0].places[0] if errors and errors[0].places else ""
    fix = f"polyport check {shown_path(home)}"
    return DescriptorError(message, where=str(first), fix=fix, diagnostics=found)


def examine(
    path: Path, *, port_types: Mapping[str, Collection[str]] | None = None
) -> tuple[DataProduct | None, Found]:
    """The data product in the folder `path`, and all diagnostics in file order; no product where there are errors.

    Never raises for what the files hold.
    """
    reading = _read(path)
    found = list(reading.found)
    product = None
    if reading.document is not None:
        folder = _folder(path, reading, port_types or {})
        product = folder.product
        found += crosscheck.folder_checks(folder)
    ordered = in_order(found, reading.files)
    return (None if _errors(ordered) else product), ordered


def examine_file(path: Path) -> Found:
    """What is wrong with one ODPS, ODCS, OAAS, `polyport.yaml` or `mesh.yaml` file by itself."""
    document, found = yaml.read(path)
    if document is None:
        return found
    if path.name in (settings.NAME, "mesh.yaml"):
        document = settings.hidden(document)
    return in_order((*found, *_by_itself(document, path)), [path])


def _by_itself(document: Document, path: Path) -> Found:
    kind = document.get("kind")
    if path.name == settings.NAME:
        return settings.examine(document)[1]
    if path.name == "mesh.yaml":
        return settings.examine_mesh(document)
    if kind == agreement.KIND or (kind is None and ".oaas." in path.name):
        return agreement.examine(document)
    if kind != "DataContract" and (kind == "DataProduct" or ".odcs." not in path.name):
        return odps.examine(document)
    file, more = _contract(document)
    if file.contract:
        more += tuple(contracts.relationships(file, [file.contract], complete=False))
        for at, one in enumerate(file.contract.objects):
            more += tuple(contracts.keyless(file, at, one))
    return more


def product_files(home: Path) -> tuple[Path, ...]:
    """The ODPS files in `home`: `dataproduct.odps.yaml`, or those with another name."""
    usual = home / odps.NAME
    if usual.is_file():
        return (usual,)
    return tuple(sorted(p for p in home.glob("*.odps.*") if p.suffix in _YAML and p.is_file()))


def contract_files(home: Path) -> tuple[Path, ...]:
    """The contracts of the product in `home`, by name."""
    found = (home / "contracts").glob("*.odcs.*")
    return tuple(sorted(p for p in found if p.suffix in _YAML and p.is_file()))


def in_order(found: Iterable[Diagnostic], files: Iterable[Path]) -> Found:
    """Each diagnostic once, by file in the order of `files`, then by line and column."""
    ranks = {shown_path(path): rank for rank, path in enumerate(files)}

    def rank(diagnostic: Diagnostic) -> tuple[int, str, int, int]:
        place = diagnostic.places[0] if diagnostic.places else None
        if place is None:
            return (-1, "", 0, 0)
        return (ranks.get(place.file, len(ranks)), place.file, place.line, place.column)

    return tuple(sorted(dict.fromkeys(found), key=rank))


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the YAML files of a folder say by themselves."""

    files: tuple[Path, ...]
    found: tuple[Diagnostic, ...]
    document: Document | None
    """The ODPS document, or what can be told of an unsound one."""
    contracts: tuple[ContractFile, ...]
    unread: tuple[str, ...]
    settings: Settings | None
    """None: there are, and they cannot be told. Without roles where a value is wrong."""
    settings_document: Document | None
    """Without what is not in its form."""
    settings_whole: bool
    """Whether nothing of it is left out."""
    agreements: tuple[Document, ...] = ()
    """The sound ones."""


def _read(home: Path) -> _Reading:
    document, found = _product_document(home)
    files = list(product_files(home)[:1])
    read: list[ContractFile] = []
    unread: list[str] = []
    for path in contract_files(home):
        files.append(path)
        contract, problems = yaml.read(path)
        found += problems
        if contract is None:
            unread.append(path.name)
        else:
            file, problems = _contract(contract)
            read.append(file)
            found += problems
    found += _stray_contracts(home)
    own, own_document, problems = _settings(home)
    whole = own is not None and settings.readable(problems)
    files.append(home / settings.NAME)
    agreed, problems_of_these = _agreements(home, files)
    found += (*problems, *problems_of_these)
    return _Reading(
        tuple(files), found, document, tuple(read), tuple(unread), own, own_document, whole, agreed
    )


def _agreements(home: Path, files: list[Path]) -> tuple[tuple[Document, ...], Found]:
    sound: list[Document] = []
    found: Found = tuple(agreement.stray_files(home))
    for path in agreement.agreement_files(home):
        files.append(path)
        document, problems = yaml.read(path)
        if document is not None:
            problems += agreement.examine(document)
        if document is not None and not _errors(problems):
            sound.append(document)
        found += problems
    return tuple(sound), found


def _product_document(home: Path) -> tuple[Document | None, Found]:
    files = product_files(home)
    if not files:
        return None, (_no_product(home),)
    if len(files) > 1:
        places = [source_of(path, "").whole() for path in files]
        fix = f"keep one, called {odps.NAME}"
        return None, (
            error("PP009", f"{len(files)} ODPS documents in one folder", *places, fix=fix),
        )
    document, found = yaml.read(files[0])
    if document is None:
        return None, found
    found += odps.examine(document)
    return (odps.outline(document) if _errors(found) else document), found


def _no_product(home: Path) -> Diagnostic:
    names = [p.name for p in home.glob("*") if p.suffix in _YAML and p.name != settings.NAME]
    fix = did_you_mean(odps.NAME, names, what="found here")
    fix = (
        f"rename it to {odps.NAME}: {fix}"
        if "did you mean" in fix
        else "polyport init NAME makes one"
    )
    place = source_of(home / odps.NAME, "").whole()
    return error("PP008", f"no {odps.NAME} in {shown_path(home)}", place, fix=fix)


def _stray_contracts(home: Path) -> Found:
    """Contracts that are not read because of their names."""
    strays = [
        p for p in (home / "contracts").glob("*") if p.suffix in _YAML and ".odcs." not in p.name
    ]
    return tuple(
        error(
            "PP015",
            f"{path.name} in contracts/ is not read",
            source_of(path, "").whole(),
            fix=f"rename it to {path.stem}.odcs.yaml",
        )
        for path in sorted(strays)
    )


def _contract(document: Document) -> tuple[ContractFile, Found]:
    file, found = odcs.examine(document)
    return file, (*found, *crosscheck.contract_alone(file))


def _settings(home: Path) -> tuple[Settings | None, Document | None, Found]:
    path = home / settings.NAME
    if not path.exists():
        other = path.with_suffix(".yml")
        if not other.exists():
            return Settings(), None, ()
        place = source_of(other, "").whole()
        problem = error(
            "PP015", f"{other.name} is not read", place, fix=f"rename it to {path.name}"
        )
        return None, None, (problem,)
    document, found = yaml.read(path)
    if document is None:
        return (Settings(), None, ()) if _only_empty(found) else (None, None, found)
    document = settings.hidden(document)
    own, more = settings.examine(document)
    if own is None:
        document = document if settings.readable(more) else settings.readable_part(document)
        own = Settings(document=document.value)
    return own, document, (*found, *more)


def _only_empty(found: Found) -> bool:
    """An empty `polyport.yaml` is all defaults."""
    return [d.code for d in found] == ["PP005"]


def _folder(home: Path, reading: _Reading, port_types: Mapping[str, Collection[str]]) -> Folder:
    if reading.document is None:
        raise ValueError(home)
    views = [file.contract for file in reading.contracts if file.contract]
    own = reading.settings or Settings()
    return Folder(
        home=home,
        document=reading.document,
        product=odps.product(reading.document, home, contracts=views, settings=own),
        contracts=reading.contracts,
        settings=reading.settings_document if reading.settings else None,
        settings_sound=reading.settings_whole,
        unread=reading.unread,
        agreements=reading.agreements,
        port_types=port_types,
    )


def _errors(found: Iterable[Diagnostic]) -> bool:
    return any(d.severity == "error" for d in found)
