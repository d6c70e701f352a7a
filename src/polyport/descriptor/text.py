"""Places in text files: what a diagnostic points at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from polyport.errors import Diagnostic, Place

if TYPE_CHECKING:
    from collections.abc import Iterable

_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
"""Where YAML 1.1 breaks lines."""
_LONGEST = 2_000
"""Of a line, what is worth showing."""
SECRET_NAME = re.compile(
    r"(?:^|[_.-])(?:password|passwd|pwd|passphrase|token|secret|bearer|credentials?"
    r"|(?:api|access|secret|private|account|sas)[_-]?key)$",
    re.IGNORECASE,
)
"""Keys whose values are secrets, in snake case (see `is_secret_name`)."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PAIR = re.compile(
    r"""(?P<key>[\w.-]+)["']?\s*:\s+(?P<value>"[^"]*"?|'[^']*'?|[^\s,}\]#{\[][^,}\]#]*)"""
)
_LOGIN = re.compile(r"(?<=://)[^/@\s\"']+(?=@)")


@dataclass(frozen=True, slots=True)
class Source:
    """A text file, by lines."""

    shown: str
    """Its path as the user would type it."""
    lines: tuple[str, ...] = ()

    def place(self, line: int, column: int, end_column: int = 0, *, label: str = "") -> Place:
        """The span in `line`, all counted from 1; without `end_column`: one character."""
        source = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        end = max(end_column, column + 1)
        return Place(self.shown, line, column, end, hide_secrets(source[:_LONGEST]), label)

    def whole(self, label: str = "") -> Place:
        """The file as a whole."""
        return Place(self.shown, label=label)

    def at_offset(self, offset: int, length: int = 1, *, label: str = "") -> Place:
        """The span that starts `offset` characters into the text (lines broken by one character)."""
        for number, line in enumerate(self.lines, 1):
            if offset <= len(line):
                end = min(offset + length, max(len(line), offset + 1))
                return self.place(number, offset + 1, end + 1, label=label)
            offset -= len(line) + 1
        last = max(len(self.lines), 1)
        return self.place(last, len(self.lines[-1]) + 1 if self.lines else 1, label=label)


def source_of(path: Path, text: str) -> Source:
    """`text` of `path`, by lines."""
    return Source(shown_path(path), tuple(_BREAK.split(text)))


def shown_path(path: Path) -> str:
    """`path` as the user would type it: relative where it lies below the working folder."""
    full = path.absolute()
    here = Path.cwd()
    return str(full.relative_to(here)) if full.is_relative_to(here) and full != here else str(path)


def is_secret_name(key: str) -> bool:
    """True where what stands under `key` must be kept from sight."""
    return SECRET_NAME.search(_CAMEL.sub("_", key)) is not None


def hide_secrets(line: str) -> str:
    """`line` with literal secrets replaced by as many asterisks, so that carets still fit."""

    def starred(pair: re.Match[str]) -> str:
        value = pair["value"].rstrip()
        if not is_secret_name(pair["key"]) or "${" in value:
            return pair[0]
        at = pair.start("value") - pair.start()
        return pair[0][:at] + "*" * len(value) + pair[0][at + len(value) :]

    hidden = _PAIR.sub(starred, line)
    return _LOGIN.sub(lambda m: m[0] if "${" in m[0] else "*" * len(m[0]), hidden)


def plural(count: int, noun: str) -> str:
    """`1 row`, `3,201 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def did_you_mean(name: str, known: Iterable[str], *, what: str = "one of") -> str:
    """`did you mean ...?`, else the first known names; empty where none is known."""
    names = list(known)
    if near := nearest(name, names):
        return f"did you mean `{near}`?"
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")  # noqa: PLR2004
    return f"{what}: {listed}" if names else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like `name`, or nothing."""
    by_folded = {_fold(k): k for k in known}
    if _fold(name) in by_folded:
        return by_folded[_fold(name)]
    found = get_close_matches(_fold(name), by_folded, 1, 0.6)
    return by_folded[found[0]] if found else ""


def error(code: str, message: str, *places: Place, fix: str = "") -> Diagnostic:
    """A problem that keeps the product from being built."""
    return Diagnostic(code, message, places, fix)


def warning(code: str, message: str, *places: Place, fix: str = "") -> Diagnostic:
    """A problem that lets the build go on."""
    return Diagnostic(code, message, places, fix, "warning")


def _fold(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
