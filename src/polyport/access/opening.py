"""How a view is opened: who is let in, by which agreement, under which policy, on which snapshot."""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from polyport.access import admission, configuration, lifecycle
from polyport.access.admission import Standing
from polyport.access.mapping import AS_PUBLISHED, Mapped
from polyport.access.meter import promised_by
from polyport.access.policy import Policy
from polyport.access.view import View
from polyport.errors import RetiredError
from polyport.model import LATEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from polyport.access.control import Control
    from polyport.access.failing import Aside
    from polyport.access.limits import Requests
    from polyport.access.mapping import Shape
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
    made = _view(
        kept,
        (principal, port, purpose),
        kept.store.hold(kept.spec.id, ref),
        kept.store.files,
        mapping or AS_PUBLISHED,
    )
    if mapping is None:
        made.keyed = lambda of, dataset: keyed_index(kept, of, dataset)
    return made


def aside(
    kept: Kept, principal: Principal, purpose: str, stands_for: Snapshot, parts: Aside, *, port: str
) -> View:
    """What `principal` sees, through `port`, of rows that are no dataset's: those that failed.

    Raises:
        RetiredError, LimitError: As `view`.
    """
    asked, held = (principal, port, purpose), nullcontext(stands_for)
    return _view(kept, asked, held, lambda *_: (), parts)


def _view(
    kept: Kept,
    asked: tuple[Principal, str, str],
    held: AbstractContextManager[Snapshot],
    files: Callable[[Snapshot, str], Sequence[str]],
    mapping: Shape,
) -> View:
    """A view for whoever asked (principal, port, purpose) of what is held."""
    principal, port, purpose = asked
    position = kept.control.position()
    admissions = admission.admissions(kept.control, kept.spec, kept.clock)
    admitted = admissions.admit(principal, port, purpose)
    refusal = admission.refusal(kept.spec, principal, port, admitted, kept.clock().date())
    if isinstance(refusal, RetiredError):
        raise refusal
    count(kept, principal)
    holding, (_, most), holds = policy(kept), _limits(kept, principal), ExitStack()
    return View(
        holds.enter_context(held),
        admitted.principal,
        port,
        admitted.purpose,
        holding,
        kept.engine,
        files,
        kept.ledger.record_read,
        release=holds.close,
        results=kept.results,
        mapping=mapping,
        refusal=refusal,
        rows_limit=most,
        still=Standing(admissions, admitted, asked, position, lambda: policy(kept) == holding),
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
            gone = lifecycle.sunset(self.kept.spec, self.spec, self.kept.clock().date())
            if gone is not None:
                raise gone
            mapping = Mapped(self.spec.mapping) if self.spec.mapping else None
        view = self.open(principal, ref, port=self.port, purpose=purpose, mapping=mapping)
        return promised_by(self.spec.contract_id, view) if self.spec is not None else view

    def snapshots(self) -> Sequence[Snapshot]:
        """All kept snapshots, oldest first."""
        return self.kept.store.history(self.kept.spec.id)


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
    most, _ = _limits(kept, principal)
    if most:
        kept.requests.count(principal.id, most, where=kept.spec.id)


def _limits(kept: Kept, principal: Principal) -> tuple[int, int]:
    """Requests in a minute, and rows of one read; 0: any number. None hold for the owner, and its previews."""
    if principal.owns(kept.spec.id) or not principal.needs_agreement:
        return 0, 0
    settings = configuration.running_settings(kept.control, kept.spec)
    return settings.requests_per_minute, settings.rows_per_read
