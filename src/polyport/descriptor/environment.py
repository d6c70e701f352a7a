"""Values that come from outside the files: `${NAME}` from the environment, `{file: PATH}` from a file."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from polyport.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}")


def resolve(value: Any, *, home: Path, where: str = "") -> tuple[Any, dict[str, str]]:
    """`value` with its references replaced, and each value taken from outside, by name: never to be logged.

    `${NAME:-text}` gives `text` where the variable is not set.

    Raises:
        ConfigurationError: A variable is not set, or a file cannot be read.
    """
    secrets: dict[str, str] = {}
    return _resolved(value, home, where, secrets), secrets


def _resolved(value: Any, home: Path, where: str, secrets: dict[str, str]) -> Any:
    if isinstance(value, str):
        return _REFERENCE.sub(lambda found: _variable(found, where, secrets), value)
    if isinstance(value, dict):
        if set(value) == {"file"}:
            return _file(str(value["file"]), home, where, secrets)
        return {k: _resolved(v, home, where, secrets) for k, v in value.items()}
    if isinstance(value, list):
        return [_resolved(v, home, where, secrets) for v in value]
    return value


def _variable(found: re.Match[str], where: str, secrets: dict[str, str]) -> str:
    name, default = found[1], found[2]
    value = os.environ.get(name, default)
    if value is None:
        raise ConfigurationError(
            f"the environment variable {name} is not set", where=where, fix=f"export {name}=..."
        )
    if name in os.environ:
        secrets[name] = value
    return value


def _file(path: str, home: Path, where: str, secrets: dict[str, str]) -> str:
    try:
        value = (home / path).expanduser().read_text("utf-8").strip()
    except OSError as error:
        raise ConfigurationError(
            f"the file {path!r} cannot be read: {error.strerror}",
            where=where,
            fix="make it readable",
        ) from error
    secrets[path] = value
    return value
