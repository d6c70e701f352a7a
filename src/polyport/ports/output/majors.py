"""Majors of a port behind one listener: what each is called there, and what is said of one that is to go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from polyport.access import lifecycle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from polyport.descriptor.types import DataProduct, Port
    from polyport.ports.output import OutputContext


@dataclass(frozen=True, slots=True)
class Majors:
    """The ports of one type behind a listener: `films` is a product's newest major, `films@1` its major 1."""

    newest: Mapping[str, OutputContext]
    """By product."""
    each: Mapping[str, OutputContext]
    """All of them, by product and major: whoever names the major keeps it when a newer one comes."""

    @classmethod
    def of(cls, contexts: Sequence[OutputContext]) -> Majors:
        """Those that ports with `contexts` are for."""
        newest: dict[str, OutputContext] = {}
        each: dict[str, OutputContext] = {}
        for context in sorted(contexts, key=lambda c: c.spec.major):
            newest[context.product.id] = context
            each[f"{context.product.id}@{context.spec.major}"] = context
        return cls(newest, each)

    def find(self, name: str) -> OutputContext | None:
        """The port called `name`; None where there is none."""
        return self.newest.get(name) or self.each.get(name)

    @property
    def only(self) -> str:
        """The product, where there is one alone; else empty."""
        return next(iter(self.newest)) if len(self.newest) == 1 else ""

    @property
    def listed(self) -> Mapping[str, OutputContext]:
        """Each port once, by its shortest name: products in order, each followed by its older majors, newest first."""
        older = sorted(
            (c for c in self.each.values() if c is not self.newest[c.product.id]),
            key=lambda c: -c.spec.major,
        )
        found: dict[str, OutputContext] = {}
        for product in sorted(self.newest):
            found[product] = self.newest[product]
            for context in (c for c in older if c.product.id == product):
                found[f"{product}@{context.spec.major}"] = context
        return found


def called(product: DataProduct, spec: Port) -> str:
    """What the port `spec` is called: the product's id, with the major where there is a newer one."""
    newest = max((p.major for p in product.outputs if p.type == spec.type), default=spec.major)
    return product.id if spec.major >= newest else f"{product.id}@{spec.major}"


@dataclass(frozen=True, slots=True)
class Ending:
    """That a port, or its product, is deprecated."""

    message: str
    fix: str
    """What to use instead."""
    since: date | None
    """None: it is not said."""
    sunset: date | None
    """From this day on it is not served; None: it is not said."""
    successor: str
    """The name of the port, or the product or address, that comes after it; empty: it is not said."""


def ending(context: OutputContext) -> Ending | None:
    """What is to be said of a port that is deprecated; None where it is not."""
    product, spec = context.product, context.spec
    if spec.deprecated or spec.deprecated_on or spec.sunset:
        newer = max((p for p in product.outputs if p.type == spec.type), key=lambda p: p.major)
        name = called(product, newer) if newer.major > spec.major else ""
        what = f"version {spec.version} of the port {spec.name!r} of {product.id!r}"
        fix = f"use {name!r} (version {newer.version})" if name else "ask the product's owner"
        return Ending(
            _words(what, spec.deprecated_on, spec.sunset),
            fix,
            spec.deprecated_on,
            spec.sunset,
            name,
        )
    if lifecycle.status(product) == "deprecated":
        heir, begun = lifecycle.successor(product), lifecycle.deprecated_since(product)
        since = begun.date() if begun else None
        fix = f"use its successor: {heir}" if heir else "ask its owner for a successor"
        return Ending(_words(repr(product.id), since, None), fix, since, None, heir)
    return None


def _words(what: str, since: date | None, sunset: date | None) -> str:
    begun = f" since {since}" if since else ""
    end = f", and not served from {sunset} on" if sunset else ""
    return f"{what} is deprecated{begun}{end}"
