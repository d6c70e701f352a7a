"""Reading an input port's settings: each value of the right kind, unknown names refused with a suggestion."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from polyport.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings under one heading, and where they stand."""

    values: Mapping[str, Any]
    where: str
    prefix: str = ""
    """`page.` for the settings inside `page`."""

    def text(self, name: str, default: str = "") -> str:
        """The text of `name`; numbers are taken as they are written."""
        value = self.values.get(name, default)
        if isinstance(value, bool | dict | list) or value is None:
            raise self.wrong(name, "a text")
        return str(value)

    def integer(self, name: str, default: int, *, low: int = 0) -> int:
        """The whole number of `name`, at least `low`."""
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise self.wrong(name, f"a whole number from {low}")
        return value

    def number(self, name: str, default: float) -> float:
        """The number of `name`, not negative."""
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise self.wrong(name, "a number from 0")
        return float(value)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """The truth of `name`."""
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """One text or a list of them; empty where there is none."""
        value = self.values.get(name, [])
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list | tuple) or not all(isinstance(t, str) for t in listed):
            raise self.wrong(name, "a text or a list of texts")
        return tuple(listed)

    def mapping(self, name: str) -> dict[str, Any]:
        """The mapping of `name`; empty where there is none."""
        value = self.values.get(name, {})
        if not isinstance(value, dict):
            raise self.wrong(name, "a mapping")
        return value

    def names(self, name: str) -> dict[str, str]:
        """The mapping of `name` from text to text."""
        found = self.mapping(name)
        if not all(isinstance(value, str) for value in found.values()):
            raise self.wrong(name, "a mapping of names to texts")
        return {str(key): value for key, value in found.items()}

    def choice(self, name: str, known: Collection[str], default: str) -> str:
        """The text of `name`, one of `known`."""
        value = self.text(name, default)
        if value not in known:
            raise ConfigurationError(
                f"{self.prefix}{name} is {value!r}", where=self.where, fix=suggest(value, known)
            )
        return value

    def inner(self, name: str, known: Collection[str]) -> Settings:
        """The settings inside `name`."""
        return settings(self.mapping(name), known, where=self.where, prefix=f"{self.prefix}{name}.")

    def required(self, name: str, example: str) -> Any:
        """The value of `name`, which must be there."""
        if not self.values.get(name):
            raise ConfigurationError(
                f"{self.prefix}{name} is missing",
                where=self.where,
                fix=f"write `{name}: {example}`",
            )
        return self.values[name]

    def wrong(self, name: str, wanted: str) -> ConfigurationError:
        """The error for a value of the wrong kind. The value itself may be a secret: only its kind is named."""
        kind = type(self.values.get(name)).__name__
        return ConfigurationError(
            f"{self.prefix}{name} must be {wanted}, and is of type {kind}", where=self.where
        )


def settings(
    values: Mapping[str, Any], known: Collection[str], *, where: str, prefix: str = ""
) -> Settings:
    """`values`, in which nothing but `known` stands.

    Raises:
        ConfigurationError: A name is unknown; `fix` suggests one.
    """
    for name in values:
        if name not in known:
            raise ConfigurationError(
                f"there is no setting {prefix}{name}", where=where, fix=suggest(str(name), known)
            )
    return Settings(values, where, prefix)


def suggest(word: str, known: Iterable[str]) -> str:
    """`did you mean ...?` where something is near, else what there is."""
    names = list(dict.fromkeys(known))
    plain = {re.sub(r"\W|_", "", name).casefold(): name for name in names}
    asked = re.sub(r"\W|_", "", word).casefold()
    near = get_close_matches(word, names, 1, 0.6)
    near = near or [plain[p] for p in get_close_matches(asked, list(plain), 1, 0.6)]
    near = near or [name for key, name in plain.items() if asked and key.startswith(asked)]
    near = near or [name for key, name in plain.items() if key and asked.startswith(key)]
    if near:
        return f"did you mean `{near[0]}`?"
    return f"one of: {listed(names)}" if names else ""


def listed(names: Iterable[str], most: int = 12) -> str:
    """`a, b, c`, cut after `most` of them."""
    found = list(names)
    rest = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + rest


def where_of(port: str) -> str:
    """How errors name the place."""
    return f"input port {port}"
