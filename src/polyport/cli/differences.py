"""`polyport diff --contract`: two contracts or ODPS documents, change by change, with the verdict for consumers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from polyport.cli import console

if TYPE_CHECKING:
    from pathlib import Path

    from polyport.descriptor.compare import Change, Difference
    from polyport.descriptor.yaml import Document

STYLES = {"breaking": console.bad, "risky": console.warning, "compatible": console.good}


def compare_files(old: Path, new: Path, *, as_json: bool) -> None:
    """Print the difference of two files; exits with 1 where a change is breaking.

    Raises:
        DescriptorError: One of them is no sound document.
        ConfigurationError: They are not of one kind.
    """
    from polyport.descriptor.compare import compare, omds

    before, after = _document(old), _document(new)
    found = compare(before.value, after.value)
    places = [str(after.value_at(change.at)) for change in found.changes]
    if as_json:
        console.say_json(omds.document(found, places=places))
    else:
        _show(found, places)
    if found.counts["breaking"]:
        sys.exit(1)


def _document(path: Path) -> Document:
    from polyport import descriptor

    found = descriptor.examine_file(path)
    document, _ = descriptor.read(path)
    if document is None or any(d.severity == "error" for d in found):
        raise descriptor.failure(found, path)
    return document


def _show(found: Difference, places: list[str]) -> None:
    from polyport.descriptor.compare import VERDICTS

    ranked = sorted(enumerate(found.changes), key=lambda pair: VERDICTS.index(pair[1].verdict))
    for at, change in ranked:
        _tell(change, places[at])
    counts = [f"{number} {verdict}" for verdict, number in found.counts.items() if number]
    console.say(", ".join(counts) if counts else "Nothing differs but perhaps the version.")
    if found.suggested and found.changes:
        console.talk(
            f"{found.old.id} {found.old.version}: the new version is to be {found.suggested} or above"
            f"; it says {found.new.version or 'none'}"
        )


def _tell(change: Change, place: str) -> None:
    style = STYLES[change.verdict]
    console.say(f"{style(change.verdict)}: {console.CONTROL.sub(' ', change.reason)}")
    console.say(f"  --> {place}  {console.dim(console.CONTROL.sub(' ', change.path))}")
