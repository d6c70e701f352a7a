"""`contracts`: the contracts as they were published, what changed between them and who breaks, who has migrated."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlencode

from starlette.responses import JSONResponse
from starlette.routing import Route

from polyport.access import impact
from polyport.descriptor.compare import compare, omds, published
from polyport.errors import AccessError, NotFoundError, QueryError
from polyport.ledger import contracts
from polyport.model import LATEST
from polyport.ports.contract_view import both_visible, through
from polyport.ports.http import PERSONAL, guarded, json_body, pairs, threaded
from polyport.ports.management import Operation
from polyport.ports.query import once

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from polyport.descriptor.types import DatasetMapping
    from polyport.ledger.contracts import Kept
    from polyport.model import Principal, Ref, Snapshot
    from polyport.ports.management import Content, ManagementContext

CURRENT = "current"
_QUERY = {
    "contract": "A contract's id; by default the first behind an output port",
    "from": "A snapshot or a version that was published; by default the one before the last change",
    "to": "The same, or `current`, which is the default",
}
_MIGRATION = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"port": {"type": "string"}, "major": {"type": "integer", "minimum": 0}},
    "required": ["port", "major"],
}


class ContractsPort:
    """Tells what was promised, what is now, and whom a change concerns. See `docs/contracts.md`."""

    name: ClassVar[str] = "contracts"
    content: ClassVar[Content] = "observability"

    def __init__(self, context: ManagementContext) -> None:
        self.context = context

    def routes(self) -> Sequence[BaseRoute]:
        """See `ManagementPort.routes`."""
        base = f"/{self.name}"
        return [
            Route(base, guarded(threaded(self._listed))),
            Route(f"{base}/difference", guarded(threaded(self._compared))),
            Route(f"{base}/migrations", guarded(self._migrations, ("GET", "HEAD", "POST"))),
        ]

    def operations(self) -> Sequence[Operation]:
        """See `Described.operations`."""
        base = f"/{self.name}"
        return [
            Operation("GET", base, "The contracts as they were published"),
            Operation("GET", f"{base}/difference", "What changed, and whom it breaks", _QUERY),
            Operation("GET", f"{base}/migrations", "Who reads which major version"),
            Operation(
                "POST",
                f"{base}/migrations",
                "Confirm that you read that major version now",
                body=_MIGRATION,
                created=True,
            ),
        ]

    async def _migrations(self, request: Request) -> Response:
        if request.method == "POST":
            return await asyncio.to_thread(self._confirm, request, await json_body(request))
        return await asyncio.to_thread(self._confirmed, request)

    def _listed(self, request: Request) -> Response:
        asker, _ = self.context.identify(request)
        once(pairs(request), ())
        base = f"{self.context.base}/{self.name}"
        links = {
            "self": {"href": base},
            "up": {"href": self.context.base},
            "difference": {
                "href": f"{base}/difference{{?contract,from,to}}",
                "templated": True,
            },
            "migrations": {"href": f"{base}/migrations"},
        }
        told = [self._told(name, kept) for name, kept in self._kept(asker).items()]
        return JSONResponse({"_links": links, "contracts": told}, headers=PERSONAL)

    def _told(self, name: str, kept: Sequence[Kept]) -> dict[str, Any]:
        now = self.context.product.contracts.get(name)
        shown = [
            {"name": port.name, "version": port.version}
            for port in self.context.product.outputs
            if port.contract_id == name
        ]
        return {
            "id": name,
            "version": now.version if now else None,
            "ports": shown,
            "published": [self._version(one) for one in reversed(kept)],
        }

    def _version(self, one: Kept) -> dict[str, Any]:
        asked = urlencode(
            {"contract": one.id, "from": one.snapshot, "to": CURRENT}, quote_via=quote
        )
        href = f"{self.context.base}/{self.name}/difference?{asked}"
        return {
            "version": one.version,
            "snapshot": one.snapshot,
            "publishedAt": one.at.isoformat(),
            "_links": {"difference": {"href": href}},
        }

    def _kept(self, asker: Principal) -> Mapping[str, Sequence[Kept]]:
        """All contracts that were published, for who steers; for others those behind the output ports."""
        product = self.context.product
        found = contracts.kept(self.context.ledger.journal, product.id)
        shown = {contract.id for contract in published.promised(product)}
        steers = asker.steers(product.id)
        return {name: kept for name, kept in found.items() if steers or name in shown}

    def _compared(self, request: Request) -> Response:
        asker, purpose = self.context.identify(request)
        given = pairs(request)
        once(given, _QUERY)
        sides = _Sides(self.context, asker, purpose, self._chosen(asker, dict(given)))
        old, new, mapping = sides.documents(dict(given))
        found = compare(old, new)
        now, books = datetime.now(UTC), (self.context.ledger, self.context.control)
        product = self.context.product
        who = impact.broken(found.of("breaking"), old, product, books, now, mapping)
        told = impact.told(who, names=asker.steers(product.id))
        return JSONResponse(
            omds.document(found, more={"polyport.affected": told}), headers=PERSONAL
        )

    def _chosen(self, asker: Principal, given: Mapping[str, str]) -> Sequence[Kept]:
        """What was kept of the contract asked for; by default of the first behind an output port."""
        product = self.context.product
        found = self._kept(asker)
        promised = [each.id for each in published.promised(product) if each.id in found]
        name = given.get("contract") or next(iter((*promised, *found)), "")
        return contracts.chosen(found, name, product.id)

    def _confirmed(self, request: Request) -> Response:
        asker, _ = self.context.identify(request)
        once(pairs(request), ())
        every = asker.steers(self.context.product.id)
        found = [told for told in self._newest().values() if every or told["principal"] == asker.id]
        return JSONResponse({"migrations": found}, headers=PERSONAL)

    def _confirm(self, request: Request, body: Mapping[str, Any]) -> Response:
        asker, purpose = self.context.identify(request)
        port, major = self._port(body)
        with self.context.open(asker, LATEST, purpose=purpose) as view:
            if not view.datasets:
                raise view.refusal or AccessError(
                    f"{asker.id} reads nothing of {self.context.product.id!r}",
                    where=self.context.product.id,
                    fix="who may read it confirms a migration",
                )
        before = self._newest().get((port, asker.id))
        if before is not None and before["major"] == major:
            return JSONResponse(before, headers=PERSONAL)
        document = {"port": port, "major": major}
        product = self.context.product.id
        self.context.ledger.journal.append(
            "contract", f"migration:{port}", document, product=product, by=asker.id
        )
        return JSONResponse(self._newest()[port, asker.id], 201, PERSONAL)

    def _port(self, body: Mapping[str, Any]) -> tuple[str, int]:
        """The port and major that `body` names.

        Raises:
            QueryError: It names something else.
        """
        port, major = body.get("port"), body.get("major")
        known = {(each.name, each.major) for each in self.context.product.outputs}
        whole = isinstance(port, str) and isinstance(major, int) and not isinstance(major, bool)
        if set(body) != {"port", "major"} or not whole or (port, major) not in known:
            listed = ", ".join(f'{{"port": "{n}", "major": {m}}}' for n, m in sorted(known))
            raise QueryError(
                "the body names no output port with its major version",
                where=self.context.product.id,
                fix=f"send one of: {listed}",
            )
        return str(port), int(str(major))

    def _newest(self) -> Mapping[tuple[str, str], dict[str, Any]]:
        """(port, principal) -> what that consumer confirmed last."""
        found = self.context.ledger.journal.entries("contract", product=self.context.product.id)
        return {
            (entry.document["port"], entry.by): {
                "port": entry.document["port"],
                "major": entry.document["major"],
                "principal": entry.by,
                "confirmedAt": entry.at.isoformat(),
            }
            for entry in found
            if "major" in entry.document
        }


@dataclass(frozen=True, slots=True)
class _Side:
    """One document of a comparison."""

    document: Mapping[str, Any]
    ref: Ref
    """The snapshot that it held for."""
    mapping: Mapping[str, DatasetMapping]
    """Of its datasets over those of that snapshot."""


class _Sides:
    """The two documents of a comparison, as the one who asks may read them."""

    def __init__(
        self, context: ManagementContext, asker: Principal, purpose: str, kept: Sequence[Kept]
    ) -> None:
        self.context = context
        self.asker = asker
        self.purpose = purpose
        self.kept = kept

    def documents(
        self, given: Mapping[str, str]
    ) -> tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, DatasetMapping]]:
        """The old and the new document: whole for the owner, for others what their policy shows of them.

        And the mapping of the old one over what is published.
        """
        to = given.get("to") or CURRENT
        new = self._current() if to == CURRENT else self._at(to)
        start = given.get("from")
        if start == CURRENT:
            old = self._current()
        elif start:
            old = self._at(start)
        else:
            old = self._with(contracts.differing(self.kept, new.document))
        if self.asker.owns(self.context.product.id):
            return old.document, new.document, old.mapping
        with ExitStack() as held:
            views = [
                through(
                    held.enter_context(self.context.open(self.asker, s.ref, purpose=self.purpose)),
                    s.mapping,
                )
                for s in (old, new)
            ]
            return *both_visible((old.document, views[0]), (new.document, views[1])), old.mapping

    def _current(self) -> _Side:
        contract = self.context.product.contracts.get(self.kept[-1].id)
        if contract is None:
            raise NotFoundError(
                f"the product has no contract {self.kept[-1].id!r} any more",
                where=self.context.product.id,
                fix=f"to={self.kept[-1].snapshot}",
            )
        return _Side(contract.document, LATEST, self.context.product.mapping(contract.id))

    def _at(self, ref: Ref) -> _Side:
        return self._with(contracts.at(self.kept, ref, self._snapshot))

    def _with(self, kept: Kept) -> _Side:
        return _Side(kept.document, self._snapshot_with(kept), kept.mapping)

    def _snapshot(self, ref: Ref) -> Snapshot:
        with self.context.open(self.asker, ref, purpose=self.purpose) as view:
            return view.snapshot

    def _snapshot_with(self, kept: Kept) -> Ref:
        """The snapshot that the contract came with, or where it has expired, the first after it."""
        later = (s.id for s in self.context.open.snapshots() if s.id >= kept.snapshot)
        return next(later, LATEST)
