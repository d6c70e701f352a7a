"""Which kind a port is: `isinstance` with a protocol takes 100 µs in Python 3.11, so each class is asked once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyport.ports.output import Downloadable, Listening, Served

if TYPE_CHECKING:
    from typing import TypeGuard

    from polyport.ports.output import OutputPort

_KNOWN: dict[tuple[type, str], bool] = {}


def served(port: OutputPort) -> TypeGuard[Served]:
    """Whether it answers HTTP requests."""
    return _is(port, Served)


def downloadable(port: OutputPort) -> TypeGuard[Downloadable]:
    """Whether its datasets are files."""
    return _is(port, Downloadable)


def listening(port: OutputPort) -> TypeGuard[Listening]:
    """Whether it has a protocol of its own."""
    return _is(port, Listening)


def _is(port: OutputPort, kind: type) -> bool:
    key = (type(port), kind.__name__)
    found = _KNOWN.get(key)
    if found is None:
        found = _KNOWN[key] = isinstance(port, kind)
    return found
