"""Commands that people can paste, one for each port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyport.ports.output import Listening, Served
from polyport.server.app import address

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.descriptor.types import Port
    from polyport.ports.output import OutputPort
    from polyport.product import Product


def client_lines(
    product: Product, base_url: str, addresses: Mapping[str, str] | None = None
) -> dict[str, str]:
    """For each port with an address, by name, a command that reads the product's first dataset through it.

    `addresses`: where each type of listening port listens.
    """
    first = next(iter(product.spec.objects), "")
    outputs = product.ports()
    served = [port for port in outputs if isinstance(port, Served)]
    found = _client_lines(product, served, base_url, first)
    names = [p.context.spec.name for p in outputs if isinstance(p, Listening)]
    for port in outputs:
        at = (addresses or {}).get(port.context.spec.type)
        if isinstance(port, Listening) and at:
            found[_label(port.context.spec, names)] = port.client_line(at, _first(port, first))
    return found


def _client_lines(
    product: Product, served: Sequence[Served], base_url: str, dataset: str
) -> dict[str, str]:
    base = base_url.rstrip("/") + address(product.spec.id)
    names = [p.context.spec.name for p in served]
    return {
        _label(p.context.spec, names): p.client_line(base + p.mount, _first(p, dataset))
        for p in served
    }


def _label(spec: Port, names: Sequence[str]) -> str:
    """The port's name; with its major where there are several."""
    return f"{spec.name}@{spec.major}" if names.count(spec.name) > 1 else spec.name


def _first(port: OutputPort, dataset: str) -> str:
    """`dataset`, as an older major calls it."""
    mapping = port.context.spec.mapping
    return next((old for old, new in mapping.items() if new.source == dataset), dataset)
