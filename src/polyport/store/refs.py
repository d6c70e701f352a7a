"""What a Ref names: latest, a sequence, an id, a tag, or a time."""

from __future__ import annotations

import difflib
import re
from bisect import bisect_right
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING

from polyport.errors import ConfigurationError, NotFoundError
from polyport.model import LATEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from polyport.model import Ref
    from polyport.store.manifest import Manifest

_SEQUENCE = re.compile(r"[0-9]{1,18}")
_ID = re.compile(r"([0-9]{8,18})-[0-9a-f]{8}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_LONGEST_TAG = 100
_SHOWN = 5
"""How many snapshots an error lists."""


def check_tag(name: str) -> None:
    """Nothing, if a snapshot may be called so.

    Raises:
        ConfigurationError: It may not.
    """
    if not _TAG.fullmatch(name) or name.lower() == LATEST or len(name) > _LONGEST_TAG:
        raise ConfigurationError(
            f"{name[:_LONGEST_TAG]!r} cannot be a tag",
            fix="use a letter, then letters, digits, '.', '_' or '-', as in 'audit-2026', not 'latest'",
        )


def resolve(
    ref: Ref,
    sequences: Sequence[int],
    *,
    product: str,
    tags: Callable[[], Mapping[str, int]],
    read: Callable[[int], Manifest],
    publishing: str,
) -> Manifest:
    """The manifest that `ref` names among `sequences` (ascending).

    A time names the snapshot then current; a date the one current when that day ended, in UTC.
    `publishing`: the command that publishes one.

    Raises:
        NotFoundError: There is none; says which there are.
        FileNotFoundError: It was removed since `sequences` was listed: list again.
    """
    if not sequences:
        message = f"product {product!r} has no snapshot yet"
        fix = f"publish one: {publishing}"
        raise NotFoundError(message, where=product, fix=fix, remote_fix="its owner publishes one")
    sequence = _sequence(ref, sequences, tags=tags, read=read)
    if sequence is not None:
        found = read(sequence)
        if not _ID.fullmatch(ref) or found.snapshot.id == ref:
            return found
    raise _not_found(ref, sequences, product=product, tags=tags())


def _sequence(
    ref: Ref,
    sequences: Sequence[int],
    *,
    tags: Callable[[], Mapping[str, int]],
    read: Callable[[int], Manifest],
) -> int | None:
    if ref == LATEST:
        return sequences[-1]
    numbered = _ID.fullmatch(ref) or _SEQUENCE.fullmatch(ref)
    if numbered:
        sequence = int(ref.partition("-")[0])
        return sequence if sequence in sequences else None
    if _TAG.fullmatch(ref):
        return tags().get(ref)
    moment = _moment(ref)
    return None if moment is None else _at(moment, sequences, read=read)


def _moment(ref: Ref) -> datetime | None:
    try:
        if _DATE.fullmatch(ref):
            return datetime.combine(datetime.fromisoformat(ref), time.max, tzinfo=UTC)
        if _TIME.fullmatch(ref):
            return datetime.fromisoformat(ref.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return None


def _at(moment: datetime, sequences: Sequence[int], *, read: Callable[[int], Manifest]) -> int:
    """Times of commit ascend with sequences, so a few manifests tell."""
    after = bisect_right(sequences, moment, key=lambda number: read(number).snapshot.committed_at)
    if after:
        return sequences[after - 1]
    first = read(sequences[0]).snapshot
    raise NotFoundError(
        f"product {first.product!r} has no snapshot from {moment:%Y-%m-%dT%H:%M:%SZ} or before:"
        f" the first kept, {first.sequence}, was published at {first.committed_at:%Y-%m-%dT%H:%M:%SZ}",
        where=first.product,
        fix=f"ask for a later time, or for snapshot {first.sequence}",
    )


def _not_found(
    ref: Ref, sequences: Sequence[int], *, product: str, tags: Mapping[str, int]
) -> NotFoundError:
    newest = ", ".join(str(number) for number in reversed(sequences[-_SHOWN:]))
    more = f" and {len(sequences) - _SHOWN} older" if len(sequences) > _SHOWN else ""
    near = difflib.get_close_matches(ref, [*tags, LATEST], n=1)
    hints = [
        f"did you mean {near[0]!r}?" if near else "",
        f"there are latest, {newest}{more}",
        f"tags: {', '.join(sorted(tags)[:_SHOWN])}" if tags else "",
        "" if _known_form(ref) else "a time is written 2026-01-31T12:00:00Z, a date 2026-01-31",
    ]
    return NotFoundError(
        f"product {product!r} has no snapshot {ref[:_LONGEST_TAG]!r}{_gone(ref, sequences)}",
        where=product,
        fix="; ".join(hint for hint in hints if hint),
    )


def _known_form(ref: Ref) -> bool:
    return any(form.fullmatch(ref) for form in (_SEQUENCE, _ID, _TAG))


def _gone(ref: Ref, sequences: Sequence[int]) -> str:
    numbered = _SEQUENCE.fullmatch(ref)
    expired = numbered and 0 < int(ref) < sequences[-1]
    return " any more: it has expired" if expired else ""
