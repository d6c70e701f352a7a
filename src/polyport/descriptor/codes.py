"""The catalogue of codes: what `polyport explain` says, and `docs/reference/diagnostics.md`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import yaml

from polyport.descriptor.text import did_you_mean
from polyport.errors import NotFoundError, PolyportError

if TYPE_CHECKING:
    from collections.abc import Iterator

_GROUPS = (
    ("PP0", "Files and YAML"),
    ("PP1", "Documents against their schemas"),
    ("PP2", "Files against each other"),
)


class Code(NamedTuple):
    """What `polyport explain` says of a code."""

    code: str
    title: str
    text: str
    wrong: str = ""
    """What leads to it; empty for errors that are not in a file."""
    right: str = ""


def classes() -> tuple[Code, ...]:
    """The codes of the error classes, in the order of the tree; title and text are their docstrings."""
    return tuple(_of_class(each) for each in _tree(PolyportError))


@cache
def diagnostics() -> tuple[Code, ...]:
    """The codes of diagnostics, in order."""
    text = (files("polyport.descriptor") / "codes.yaml").read_text(encoding="utf-8")
    return tuple(Code(code, **entry) for code, entry in sorted(yaml.safe_load(text).items()))


def explain(code: str) -> Code:
    """What `code` means; upper and lower case are one.

    Raises:
        NotFoundError: There is no such code.
    """
    known = {entry.code: entry for entry in (*classes(), *diagnostics())}
    wanted = code.strip().upper()
    if wanted not in known:
        raise NotFoundError(f"no code {code!r}", fix=_near(wanted, known))
    return known[wanted]


def reference() -> str:
    """The page `docs/reference/diagnostics.md`."""
    parts = [
        "# Codes",
        "",
        "Generated from `polyport.descriptor.codes`; `polyport explain CODE` says the same.",
    ]
    for start, heading in _GROUPS:
        parts += ["", f"## {heading}"]
        for entry in diagnostics():
            if entry.code.startswith(start):
                parts += ["", *_section(entry)]
    parts += [
        "",
        "## Errors",
        "",
        "| code | exit code | HTTP status | meaning |",
        "|---|---|---|---|",
    ]
    parts += [
        f"| {each.code} | {each.exit_code} | {each.http_status} | {_of_class(each).text} |"
        for each in _tree(PolyportError)
    ]
    return "\n".join(parts) + "\n"


def errors_page() -> str:
    """The page `docs/reference/errors.md`: each error class with its code and what it sets."""
    parts = [
        "# Errors",
        "",
        "Generated from `polyport.errors`; `polyport explain CODE` says the same. Each class fixes a stable code,",
        "the exit status of the command line, and the HTTP status of a port's answer (RFC 9457, member `code`).",
        "Mistakes in a product's files have codes of their own: see [diagnostics](diagnostics.md).",
    ]
    for each in _tree(PolyportError):
        entry = _of_class(each)
        base = _base(each)
        kind = "" if base is PolyportError else f" A kind of {base.code}."
        parts += [
            "",
            f"## {entry.code} {entry.title}",
            "",
            f"{entry.text}{kind}",
            "",
            f"Exit status {each.exit_code}, HTTP status {each.http_status}.",
        ]
    return "\n".join(parts) + "\n"


def _base(error: type[PolyportError]) -> type[PolyportError]:
    return next((b for b in error.__bases__ if issubclass(b, PolyportError)), PolyportError)


def _section(entry: Code) -> Iterator[str]:
    yield f"### {entry.code}: {entry.title}"
    yield ""
    yield entry.text
    for heading, example in (("Wrong:", entry.wrong), ("Right:", entry.right)):
        if example:
            yield from ("", heading, "```", example, "```")


def _near(wanted: str, known: dict[str, Code]) -> str:
    digits = wanted.removeprefix("PP")
    padded = f"PP{int(digits):03d}" if digits.isdigit() else ""
    if padded in known:
        return f"did you mean `{padded}`?"
    by_title = [c for c, entry in known.items() if wanted.lower() in entry.title and wanted]
    return (
        f"did you mean `{by_title[0]}`?" if by_title else did_you_mean(wanted, known, what="codes")
    )


def _tree(top: type[PolyportError]) -> Iterator[type[PolyportError]]:
    yield top
    for each in top.__subclasses__():
        if each.__module__ == top.__module__:
            yield from _tree(each)


def _of_class(error: type[PolyportError]) -> Code:
    said = (error.__doc__ or "").split("\n\n")[0]
    words = " ".join(said.split())
    return Code(error.code, error.__name__, words)
