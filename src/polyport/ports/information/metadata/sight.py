"""What one asker is to be told of a product: the documents are made from it, and see no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from polyport.ports.contract_view import through, visible
from polyport.ports.output import Addressed, kinds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from polyport.access import View
    from polyport.descriptor.types import Contract, DataProduct, Property, Surroundings
    from polyport.model import Principal
    from polyport.ports.management import ManagementContext
    from polyport.ports.output import Listening, OutputPort, Served


_ANY = ("0.0.0.0", "[::]")  # noqa: S104 - told apart, not bound


@dataclass(frozen=True, slots=True)
class Sight:
    """One request's view of one product."""

    context: ManagementContext
    principal: Principal
    view: View | None
    """Of the newest snapshot, or of the one asked for; None where nothing is published."""
    origin: str
    """The address of the node, without a slash at its end."""
    around: Surroundings

    @property
    def product(self) -> DataProduct:
        """What is declared."""
        return self.context.product

    @property
    def owner(self) -> bool:
        """Whether the asker owns the product, and so may read its descriptors whole."""
        return self.principal.owns(self.product.id)

    @property
    def base(self) -> str:
        """The product's address on this node, with the node's."""
        return self.origin + self.context.base

    @property
    def datasets(self) -> tuple[str, ...]:
        """Those that the asker may see anything of."""
        return self.view.datasets if self.view else ()

    @property
    def served(self) -> list[Served]:
        """The output ports with an address."""
        return [port for port in self.context.outputs if kinds.served(port)]

    @property
    def listening(self) -> list[Listening]:
        """The output ports with a protocol of their own, where they are listened for."""
        known = self.context.addresses
        outputs = self.context.outputs
        return [p for p in outputs if kinds.listening(p) and p.context.spec.type in known]

    def through(self, port: OutputPort) -> View | None:
        """The view as the port shows it: an older major has datasets of its own."""
        return None if self.view is None else through(self.view, port.context.spec.mapping)

    def label(self, port: OutputPort) -> str:
        """The port's name; with its major where several can be reached."""
        spec = port.context.spec
        reached = [p.context.spec.name for p in (*self.served, *self.listening)]
        return f"{spec.name}@{spec.major}" if reached.count(spec.name) > 1 else spec.name

    def at(self, port: OutputPort) -> str:
        """The address of an output port, without a slash at its end."""
        if kinds.served(port):
            return self.base + port.mount
        address = self.context.addresses[port.context.spec.type]
        scheme, _, place = address.partition("://")
        host, _, number = place.rpartition(":")
        if host in _ANY:  # listened for everywhere: whoever asks has found the node by a name
            asked = urlsplit(self.origin).hostname or host
            return f"{scheme}://{f'[{asked}]' if ':' in asked else asked}:{number}"
        return address

    def told(self, port: OutputPort) -> str:
        """The address of an output port as its clients take it."""
        if kinds.served(port):
            return f"{self.at(port)}/"
        return port.address(self.at(port)) if isinstance(port, Addressed) else self.at(port)

    def login(self, port: OutputPort) -> str:
        """The address of an output port as clients are told it: of a listening one with who asks, if by a key."""
        address = self.at(port)
        if kinds.served(port) or not self.principal.credential:
            return address
        scheme, _, place = address.partition("://")
        user = self.principal.id.partition(" as ")[0]  # whom a preview is of
        return f"{scheme}://{quote(user, safe='')}@{place}"

    def term(self, name: str) -> str:
        """The address of a term of the glossary."""
        return f"{self.origin}/glossary/{quote(name, safe='')}"

    def part(self, kind: str, name: str) -> str:
        """The global identifier of a part of the product: `{identifier}#dataset:films`."""
        return f"{self.context.identifier}#{kind}:{quote(name, safe='')}"

    def contracts(self) -> Iterator[Contract]:
        """The output ports' contracts on what the asker sees; to the owner, the input ports', too."""
        ports = (*self.product.outputs, *(self.product.inputs if self.owner else ()))
        for name in dict.fromkeys(port.contract_id for port in ports):
            found = self.product.contracts.get(name)
            if found and (self.owner or self._seen(found)):
                yield found

    def _seen(self, contract: Contract) -> bool:
        """Whether the asker sees anything of what the contract promises."""
        view = self._through(contract)
        return view is not None and any(o.name in view.datasets for o in contract.objects)

    def _through(self, contract: Contract) -> View | None:
        mapping = self.product.mapping(contract.id)
        return None if self.view is None else through(self.view, mapping)

    def contract(self, contract: Contract) -> Mapping[str, Any]:
        """The contract's document as the asker may read it."""
        view = self._through(contract)
        if view is None or (self.owner and not self._promised(contract)):
            return contract.document
        return visible(contract.document, view)

    def _promised(self, contract: Contract) -> bool:
        return any(port.contract_id == contract.id for port in self.product.outputs)

    def columns(self, dataset: str) -> Iterator[tuple[str, str, Property | None, str]]:
        """(name, type, what is promised, how it is masked) of each column that the asker sees."""
        if self.view is None:
            return
        promised = self.product.objects.get(dataset)
        said = {p.name: p for p in promised.properties} if promised else {}
        masked = self.view.masked(dataset)
        for field in self.view.schema(dataset):
            yield field.name, str(field.type), said.get(field.name), masked.get(field.name, "")

    def terms(self) -> dict[str, list[tuple[str, str]]]:
        """Term of the glossary -> the (dataset, column) pairs that the asker sees and that refer to it."""
        found: dict[str, list[tuple[str, str]]] = {}
        for dataset in self.datasets:
            for name, _, said, _ in self.columns(dataset):
                for term in said.terms if said else ():
                    if term in self.around.glossary:
                        found.setdefault(term, []).append((dataset, name))
        return found
