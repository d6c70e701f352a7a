"""A mesh: a folder of product folders that share one state, and can read each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from polyport.errors import ConfigurationError, NotFoundError
from polyport.product import Product

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

MESH_FILE = "mesh.yaml"
PRODUCT_FILES = "*.odps.yaml"
STATE = ".polyport"
DEEPEST = 3


@dataclass(slots=True)
class Mesh:
    """The products below one folder. `close()` it, or use it in `with`."""

    root: Path
    state: Path
    homes: Mapping[str, Path]
    """Product id -> its folder."""
    _loaded: dict[str, Product] = field(default_factory=dict)

    @classmethod
    def find(cls, folder: Path | str = ".") -> Mesh:
        """The mesh that `folder` belongs to: the nearest folder above with a `mesh.yaml`, else `folder` alone.

        Raises:
            ConfigurationError: There is no product in it, or `mesh.yaml` cannot be read.
        """
        start = Path(folder).absolute()
        root = next(
            (f for f in (start, *start.parents[:DEEPEST]) if (f / MESH_FILE).is_file()), start
        )
        settings = _settings(root)
        homes = {_id(file): file.parent for file in _product_files(root, settings)}
        if not homes:
            raise ConfigurationError(
                f"no data product in {folder}",
                where=str(folder),
                fix="polyport init NAME makes one",
            )
        return cls(root, root / str(settings.get("store", STATE)), homes)

    def product(self, name: str) -> Product:
        """The product with the id `name`, loaded once.

        Raises:
            NotFoundError: The mesh has none.
            DescriptorError: Its files are wrong.
        """
        if name not in self.homes:
            near = get_close_matches(name, self.homes, 1)
            raise NotFoundError(
                f"no data product {name!r} in {self.root.name}",
                fix=f"did you mean {near[0]!r}?" if near else f"products: {', '.join(self.homes)}",
            )
        if name not in self._loaded:
            self._loaded[name] = Product.load(
                self.homes[name], state=self.state, neighbour=self.product
            )
        return self._loaded[name]

    def at(self, folder: Path | str) -> Sequence[Product]:
        """The products at or below `folder`, each after those that it reads.

        Raises:
            DescriptorError: A product's files are wrong.
        """
        below = Path(folder).absolute()
        chosen = [i for i, home in self.homes.items() if home == below or below in home.parents]
        return self._in_order([self.product(i) for i in chosen])

    def close(self) -> None:
        """Close every product that was loaded."""
        for product in self._loaded.values():
            product.close()
        self._loaded.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _in_order(self, products: Sequence[Product]) -> list[Product]:
        waiting = {p.spec.id: p for p in products}
        ordered: list[Product] = []
        while waiting:
            ready = [i for i, p in waiting.items() if not (_reads(p) & waiting.keys()) - {i}]
            if not ready:
                raise ConfigurationError(
                    f"these products read each other in a circle: {', '.join(waiting)}",
                    where=str(self.root),
                )
            ordered += [waiting.pop(i) for i in ready]
        return ordered


def _reads(product: Product) -> set[str]:
    return {str(p.settings.get("product", "")) for p in product.spec.inputs if p.type == "product"}


def _settings(root: Path) -> Mapping[str, object]:
    path = root / MESH_FILE
    if not path.is_file():
        return {}
    try:
        found = yaml.safe_load(path.read_text("utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{MESH_FILE} cannot be read: {error}", where=str(path)) from error
    return found if isinstance(found, dict) else {}


def _product_files(root: Path, settings: Mapping[str, object]) -> list[Path]:
    globs = settings.get("products") or []
    if isinstance(globs, list) and globs:
        return [f for glob in globs for f in sorted(root.glob(f"{glob}/{PRODUCT_FILES}"))]
    found: list[Path] = []
    for depth in range(DEEPEST + 1):
        found += root.glob("*/" * depth + PRODUCT_FILES)
    return sorted(f for f in found if STATE not in f.parts)


def _id(file: Path) -> str:
    """The product's id, or its folder's name where the file cannot be read; loading it then says why."""
    try:
        document = yaml.safe_load(file.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return file.parent.name
    return (
        str(document.get("id", file.parent.name))
        if isinstance(document, dict)
        else file.parent.name
    )
