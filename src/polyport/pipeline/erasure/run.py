"""Erasing, from the plan to the proof. What an erasure looks for stands in its plan until it has ended."""

from __future__ import annotations

import getpass
import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from polyport.errors import ConfigurationError, NotFoundError, StoreError
from polyport.pipeline.erasure import books, clean
from polyport.pipeline.erasure.find import Entity, Rewriting, count, find
from polyport.pipeline.erasure.pieces import UnreadableError
from polyport.pipeline.erasure.suggest import suggest
from polyport.pipeline.erasure.survey import PLANS, survey
from polyport.pipeline.erasure.tombstones import Hashing, Marks, Stone, load
from polyport.pipeline.erasure.types import Outcome, Preview, Request, Target
from polyport.pipeline.erasure.wanted import Values
from polyport.pipeline.folders import safe, write_document
from polyport.pipeline.retention import in_use
from polyport.ports.output import Keeping

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from polyport.pipeline.erasure.types import Scene, Survey

FORMAT = 1


def preview(scene: Scene, request: Request) -> Preview:
    """What erasing would do; nothing is changed.

    Raises:
        NotFoundError, ConfigurationError, QueryError: As `find`.
    """
    entity = find(scene, request)
    looked = survey(scene, Values(entity.values))
    return Preview(len(entity.values), count(scene, entity), looked, suggest(scene, entity))


def erase(scene: Scene, request: Request) -> Outcome:
    """Erase, everywhere, and prove it. A kill at any moment leaves what `resume` finishes.

    Raises:
        ConfigurationError: No reason is given, an earlier erasure was not finished, or as `find`.
        ConflictError: A run was going on for too long: `resume` goes on.
        NotFoundError, QueryError: As `find`; nothing was changed.
        StoreError: Something cannot be written: `resume` goes on.
    """
    if not request.reason.strip():
        raise ConfigurationError("an erasure needs a reason", fix='--reason "request of 3 May"')
    if plans(scene):
        raise ConfigurationError(
            f"an erasure of {scene.product.id!r} was not finished",
            where=str(_folder(scene)),
            fix="finish it first: polyport erase --resume",
        )
    entity = find(scene, request)
    name = f"{scene.clock():%Y%m%dT%H%M%S}-erase-{secrets.token_hex(3)}"
    _write_plan(scene, name, entity)
    return _go(scene, name, entity)


def resume(scene: Scene, *, patience: float) -> list[Outcome]:
    """Finish every erasure that was cut off; oldest first.

    Raises:
        NotFoundError: There is none.
        ConflictError, StoreError: As `erase`.
    """
    found = plans(scene)
    if not found:
        raise NotFoundError(
            f"no erasure of {scene.product.id!r} waits to be finished", where=scene.product.id
        )
    ended = []
    for path in found:
        entity = _read_plan(path)
        request = replace(entity.request, patience=patience)
        ended.append(_go(scene, path.stem, replace(entity, request=request)))
    return ended


def prove(scene: Scene, values: Sequence[str] = ()) -> Survey:
    """Where the product keeps one of `values`; without them, anything that was ever erased, which its hashes tell.

    Raises:
        NotFoundError: No value is given, and nothing was ever erased.
    """
    if values:
        return survey(scene, Values(values))
    known = load(scene.ledger.journal, scene.product.id, scene.salt)
    if known.marks is None:
        raise NotFoundError(
            f"nothing was ever erased from {scene.product.id!r}",
            where=scene.product.id,
            fix="name what to look for: --value TEXT",
        )
    return survey(scene, known.marks)


def _go(scene: Scene, name: str, entity: Entity) -> Outcome:
    seeker, store, product = Values(entity.values), scene.store, scene.product.id
    patience = entity.request.patience
    _record(scene, name, entity, None)  # from here on no build lets it in again
    rows = store.erase(product, _run(name, scene), Rewriting(scene, entity), patience=patience)
    readers = store.retire(product, patience=patience)
    try:
        with in_use(scene.state / "raw" / safe(product)):
            removed = clean.beside_the_store(scene, seeker, name)
    except UnreadableError as error:
        raise StoreError(
            f"a kept file cannot be looked into: {error}",
            where=product,
            fix="polyport erase --prove names it; remove it, then polyport erase --resume",
        ) from error
    keeping = [port for port in scene.pushed if isinstance(port, Keeping)]
    pushed = [port.push_again(store.history(product), scene.product.home) for port in keeping]
    removed |= {"exported files": n} if (n := sum(map(len, pushed))) else {}
    outcome = Outcome(
        id=name,
        at=scene.clock(),
        rows=rows,
        removed=removed,
        readers=readers,
        foreign=tuple(p.context.spec.name for p in scene.pushed if not isinstance(p, Keeping)),
        survey=survey(scene, seeker),
        suggested=suggest(scene, entity),
    )
    _record(scene, name, entity, outcome)
    if not readers:  # all that an erasure does is done, whatever the proof found
        (_folder(scene) / f"{name}.json").unlink()
        with suppress(OSError):  # another erasure waits there
            _folder(scene).rmdir()
    return outcome


def _run(name: str, scene: Scene) -> str:
    """The erasure's name as a run of the store: another one each time, for what was swapped in stays."""
    return (
        name if not scene.store.is_run(scene.product.id, name) else f"{name}-{secrets.token_hex(2)}"
    )


def _record(scene: Scene, name: str, entity: Entity, outcome: Outcome | None) -> None:
    """What is known for ever: who, when, why, how much, and hashes. No value."""
    hashing = Hashing(scene.salt)
    seeker = Values(entity.values)
    document: dict[str, Any] = {
        "state": "begun" if outcome is None else "done" if outcome.done else "incomplete",
        "reason": seeker.blanked(entity.request.reason),
        "user": _user(),
        "pseudonym": books.pseudonym(name),
        "everywhere": entity.request.everywhere,
        "datasets": [target.dataset for target in entity.request.targets],
        "stones": [stone.document() for stone in entity.stones],
        "marks": Marks.of(entity.values, hashing).document(),
    }
    if outcome is not None:
        looked = outcome.survey
        document |= {
            "rows": {str(n): dict(rows) for n, rows in outcome.rows.items()},
            "removed": dict(outcome.removed),
            "proof": {
                "files": looked.files,
                "bytes": looked.bytes,
                "holding": len(looked.found),
                "unread": len(looked.unread),
            },
        }
    scene.ledger.journal.append("erasure", name, document, product=scene.product.id, by="owner")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return str(os.getuid())


# The plan


def _folder(scene: Scene) -> Path:
    return scene.state / PLANS / safe(scene.product.id)


def plans(scene: Scene) -> list[Path]:
    """The plans of erasures that were cut off, oldest first."""
    return sorted(_folder(scene).glob("[!.]*.json"))


def _write_plan(scene: Scene, name: str, entity: Entity) -> None:
    folder = _folder(scene)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    document = {
        "format": FORMAT,
        "request": asdict(entity.request),
        "values": list(entity.values),
        "stones": [stone.document() for stone in entity.stones],
    }
    write_document(folder / f"{name}.json", document)
    (folder / f"{name}.json").chmod(0o600)


def _read_plan(path: Path) -> Entity:
    try:
        document = json.loads(path.read_bytes())
        request = document["request"]
        targets = tuple(
            Target(t["dataset"], t["where"], tuple(t["columns"])) for t in request.pop("targets")
        )
        also = tuple(request.pop("also"))
        stones = tuple(
            Stone(s["dataset"], tuple(s["columns"]), frozenset(s["digests"]))
            for s in document["stones"]
        )
        return Entity(
            Request(targets=targets, also=also, **request), tuple(document["values"]), stones
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StoreError(
            f"the plan of an erasure is damaged: {error}",
            where=str(path),
            fix="remove it, and erase again",
        ) from error
