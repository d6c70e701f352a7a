"""How much of a report a viewer may be told, through this port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyport.access.reports import Sight, sight_through
from polyport.errors import NotFoundError

if TYPE_CHECKING:
    from polyport.model import Principal
    from polyport.ports.management import ManagementContext


def sight_of(context: ManagementContext, principal: Principal, purpose: str) -> Sight:
    """What of the product's reports the principal may be told now."""
    product = context.product
    if principal.steers(product.id):
        return sight_through(product, principal, None)
    try:
        view = context.open(principal, purpose=purpose)
    except NotFoundError:  # nothing is published yet, so nothing is seen
        return sight_through(product, principal, None)
    with view:
        return sight_through(product, principal, view)


__all__ = ["Sight", "sight_of"]
