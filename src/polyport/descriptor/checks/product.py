"""The product itself: what of it stands in addresses."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from polyport.descriptor.text import error
from polyport.descriptor.violations import short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from polyport.descriptor.checks.folder import Folder
    from polyport.errors import Diagnostic

LONGEST = 100
"""Characters of an id: names of folders and of databases hold it, too."""
_ID = re.compile(rf"(?!\.)[A-Za-z0-9._~-]{{1,{LONGEST}}}")
_OTHER = re.compile(r"[^A-Za-z0-9._~]+")


def check(folder: Folder) -> Iterator[Diagnostic]:
    """What is wrong with the product's id: a part of its addresses, of what RFC 3986 leaves as it is."""
    given = folder.document.get("id")
    if isinstance(given, str) and not _ID.fullmatch(given):
        place = folder.document.value_at(("id",), "this is a part of addresses")
        message = f"the id `{short(given)}` cannot be in an address"
        yield error("PP285", message, place, fix=_fix(given))


def _fix(given: str) -> str:
    plain = unicodedata.normalize("NFKD", given).encode("ascii", "ignore").decode()
    like = _OTHER.sub("-", plain).strip(".-")[:LONGEST].lower()
    named = f": `id: {like}`" if like else ""
    return f"up to {LONGEST} letters a-z, digits, `-`, `_`, `.` and `~`, no dot first{named}"
