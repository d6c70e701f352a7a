"""The configuration of a product as it stands: what its `polyport.yaml` says, or what was changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyport.descriptor.settings import settings

if TYPE_CHECKING:
    from polyport.access.control import Control
    from polyport.descriptor.types import DataProduct, Settings


def access_settings(control: Control, product: DataProduct) -> Settings:
    """The settings whose `roles` and `agreements` hold for `product` now.

    Raises:
        StoreError: The journal cannot be read.
    """

    def made() -> Settings:
        newest = control.current("access", product.id).get("access")
        return (
            product.settings if newest is None else settings({"access": newest.document["access"]})
        )

    return control.derived(("access", product.id), made)
