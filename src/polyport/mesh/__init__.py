"""A mesh: a folder of product folders that share one state, and can read each other."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyport import descriptor
from polyport.access.books import Books
from polyport.descriptor import glossary
from polyport.descriptor.environment import resolve
from polyport.descriptor.types import Surroundings
from polyport.engine.walled.pool import Workers
from polyport.errors import ConfigurationError, DescriptorError, NotFoundError, PolyportError
from polyport.pipeline.lineage import Target
from polyport.product import Product

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from polyport.descriptor.types import DataProduct
    from polyport.descriptor.yaml import Document

MESH_FILE = "mesh.yaml"
STATE = ".polyport"
DEEPEST = 3


@dataclass(slots=True)
class Mesh:
    """The products below one folder. `close()` it, or use it in `with`."""

    root: Path
    state: Path
    homes: Mapping[str, Path]
    """Product id -> its folder."""
    ledger: str = ""
    """A SQLAlchemy URL; empty: a SQLite file in `state`."""
    base_url: str = ""
    """What identifiers of products begin with."""
    identity: Mapping[str, Any] = field(default_factory=dict)
    """How people and services are known: the block `identity` of `mesh.yaml`."""
    name: str = ""
    """What it is called; empty where there is no `mesh.yaml`."""
    lineage: Target | None = None
    """Where lineage is sent to; None: nowhere."""
    _loaded: dict[str, Product] = field(default_factory=dict)
    _workers: Workers = field(init=False)
    _books: Books | None = None

    def __post_init__(self) -> None:
        self._workers = Workers(scratch=self.state / "scratch" / "sql")

    @classmethod
    def find(cls, folder: Path | str = ".") -> Mesh:
        """The mesh that `folder` belongs to: the nearest folder above with a `mesh.yaml`, else `folder` alone.

        Raises:
            ConfigurationError: There is no product in it, two have one id, or a setting cannot be used.
            DescriptorError: `mesh.yaml` is wrong.
        """
        root, document = _around(folder)
        homes: dict[str, Path] = {}
        for home in (root, *descriptor.product_folders(root, document)):
            for file in descriptor.product_files(home):
                _add(homes, _id(file), home)
        if not homes:
            raise ConfigurationError(
                f"no data product in {folder}",
                where=str(folder),
                fix="polyport init NAME makes one",
            )
        settings = document.value if document else {}
        return cls(
            root,
            _state(root, settings),
            homes,
            _ledger(settings),
            str(settings.get("base_url", "")),
            settings.get("identity") or {},
            _name(root, settings),
            _lineage(settings, root),
        )

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
            made = Product.load(
                self.homes[name],
                state=self.state,
                ledger=self._opened,
                base_url=self.base_url,
                neighbour=self.product,
            )
            made.mesh, made.around, made.near = self.name, partial(self.around, name), self.each
            made.workers, made.lineage_target = self._workers, self.lineage
            self._loaded[name] = made
        return self._loaded[name]

    def each(self) -> Mapping[str, Product]:
        """All products by their ids, but for those whose files are wrong."""
        found = {}
        for name in self.homes:
            with suppress(PolyportError):  # `around` names it
                found[name] = self.product(name)
        return found

    def around(self, product: str) -> Surroundings:
        """The mesh as it surrounds `product`; a neighbour whose files are wrong is named, not raised."""
        if not (self.root / MESH_FILE).is_file():
            return Surroundings()
        document, _ = descriptor.read_mesh(self.root)
        words = glossary.read(self.root, document)
        neighbours: dict[str, DataProduct] = {}
        unread: list[str] = []
        for name in self.homes:
            try:
                neighbours[name] = self.product(name).spec
            except PolyportError:
                unread.append(name)
        neighbours.pop(product, None)
        return Surroundings(self.name, neighbours, tuple(unread), words.terms)

    def at(self, folder: Path | str) -> Sequence[Product]:
        """The products at or below `folder`, each after those that it reads.

        Raises:
            DescriptorError: A product's files are wrong.
        """
        return self._in_order([self.product(i) for i in self._below(folder)])

    def readable(self, folder: Path | str) -> tuple[Sequence[Product], Mapping[str, PolyportError]]:
        """As `at`, but without the products whose own files are wrong; and of these, by id, what is wrong."""
        sound: list[Product] = []
        wrong: dict[str, PolyportError] = {}
        for name in self._below(folder):
            try:
                sound.append(self.product(name))
            except (DescriptorError, ConfigurationError) as error:
                wrong[name] = error
        return self._in_order(sound), wrong

    def readers(self, product: str) -> Sequence[str]:
        """The ids of the products that read `product`, directly or through others.

        Raises:
            DescriptorError: A product's files are wrong.
        """
        sources = {name: reads(self.product(name)) for name in self.homes}
        found: dict[str, None] = {}
        waiting = [product]
        while waiting:
            read = waiting.pop()
            new = [n for n, source in sources.items() if read in source and n not in found]
            found |= dict.fromkeys(new)
            waiting += new
        return [name for name in found if name != product]

    def close(self) -> None:
        """Close every product that was loaded, and the ledger."""
        with ExitStack() as ending:
            if self._books is not None:
                ending.callback(self._books.ledger.close)
            for product in self._loaded.values():
                ending.callback(product.close)
            self._loaded.clear()
            self._books = None

    def _opened(self) -> Books:
        """The books of all products, opened once."""
        if self._books is None:
            self._books = Books.open(self.ledger, state=self.state, home=self.root)
        return self._books

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _below(self, folder: Path | str) -> Sequence[str]:
        below = _normal(folder)
        return [i for i, home in self.homes.items() if home == below or below in home.parents]

    def _in_order(self, products: Sequence[Product]) -> list[Product]:
        waiting = {p.spec.id: p for p in products}
        ordered: list[Product] = []
        while waiting:
            ready = [i for i, p in waiting.items() if not (reads(p) & waiting.keys()) - {i}]
            if not ready:
                raise ConfigurationError(
                    f"these products read each other in a circle: {', '.join(waiting)}",
                    where=str(self.root),
                )
            ordered += [waiting.pop(i) for i in ready]
        return ordered


def kept_in(folder: Path | str) -> tuple[Path, str]:
    """Where the state of the product in `folder` lies, and the URL of its ledger if it has one; reads no product.

    Raises:
        ConfigurationError, DescriptorError: As `Mesh.find`.
    """
    root, document = _around(folder)
    settings = document.value if document else {}
    return _state(root, settings), _ledger(settings)


def _around(folder: Path | str) -> tuple[Path, Document | None]:
    """The root of the mesh that `folder` belongs to, and its `mesh.yaml`.

    Raises:
        DescriptorError: `mesh.yaml` is wrong.
    """
    start = _normal(folder)
    root = next((f for f in (start, *start.parents[:DEEPEST]) if (f / MESH_FILE).is_file()), start)
    document, found = descriptor.read_mesh(root)
    if any(d.severity == "error" for d in found):
        raise descriptor.failure(found, root)
    return root, document


def _normal(folder: Path | str) -> Path:
    """Without `..`; links are not followed: a linked product belongs to the mesh that links it."""
    return Path(os.path.abspath(folder))  # noqa: PTH100 - Path.absolute keeps `..`, Path.resolve follows links


def reads(product: Product) -> set[str]:
    """The ids of the products that `product` reads."""
    return {str(p.settings.get("product", "")) for p in product.spec.inputs if p.type == "product"}


def _add(homes: dict[str, Path], product: str, home: Path) -> None:
    if homes.setdefault(product, home) != home:
        raise ConfigurationError(
            f"two products have the id {product!r}",
            where=str(home),
            fix=f"ids are unique in a mesh; the other is {homes[product]}",
        )


def _id(file: Path) -> str:
    """The product's id, or its folder's name where the file cannot be read; loading it then says why."""
    document, _ = descriptor.read(file)
    found = document.get("id") if document is not None else None
    return found if isinstance(found, str) else file.parent.name


def _state(root: Path, settings: Mapping[str, object]) -> Path:
    store = str(settings.get("store", STATE))
    if "://" in store:
        raise ConfigurationError(
            f"the store {store!r} is not on a local disk, which is all there is yet",
            where=str(root / MESH_FILE),
            fix="store: a folder",
        )
    return root / store


def _name(root: Path, settings: Mapping[str, object]) -> str:
    return str(settings.get("name") or root.name) if (root / MESH_FILE).is_file() else ""


def _ledger(settings: Mapping[str, object]) -> str:
    url = str(settings.get("ledger", "sqlite"))
    return "" if url == "sqlite" else url


def _lineage(settings: Mapping[str, object], root: Path) -> Target | None:
    given, _ = resolve(settings.get("lineage", {}), home=root, where="mesh.yaml: lineage")
    return Target.of(given)
