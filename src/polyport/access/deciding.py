"""What becomes of data sharing agreements: requested, approved, refused, revoked, changed. The journal says by whom.

Of two who decide on the same agreement, the second is told that it has changed (`ConflictError`).
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyport.access import lifecycle
from polyport.access.admission import address
from polyport.access.agreements import agreement, agreements, bare, history
from polyport.descriptor import agreement as oaas
from polyport.descriptor import yaml
from polyport.errors import (
    ConflictError,
    DescriptorError,
    NotFoundError,
    QueryError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from polyport.access.agreements import Agreement, Decision
    from polyport.access.control import Control
    from polyport.descriptor.types import DataProduct, Role
    from polyport.errors import Diagnostic

STEPS: Mapping[Decision, tuple[Decision, ...]] = {
    "requested": ("approved", "refused", "revoked"),
    "approved": ("revoked",),
    "refused": (),
    "revoked": (),
}
"""What may follow on what. Refused and revoked are the end: a new request is a new agreement."""
_NOTED: tuple[Decision, ...] = ("refused", "revoked")
_STATUS: Mapping[str, Decision] = {
    "requested": "requested",
    "approved": "approved",
    "rejected": "refused",
}
_DONE: Mapping[Decision, str] = {
    "requested": "request", "approved": "approve", "refused": "refuse", "revoked": "revoke",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Desk:
    """Where agreements of one product are decided on."""

    control: Control
    product: DataProduct
    roles: Mapping[str, Role]
    """Of the access policy as it stands."""

    def get(self, name: str) -> Agreement:
        """The agreement with the id `name`.

        Raises:
            NotFoundError: There is none.
            StoreError: The journal cannot be read.
        """
        found = agreements(self.control, self.product.id).get(name)
        if found is None:
            raise self.missing(name)
        return found

    def missing(self, name: str) -> NotFoundError:
        """What is said of an agreement that is not there, or not for whoever asks."""
        return NotFoundError(
            f"no data sharing agreement {name!r}",
            where=self.product.id,
            fix="polyport agreement list",
            remote_fix=f"GET {address(self.product.id)} lists yours",
        )

    def request(
        self, document: Mapping[str, Any], *, by: str
    ) -> tuple[Agreement, tuple[Diagnostic, ...]]:
        """The agreement that `document` (OAAS; what is missing of its head is filled in) asks for, and warnings.

        Raises:
            DescriptorError: The document does not fit the standard or the product.
            ConflictError: Its id is taken, or the product takes no new consumers.
            RetiredError: The product is retired.
            StoreError: The journal cannot be written.
        """
        lifecycle.check_agreeable(self.product)
        whole = self.filled(document)
        if whole["status"] != "requested":
            raise QueryError(
                f"a request has the status 'requested', not {whole['status']!r}",
                where=self.product.id,
                fix="leave it out; its owner approves",
            )
        warnings = self.checked(whole)
        return self._write(whole, "requested", by=by, after=0), warnings

    def decide(
        self, name: str, decision: Decision, *, by: str, note: str = "", after: int | None = None
    ) -> Agreement:
        """The agreement `name`, now approved, refused or revoked. `after`: its `seq` as the decider knows it.

        Raises:
            NotFoundError: There is none.
            QueryError: A refusal or revocation without a note.
            ConflictError: That step is not possible from how it stands, or it has changed meanwhile.
            StoreError: The journal cannot be written.
        """
        found = self.get(name)
        if decision not in STEPS[found.decision]:
            possible = " or ".join(_DONE[d] for d in STEPS[found.decision])
            raise ConflictError(
                f"the agreement {name!r} is {found.decision}: it cannot be {decision}",
                where=self.product.id,
                fix=f"possible: {possible}" if possible else "ask for a new one",
            )
        if decision in _NOTED and not note.strip():
            raise QueryError(
                f"to {_DONE[decision]} {name!r} needs a note",
                where=self.product.id,
                fix="say why: `note`, or --note on the command line",
            )
        if decision == "approved":
            self.checked(found.document)
        known = found.seq if after is None else after
        return self._write(found.document, decision, by=by, after=known, note=note.strip())

    def change(
        self, name: str, document: Mapping[str, Any], *, by: str, after: int | None = None
    ) -> tuple[Agreement, tuple[Diagnostic, ...]]:
        """The agreement `name` with the terms of `document`, as a new version of it, and warnings.

        A decision that was taken stays: who may not decide may change what is requested only.

        Raises:
            NotFoundError: There is none.
            DescriptorError: The document does not fit the standard or the product.
            ConflictError: It is refused or revoked, or it has changed meanwhile.
            StoreError: The journal cannot be written.
        """
        found = self.get(name)
        if not STEPS[found.decision]:
            raise ConflictError(
                f"the agreement {name!r} is {found.decision}: its terms cannot be changed",
                where=self.product.id,
                fix="ask for a new one",
            )
        version = document.get("version")
        if version is None or version == found.document.get("version"):
            version = _next(str(found.document.get("version") or "1.0.0"))
        whole = {**self.filled(document, found), "id": name, "version": version}
        whole["status"] = "approved" if found.decision == "approved" else "requested"
        warnings = self.checked(whole)
        known = found.seq if after is None else after
        return self._write(whole, found.decision, by=by, after=known), warnings

    def take(self, document: Mapping[str, Any], *, by: str) -> Agreement | None:
        """The agreement that a file states, if the file says something new since it was last taken; else None.

        A file that has not changed undoes nothing that was decided since.

        Raises:
            ConflictError: Someone else has decided on it at this moment.
            StoreError: The journal cannot be written.
        """
        whole = bare(document)
        mark = digest(whole)
        entries = history(self.control, self.product.id, document["id"])
        taken = [e.document["digest"] for e in entries if e.document.get("digest")]
        if taken and taken[-1] == mark:
            return None
        ended = oaas.own_properties(document).get(oaas.STATE) == "revoked"
        decision: Decision = "revoked" if ended else _STATUS[document["status"]]
        after = entries[-1].seq if entries else 0
        return self._write(whole, decision, by=by, after=after, note="", digest=mark)

    def checked(self, document: Mapping[str, Any]) -> tuple[Diagnostic, ...]:
        """The warnings about `document`.

        Raises:
            DescriptorError: It does not fit the standard or the product.
        """
        read, found = oaas.as_document(document)
        if read is not None:
            found = (*found, *oaas.examine(read))
            if not _errors(found):
                found = (*found, *oaas.check(read, self.product, self.roles))
        if errors := _errors(found):
            raise DescriptorError(
                "; ".join(d.message for d in errors),
                where=self.product.id,
                fix="; ".join(dict.fromkeys(d.fix for d in errors if d.fix)),
                diagnostics=found,
            )
        return found

    def filled(self, document: Mapping[str, Any], known: Agreement | None = None) -> dict[str, Any]:
        """`document` with the head that every one has; parts of another type are left for the check to find."""
        provider = document.get("provider", {})
        head: dict[str, Any] = {
            "apiVersion": oaas.API_VERSION,
            "kind": oaas.KIND,
            "id": known.id if known else str(uuid.uuid4()),
            "version": "1.0.0",
            "status": "requested",
        }
        made = {**head, **document}
        if isinstance(provider, dict):
            mine = {"teamId": team(self.product), "dataProductId": self.product.id}
            made["provider"] = {**mine, **provider}
        return bare(made) if _listed(made.get("customProperties")) else made

    def _write(
        self,
        document: Mapping[str, Any],
        decision: Decision,
        *,
        by: str,
        after: int,
        **more: str,
    ) -> Agreement:
        content = {"agreement": document, "decision": decision, "note": "", **more}
        entry = self.control.journal.append(
            "agreement", document["id"], content, product=self.product.id, by=by, based=after
        )
        return agreement(entry)


def take_files(control: Control, product: DataProduct) -> list[Agreement]:
    """The agreements in the product's folder that say something new, now in the journal.

    Raises:
        StoreError: The journal cannot be written.
    """
    desk = Desk(control, product, product.settings.roles)
    taken = []
    for path in oaas.agreement_files(product.home):
        document, _ = yaml.read(path)
        if document is None:
            continue
        found = _taken(desk, document.value, f"file:{path.name}")
        taken += [found] if found else []
    return taken


def _taken(desk: Desk, value: Mapping[str, Any], by: str) -> Agreement | None:
    try:
        return desk.take(value, by=by)
    except (
        ConflictError
    ):  # another process took the same file, or decided: what it wrote is looked at
        return desk.take(value, by=by)


def digest(document: Mapping[str, Any]) -> str:
    """A digest of what the document says, whatever its layout."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def team(product: DataProduct) -> str:
    """The team that owns `product`, as its descriptor names it; its id where it names none."""
    said = product.document.get("team")
    named = said.get("name") if isinstance(said, dict) else None
    return str(named or product.id)


def _next(version: str) -> str:
    parts = re.match(r"v?(\d+)\.(\d+)", version)
    return f"{parts[1]}.{int(parts[2]) + 1}.0" if parts else "1.1.0"


def _listed(nodes: Any) -> bool:
    return isinstance(nodes, list) and all(isinstance(n, dict) and "property" in n for n in nodes)


def _errors(found: tuple[Diagnostic, ...]) -> list[Diagnostic]:
    return [d for d in found if d.severity == "error"]
