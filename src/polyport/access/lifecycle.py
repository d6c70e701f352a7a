"""What the status of a data product (ODPS `status`) means for whoever reads it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from polyport.errors import AccessError, ConflictError, RetiredError

if TYPE_CHECKING:
    from polyport.descriptor.types import DataProduct
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


def check_served(product: DataProduct, principal: Principal, port: str) -> None:
    """Make sure that rows of `product` are still given through `port`. Documents of a retired one stay.

    Raises:
        RetiredError: It is retired; names its successor.
    """
    if status(product) != "retired":
        return
    rows = {p.name for p in product.outputs} | {"product"}
    if port in rows or (port == LIBRARY and not principal.owns(product.id)):
        raise retired(product)


def retired(product: DataProduct) -> RetiredError:
    """The error for a product that is retired."""
    since, heir = stated(product, "retiredOn"), successor(product)
    return RetiredError(
        f"{product.id!r} is retired" + (f" since {since}" if since else ""),
        where=product.id,
        fix=f"use its successor: {heir}" if heir else "its documents stay; ask its owner",
    )


def refusal(product: DataProduct, principal: Principal) -> AccessError | None:
    """Why `principal` may not read a product in this state; None where it may."""
    ready = status(product) not in PREPARED
    if ready or principal.owns(product.id) or not principal.needs_agreement:
        return None
    return AccessError(
        f"{principal.id} may not read {product.id!r}: it is {status(product)}, and only its owner reads it",
        where=product.id,
        fix="wait until its status is active",
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
