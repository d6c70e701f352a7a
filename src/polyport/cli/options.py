"""What several commands take: one product, found from a folder."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from polyport.access.control import Control
    from polyport.product import Product


def folder_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `[DIR]`: the product's folder."""
    kind = click.Path(path_type=Path, exists=True, file_okay=False)
    return click.argument("folder", type=kind, default=Path(), metavar="[DIR]")(command)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="As JSON.")(command)


def folder_alone(name: str, folder: Path) -> tuple[str, Path]:
    """`name` and `folder` as meant: a product's folder given alone, where a dataset's name may stand, is the folder."""
    if folder != Path() or not name:
        return name, folder
    at = Path(name)
    if name in (".", "..") or "/" in name or (at / "mesh.yaml").exists() or _is_product(at):
        return "", at
    return name, folder


def _is_product(folder: Path) -> bool:
    from polyport.descriptor import product_files

    return bool(product_files(folder))


@contextmanager
def one_product(folder: Path) -> Iterator[Product]:
    """The one product at `folder`.

    Raises:
        ConfigurationError: There is none, or there are several.
    """
    from polyport.errors import ConfigurationError
    from polyport.mesh import Mesh

    with Mesh.find(folder) as mesh:
        found = mesh.at(folder)
        if len(found) != 1:
            homes = ", ".join(str(home) for home in mesh.homes.values())
            raise ConfigurationError(
                f"{folder} holds {len(found)} products", where=str(folder), fix=f"name one: {homes}"
            )
        yield found[0]


@contextmanager
def control_at(folder: Path) -> Iterator[Control]:
    """Keys, agreements and configuration of the ledger at `folder`: that of the mesh, where it belongs to one.

    Raises:
        ConfigurationError: There is no product.
    """
    from polyport.errors import ConfigurationError
    from polyport.mesh import Mesh

    with Mesh.find(folder) as mesh:
        found, wrong = mesh.readable(folder)
        for error in () if found else wrong.values():
            raise error
        if not found:
            raise ConfigurationError(f"no data product in {folder}", where=str(folder))
        yield found[0].control
