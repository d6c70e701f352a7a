"""A folder of product folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyport.descriptor import glossary, loading, settings, yaml
from polyport.descriptor.text import did_you_mean, error, source_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from polyport.descriptor.types import DataProduct
    from polyport.descriptor.yaml import Document
    from polyport.errors import Diagnostic, Place

NAME = "mesh.yaml"
Found = tuple["Diagnostic", ...]


def examine_mesh(
    folder: Path, *, port_types: Mapping[str, Collection[str]] | None = None
) -> tuple[tuple[DataProduct, ...], Found]:
    """The sound products of the mesh in `folder`, and all diagnostics: of `mesh.yaml`, then product by product."""
    document, found = read_mesh(folder)
    found += tuple(_globs(folder, document))
    products: list[DataProduct] = []
    homes = product_folders(folder, document)
    if not homes and not found:
        place = source_of(folder / NAME, "").whole()
        fix = "a product's folder holds dataproduct.odps.yaml; polyport init NAME makes one"
        found += (error("PP262", "no product folder in the mesh", place, fix=fix),)
    for home in homes:
        product, problems = loading.examine(home, port_types=port_types)
        found += problems
        if product:
            products.append(product)
    between = (
        *_same_ids(products),
        *_links(products, document, complete=len(products) == len(homes)),
    )
    words = glossary.read(folder, document)
    between = (*between, *words.found, *glossary.check(products, words))
    return tuple(products), (*found, *between)


def product_folders(folder: Path, document: Document | None = None) -> tuple[Path, ...]:
    """The product folders of the mesh in `folder`: as `mesh.yaml` names them, else one and two levels down."""
    if document is None:
        document, _ = read_mesh(folder)
    globs = _listed(document) or ["*", "*/*"]
    return tuple(
        dict.fromkeys(
            p for glob in globs for p in sorted(folder.glob(glob)) if _is_product(p, folder)
        )
    )


def is_mesh(folder: Path) -> bool:
    """Whether `folder` is a mesh rather than a product."""
    return (folder / NAME).is_file() or (
        not loading.product_files(folder) and bool(product_folders(folder))
    )


def read_mesh(folder: Path) -> tuple[Document | None, Found]:
    """`mesh.yaml` in `folder`, and what is wrong with it; None where there is none, or it cannot be read."""
    path = folder / NAME
    if not path.is_file():
        return None, ()
    document, found = yaml.read(path)
    if document is None:
        return None, () if [d.code for d in found] == ["PP005"] else found
    document = settings.hidden(document)
    found += settings.examine_mesh(document)
    return document, found


def _listed(document: Document | None) -> list[str]:
    globs = document.get("products") if document else None
    listed = [g for g in globs if isinstance(g, str) and g] if isinstance(globs, list) else []
    return [g for g in listed if not g.startswith("/")]


def _is_product(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.is_dir() and not hidden and bool(loading.product_files(path))


def _globs(folder: Path, document: Document | None) -> Iterator[Diagnostic]:
    for at, glob in enumerate(_listed(document)):
        if document and not any(_is_product(path, folder) for path in folder.glob(glob)):
            place = document.value_at(("products", at), "no product folder fits")
            fix = "a product's folder holds dataproduct.odps.yaml"
            yield error("PP262", f"`{glob}` finds no product", place, fix=fix)


def _same_ids(products: Sequence[DataProduct]) -> Iterator[Diagnostic]:
    first: dict[str, DataProduct] = {}
    for product in products:
        before = first.setdefault(product.id.lower(), product)
        if before is not product:
            places = [
                _place(p, ("id",), t) for p, t in ((product, "again"), (before, "first here"))
            ]
            alike = "" if before.id == product.id else ", but for upper and lower case"
            message = f"two products have the id `{product.id}`{alike}"
            fix = "ids are unique in a mesh, whatever the case: SQL names schemas by them"
            yield error("PP260", message, *places, fix=fix)


def _links(
    products: Sequence[DataProduct], document: Document | None, *, complete: bool
) -> Iterator[Diagnostic]:
    """Inputs from products, and schedules after products, that the mesh does not hold."""
    known = {product.id: product for product in products}
    elsewhere = bool(document and document.get("nodes"))
    for product in products:
        for port in product.inputs:
            named = port.settings.get("product") if port.type == "product" else None
            if not isinstance(named, str) or "://" in named or "${" in named:
                continue
            path: tuple[str | int, ...] = ("inputs", port.name)
            if named in known:
                yield from _dataset(product, known[named], port.settings.get("dataset"), path)
            elif complete and not elsewhere:
                yield _unknown(product, (*path, "product"), named, known)
        after = product.settings.schedule
        if (
            not isinstance(after, str)
            and after["after"] not in known
            and complete
            and not elsewhere
        ):
            yield _unknown(product, ("schedule", "after"), after["after"], known)


def _dataset(
    product: DataProduct, source: DataProduct, dataset: object, path: tuple[str | int, ...]
) -> Iterator[Diagnostic]:
    if source.objects and dataset not in source.objects:
        place = _place(product, (*path, "dataset"), f"not promised by `{source.id}`", settings.NAME)
        fix = did_you_mean(str(dataset), source.objects, what="datasets")
        yield error("PP263", f"product `{source.id}` has no dataset `{dataset}`", place, fix=fix)


def _unknown(
    product: DataProduct, path: tuple[str | int, ...], named: str, known: Mapping[str, DataProduct]
) -> Diagnostic:
    place = _place(product, path, "not in this mesh", settings.NAME)
    fix = did_you_mean(named, [k for k in known if k != product.id], what="products")
    return error("PP261", f"no product `{named}` in the mesh", place, fix=fix)


def _place(product: DataProduct, path: tuple[str | int, ...], label: str, name: str = "") -> Place:
    file = product.home / name if name else product.file or product.home
    document, _ = yaml.read(file)
    return document.value_at(path, label) if document else source_of(file, "").whole(label)
