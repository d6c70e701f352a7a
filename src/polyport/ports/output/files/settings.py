"""What `ports.<name>` in polyport.yaml says to a files port."""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from polyport.errors import ConfigurationError, QueryError
from polyport.expression import parse
from polyport.model import OWNER_ROLE
from polyport.ports.formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from polyport.descriptor.types import DataProduct, Port
    from polyport.expression import Expression
    from polyport.ports.formats import Format

_PORT = ("formats", "push")
_PUSH = ("to", "formats", "role", "purpose", "datasets", "where", "keep")


@dataclass(frozen=True, slots=True)
class Push:
    """A folder to write each snapshot to."""

    to: str
    """Relative to the product's folder."""
    formats: tuple[Format, ...]
    role: str
    """Whose sight of the data is written."""
    purpose: str
    datasets: tuple[str, ...]
    """Empty: all that the role sees."""
    where: Expression | None
    filter: str
    """`where`, as written."""
    keep: int
    """How many snapshots' folders stay; 0: all."""


def formats(spec: Port) -> tuple[Format, ...]:
    """The formats to serve: `formats`, by default all.

    Raises:
        ConfigurationError: There is no such format, or a setting is unknown.
    """
    _known(spec.settings, _PORT, f"ports.{spec.name}")
    return _formats(spec.settings.get("formats", list(FORMATS)), f"ports.{spec.name}.formats")


def push(product: DataProduct, spec: Port) -> Push | None:
    """The `push` settings; None where there are none.

    Raises:
        ConfigurationError: A setting is unknown, missing, or of the wrong kind.
    """
    found = spec.settings.get("push")
    if found is None:
        return None
    where = f"ports.{spec.name}.push"
    if not isinstance(found, dict):
        raise ConfigurationError(
            f"push is {found!r}, not settings", where=where, fix="push: {to: drive/}"
        )
    _known(found, _PUSH, where)
    filtered = _text(found, "where", where)
    return Push(
        to=_folder(_text(found, "to", where), where),
        formats=_formats(found.get("formats", ["parquet"]), f"{where}.formats"),
        role=_role(_text(found, "role", where), product.settings.roles, where),
        purpose=_text(found, "purpose", where),
        datasets=_texts(found.get("datasets", []), f"{where}.datasets"),
        where=_expression(filtered, where),
        filter=filtered,
        keep=_count(found.get("keep", 0), where),
    )


def _known(settings: Mapping[str, Any], names: Collection[str], where: str) -> None:
    for name in settings:
        if name not in names:
            near = get_close_matches(str(name), names, 1)
            fix = f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(names)}"
            raise ConfigurationError(f"unknown setting {name!r}", where=where, fix=fix)


def _text(settings: Mapping[str, Any], name: str, where: str) -> str:
    found = settings.get(name, "")
    if not isinstance(found, str):
        raise ConfigurationError(f"{name} is {found!r}, not text", where=where)
    return found


def _texts(found: Any, where: str) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise ConfigurationError(f"{found!r} is not a list of names", where=where, fix="[a, b]")
    return tuple(dict.fromkeys(found))


def _formats(found: Any, where: str) -> tuple[Format, ...]:
    names = _texts(found, where)
    for name in names:
        if name not in FORMATS:
            raise ConfigurationError(
                f"no format {name!r}", where=where, fix=f"one of: {', '.join(FORMATS)}"
            )
    if not names:
        raise ConfigurationError("no format is named", where=where, fix=f"of: {', '.join(FORMATS)}")
    return tuple(FORMATS[name] for name in names)


def _folder(to: str, where: str) -> str:
    found = os.path.expandvars(to)
    if not found or "${" in found:
        missing = f"{found!r} has a variable that is not set" if found else "there is no folder"
        raise ConfigurationError(f"to: {missing}", where=where, fix="to: drive/")
    return found


def _role(role: str, known: Collection[str], where: str) -> str:
    """The role to write as. With roles declared, it must be said: what is left out must not show everything."""
    if (not role and not known) or role == OWNER_ROLE:
        return OWNER_ROLE
    roles = ", ".join((*known, OWNER_ROLE))
    if not role:
        raise ConfigurationError(
            "push does not say as which role to read", where=where, fix=f"role: one of {roles}"
        )
    if role not in known:
        near = get_close_matches(role, known, 1)
        fix = f"did you mean {near[0]!r}?" if near else f"one of: {roles}"
        raise ConfigurationError(f"no role {role!r}", where=f"{where}.role", fix=fix)
    return role


def _expression(text: str, where: str) -> Expression | None:
    if not text:
        return None
    try:
        return parse(text)
    except QueryError as error:
        raise ConfigurationError(
            f"{text!r}, column {error.column}: {error.message}", where=f"{where}.where"
        ) from error


def _count(found: Any, where: str) -> int:
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise ConfigurationError(
            f"keep is {found!r}, not a number of snapshots", where=where, fix="0 keeps all"
        )
    return found
