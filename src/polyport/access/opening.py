"""How a view is opened: who is let in, by which agreement, under which policy, on which snapshot."""

from __future__ import annotations

import os
import secrets
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from polyport.access import configuration, lifecycle
from polyport.access.admission import Standing
from polyport.access.mapping import Mapped
from polyport.access.meter import promised_by
from polyport.access.policy import Policy
from polyport.access.view import View
from polyport.errors import AccessError, RetiredError
from polyport.model import LATEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from polyport.access.admission import Admission
    from polyport.access.control import Control
    from polyport.access.failing import Aside
    from polyport.access.limits import Requests
    from polyport.access.results import Results
    from polyport.descriptor.types import DataProduct, Port
    from polyport.engine import Engine
    from polyport.engine.keyed import KeyedIndex, KeyedIndexes
    from polyport.ledger import Ledger
    from polyport.model import Principal, Ref, Snapshot
    from polyport.store import Store


class Kept(Protocol):
    """What is kept of a product, as views are opened on it."""

    spec: DataProduct
    store: Store
    engine: Engine
    ledger: Ledger
    control: Control
    salt: str
    """The product's own secret."""
    requests: Requests
    results: Results | None
    keyed: KeyedIndexes | None

    @property
    def clock(self) -> Callable[[], datetime]:
        """Gives the time, in UTC."""
        ...


def view(
    kept: Kept,
    principal: Principal,
    ref: Ref,
    *,
    port: str,
    purpose: str,
    mapping: Mapped | None = None,
) -> View:
    """What `principal` sees of the snapshot `ref` through `port`.

    Whoever may read nothing (no agreement, no role) gets a view all the same: each read of it says why.

    Raises:
        NotFoundError: No such snapshot.
        RetiredError: The product is retired.
        LimitError: The principal asks more often than it may.
    """
    return _view(
        kept,
        (principal, port, purpose),
        kept.store.hold(kept.spec.id, ref),
        kept.store.files,
        keyed=lambda of, dataset: keyed_index(kept, of, dataset),
        mapping=mapping,
    )


def aside(
    kept: Kept, principal: Principal, purpose: str, stands_for: Snapshot, parts: Aside, *, port: str
) -> View:
    """What `principal` sees, through `port`, of rows that are no dataset's: those that failed.

    Raises:
        RetiredError, LimitError: As `view`.
    """
    asked, held = (principal, port, purpose), nullcontext(stands_for)
    return _view(kept, asked, held, _no_files, keyed=lambda *_: None, mapping=parts)


def _no_files(_: Snapshot, __: str) -> Sequence[str]:
    return ()


def _view(
    kept: Kept,
    asked: tuple[Principal, str, str],
    held: AbstractContextManager[Snapshot],
    files: Callable[[Snapshot, str], Sequence[str]],
    *,
    keyed: Callable[[Snapshot, str], KeyedIndex | None],
    mapping: Mapped | Aside | None,
) -> View:
    """A view for whoever asked (principal, port, purpose) of what is held."""
    principal, port, purpose = asked
    lifecycle.check_served(kept.spec, principal, port)
    count(kept, principal)
    position = kept.control.position()
    admissions = configuration.admissions(kept.control, kept.spec, kept.clock)
    admission = admissions.admit(principal, port, purpose)
    holding, most = policy(kept), _rows_limit(kept, principal)
    return View(
        held.__enter__(),
        admission.principal,
        port,
        admission.purpose,
        holding,
        kept.engine,
        files,
        kept.ledger.record_read,
        release=lambda: _leave(held),
        keyed=keyed,
        results=kept.results,
        mapping=mapping,
        refusal=_refusal(kept.spec, principal, admission),
        rows_limit=most,
        still=Standing(
            admissions, admission, asked, position, lambda: _same(policy(kept), holding)
        ),
    )


def policy(kept: Kept) -> Policy:
    """Who sees what, as it stands now.

    Raises:
        StoreError: The journal cannot be read.
    """

    def made() -> Policy:
        promised = {n: [p.name for p in o.properties] for n, o in kept.spec.objects.items()}
        settings = configuration.access_settings(kept.control, kept.spec)
        return Policy(kept.spec.id, settings.roles, kept.salt, promised)

    return kept.control.derived(("policy", kept.spec.id), made)


def keyed_index(kept: Kept, snapshot: Snapshot, dataset: str) -> KeyedIndex | None:
    """The keyed read path of a dataset, where the product keeps one."""
    if kept.keyed is None:
        return None
    promised = kept.spec.objects.get(dataset)
    columns = [list(r.columns) for r in promised.relationships] if promised else []
    for port in kept.spec.outputs:
        columns += port.settings.get("index", {}).get(dataset, [])
    return kept.keyed.get(snapshot, dataset, columns)


@dataclass(frozen=True, slots=True)
class Door:
    """An `Open`: the one way to the rows for one port of a product."""

    kept: Kept
    open: Callable[..., View]
    """As `view`, without `kept`."""
    port: str
    spec: Port | None = None
    """The output port; None for a management port."""

    def __call__(self, principal: Principal, ref: Ref = LATEST, *, purpose: str = "") -> View:
        """A view of the snapshot `ref` for `principal`.

        Raises:
            NotFoundError: No such snapshot.
            RetiredError: The product is retired, or this version of the port is.
        """
        mapping = None
        if self.spec is not None:
            self._served(self.spec)
            mapping = Mapped(self.spec.mapping) if self.spec.mapping else None
        view = self.open(principal, ref, port=self.port, purpose=purpose, mapping=mapping)
        return promised_by(self.spec.contract_id, view) if self.spec is not None else view

    def snapshots(self) -> Sequence[Snapshot]:
        """All kept snapshots, oldest first."""
        return self.kept.store.history(self.kept.spec.id)

    def _served(self, spec: Port) -> None:
        if spec.sunset is not None and self.kept.clock().date() >= spec.sunset:
            newer = self.kept.spec.successor(spec)
            raise RetiredError(
                f"version {spec.version} of the port {spec.name!r} is not served since {spec.sunset}",
                where=self.kept.spec.id,
                fix=f"use version {newer.version}" if newer else "ask the product's owner",
            )


def salt(state: Path, product: str) -> str:
    """The product's own secret, made once: what hashes of its values begin with."""
    path = state / "secrets" / f"{quote(product, safe='')}.salt"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        draft.touch(0o600)
        draft.write_text(secrets.token_hex(32), "ascii")
        with suppress(FileExistsError):  # another process was first: its secret counts
            os.link(draft, path)
        draft.unlink()
    return path.read_text("ascii")


def count(kept: Kept, principal: Principal) -> None:
    """Count a request of `principal`.

    Raises:
        LimitError: It asks more often than it may.
    """
    if not _free(kept, principal):
        most = configuration.running_settings(kept.control, kept.spec).requests_per_minute
        if most:
            kept.requests.count(principal.id, most, where=kept.spec.id)


def _rows_limit(kept: Kept, principal: Principal) -> int:
    """How many rows `principal` may read at once; 0: any number."""
    if _free(kept, principal):
        return 0
    return configuration.running_settings(kept.control, kept.spec).rows_per_read


def _free(kept: Kept, principal: Principal) -> bool:
    """Whether no limit holds: for the owner, and its previews."""
    return principal.owns(kept.spec.id) or not principal.needs_agreement


def _refusal(
    product: DataProduct, principal: Principal, admission: Admission
) -> AccessError | None:
    """Why nothing may be read: the product's state, or no agreement."""
    found = lifecycle.refusal(product, principal)
    if found is not None or not admission.refusal:
        return found
    return AccessError(admission.refusal, where=product.id, fix=admission.fix)


def _same(one: Policy, other: Policy) -> bool:
    return one is other or one == other


def _leave(held: AbstractContextManager[Snapshot]) -> None:
    held.__exit__(None, None, None)


__all__ = ["Door", "Kept", "count", "keyed_index", "policy", "salt", "view"]
