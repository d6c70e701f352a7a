"""What the status of a data product (ODPS `status`) means for whoever reads it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from polyport.errors import AccessError, ConflictError, NotFoundError, RetiredError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from polyport.descriptor.types import DataProduct, DatasetMapping, Port
    from polyport.model import Principal

PREPARED = ("proposed", "draft")
"""Only the owner reads the product, and the owner's previews."""
LIBRARY = "library"
"""The port through which the library and the command line read, next to the product's own."""


def status(product: DataProduct) -> str:
    """The status, folded; `active` where none is said."""
    return product.status.strip().casefold() or "active"


def stated(product: DataProduct, name: str) -> str:
    """The custom property `polyport.<name>` of the product as text; empty where it has none."""
    own: Any = product.document.get("customProperties") or ()
    found = next((p.get("value") for p in own if p.get("property") == f"polyport.{name}"), None)
    return "" if found is None else str(found)


def successor(product: DataProduct) -> str:
    """What comes after the product: the id of another, or an address; empty where nothing is said."""
    return stated(product, "successor")


def deprecated_since(product: DataProduct) -> datetime | None:
    """Since when it is deprecated, as `polyport.deprecatedOn` says; None: not said, or not a date."""
    try:
        found = datetime.fromisoformat(stated(product, "deprecatedOn"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def refusal(
    product: DataProduct, principal: Principal, port: str, today: date
) -> AccessError | RetiredError | None:
    """Why rows of `product` are not given to `principal` through `port`, whatever was agreed; None where they may be.

    Documents of a retired product stay.
    """
    owner, versions = principal.owns(product.id), [p for p in product.outputs if p.name == port]
    rows = versions or port == "product" or (port == LIBRARY and not owner)
    if status(product) == "retired" and rows:
        return retired(product)
    gone = [sunset(product, version, today) for version in versions]
    if gone and all(gone):
        return gone[-1]
    if status(product) not in PREPARED or owner or not principal.needs_agreement:
        return None
    return AccessError(
        f"{principal.id} may not read {product.id!r}: it is {status(product)}, and only its owner reads it",
        where=product.id,
        fix="wait until its status is active",
    )


def sunset(product: DataProduct, version: Port, today: date) -> RetiredError | None:
    """Why this version of an output port is not served any more; None where it is."""
    if version.sunset is None or today < version.sunset:
        return None
    newer = product.successor(version)
    return RetiredError(
        f"version {version.version} of the port {version.name!r} is not served since {version.sunset}",
        where=product.id,
        fix=f"use version {newer.version}" if newer else "ask the product's owner",
    )


def mapping_of(product: DataProduct, major: int, today: date) -> Mapping[str, DatasetMapping]:
    """How the output ports of `major` make their datasets from those that are published; empty: as they are.

    Raises:
        NotFoundError: The product has no output port of that major.
        RetiredError: None of them is served any more.
    """
    found = [port for port in product.outputs if port.major == major]
    if not found:
        majors = ", ".join(map(str, sorted({port.major for port in product.outputs})))
        raise NotFoundError(
            f"{product.id!r} has no output port of major version {major}",
            where=product.id,
            fix=f"major versions: {majors}",
        )
    ended = [sunset(product, port, today) for port in found]
    if all(ended) and ended[0] is not None:
        raise ended[0]
    return next((port.mapping for port in found if port.mapping), {})


def retired(product: DataProduct) -> RetiredError:
    """The error for a product that is retired."""
    since, heir = stated(product, "retiredOn"), successor(product)
    return RetiredError(
        f"{product.id!r} is retired" + (f" since {since}" if since else ""),
        where=product.id,
        fix=f"use its successor: {heir}" if heir else "its documents stay; ask its owner",
    )


def check_agreeable(product: DataProduct) -> None:
    """Make sure that new agreements may be made on `product`.

    Raises:
        RetiredError: It is retired.
        ConflictError: It is deprecated.
    """
    if status(product) == "retired":
        raise retired(product)
    if status(product) == "deprecated":
        heir = successor(product)
        raise ConflictError(
            f"{product.id!r} is deprecated and takes no new agreements",
            where=product.id,
            fix=f"ask for its successor: {heir}" if heir else "ask its owner for a successor",
        )
