"""What is known of somebody who is asked about, not asking: by the keys that stand for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from polyport.access.keys import keys
from polyport.errors import QueryError
from polyport.model import OWNER, Principal

if TYPE_CHECKING:
    from polyport.access.control import Control

PRODUCT = "product:"
UNKNOWN = "nothing: no key stands for it"


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody, and from where their roles, teams and attributes are known."""

    principal: Principal
    by: str
    """For a person."""


def consuming(product: str) -> Principal:
    """The data product with the id `product`, as it reads another one of its mesh."""
    name = PRODUCT + product
    return Principal(name, frozenset({name, "consumer"}))


def known(control: Control, name: str, *, now: datetime | None = None) -> Known:
    """Who `name` is: the id of a key (as it stands: one that was revoked lets nobody in), or of a principal.

    Raises:
        QueryError: Several keys stand for that principal, and do not give it the same.
        StoreError: The journal cannot be read.
    """
    at, every = now or datetime.now(UTC), keys(control)
    if name == OWNER.id:
        return Known(OWNER, "this machine: whoever has the folder")
    if name in every:
        key = every[name]
        return Known(key.as_principal(key.secret), f"the key {key.id}, which is {key.state(at)}")
    theirs = [key for key in every.values() if key.principal == name and key.state(at) == "active"]
    found = [key.as_principal() for key in theirs]
    if any(each != found[0] for each in found):
        listed = ", ".join(key.id for key in theirs)
        raise QueryError(
            f"{len(theirs)} keys stand for {name!r}, and do not give it the same",
            fix=f"ask about one of them: {listed}",
        )
    if found:
        return Known(found[0], "the keys " + ", ".join(key.id for key in theirs))
    if name.startswith(PRODUCT):
        return Known(consuming(name.removeprefix(PRODUCT)), "its being a product of the mesh")
    return Known(Principal(name), UNKNOWN)
