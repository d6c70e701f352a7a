"""The ports of a product, made as its descriptor declares them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from polyport.descriptor.environment import resolve
from polyport.ports import Group, load, types
from polyport.ports.input import InputContext
from polyport.ports.output import OutputContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from polyport.access import Open
    from polyport.access.identity import Identify
    from polyport.access.sql import OpenSql
    from polyport.descriptor.types import DataProduct, Port
    from polyport.model import Request
    from polyport.ports.input import InputPort, OpenProduct
    from polyport.ports.management import ManagementContext, ManagementPort
    from polyport.ports.output import OutputPort

_MANAGEMENT: tuple[Group, ...] = ("information", "configuration")


SqlDoors: TypeAlias = "Callable[[Port], OpenSql]"
"""Gives the one way to SQL for an output port."""
Doors: TypeAlias = "Callable[[str, Port | None], Open]"
"""Gives the one way to the rows for a port of the product, by its name and, of an output port, what is declared."""


def inputs(
    product: DataProduct, scratch: Path, open_product: OpenProduct | None
) -> Mapping[str, InputPort]:
    """The input ports, by name. `open_product`: opens another product of the mesh; None: there is none.

    Raises:
        ConfigurationError: A setting cannot be used.
    """
    return {spec.name: _input(product, spec, scratch, open_product) for spec in product.inputs}


def _input(
    product: DataProduct,
    spec: Port,
    scratch: Path,
    open_product: OpenProduct | None,
) -> InputPort:
    where = f"inputs.{spec.name}"
    settings, taken = resolve(dict(spec.settings), home=product.home, where=where)
    context = InputContext(
        replace(spec, settings=settings),
        product.home,
        product.contract(spec),
        open_product,
        taken,
        product.id,
        scratch,
    )
    port: InputPort = load("input", spec.type, where=spec.name)(context)
    return port


def taken(product: DataProduct) -> frozenset[str]:
    """What the settings of all ports take from the environment and from files: never to be told.

    Raises:
        ConfigurationError: It is not there.
    """
    found: set[str] = set()
    for spec in (*product.inputs, *product.outputs):
        found.update(resolve(dict(spec.settings), home=product.home)[1].values())
    return frozenset(found)


def outputs(
    product: DataProduct,
    doors: Doors,
    sql: SqlDoors,
    identify: Identify,
    scratch: Path,
    record: Callable[[Request], None],
) -> list[OutputPort]:
    """The output ports, each given what is promised and one way to the rows.

    Raises:
        ConfigurationError: A setting cannot be used.
    """
    made: list[OutputPort] = []
    for spec in product.outputs:
        where = f"ports.{spec.name}"
        settings, _ = resolve(dict(spec.settings), home=product.home, where=where)
        context = OutputContext(
            product,
            replace(spec, settings=settings),
            doors(spec.name, spec),
            identify,
            scratch,
            sql(spec),
            record,
        )
        made.append(load("output", spec.type, where=spec.name)(context))
    return made


def management(
    context: Callable[[str, Sequence[ManagementPort]], ManagementContext],
) -> list[ManagementPort]:
    """The information and configuration ports: every product has all of them.

    `context` gives that of a port by its name and by all management ports of the product, as they are made.
    """
    made: list[ManagementPort] = []
    for group in _MANAGEMENT:
        made += (load(group, name)(context(name, made)) for name in types(group))
    return made


__all__ = ["Doors", "SqlDoors", "inputs", "management", "outputs", "taken"]
