"""Keeps events in the journal and sends them to an OpenLineage endpoint, at least once each."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from polyport.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.ledger.journal import Journal
    from polyport.model import Entry

SENT = "sent"
"""The name of the entries that say up to where a product's events were sent."""
_PATH = "/api/v1/lineage"
_TRIES = 2
_log = logging.getLogger("polyport")


@dataclass(frozen=True, slots=True)
class Target:
    """An OpenLineage endpoint."""

    url: str
    token: str = field(default="", repr=False)
    timeout: float = 5.0
    """Seconds, for each event."""

    @classmethod
    def of(
        cls, settings: Mapping[str, Any], environment: Mapping[str, str] = os.environ
    ) -> Target | None:
        """That of `mesh.yaml`'s `lineage`, else that of OPENLINEAGE_URL; None where neither names one.

        Raises:
            ConfigurationError: The address is neither http nor https.
        """
        if environment.get("OPENLINEAGE_DISABLED", "").lower() == "true":
            return None
        url = str(settings.get("url") or environment.get("OPENLINEAGE_URL", "")).rstrip("/")
        if not url:
            return None
        token = settings.get("token") if settings.get("url") else None
        parsed = urlsplit(url)
        if parsed.scheme not in ("http", "https"):
            raise ConfigurationError(
                f"the OpenLineage address is not http or https: {parsed.scheme!r}",
                where="lineage.url",
                fix="lineage: {url: 'https://...'}",
            )
        if parsed.path in ("", "/"):
            url += "/" + environment.get("OPENLINEAGE_ENDPOINT", _PATH).lstrip("/")
        return cls(url, str(token or environment.get("OPENLINEAGE_API_KEY", "")))


def keep_and_send(
    journal: Journal, product: str, run: str, event: Mapping[str, Any], target: Target | None
) -> str:
    """Keep the event, and send it after those that wait; what could not be sent, in one sentence, or "".

    Raises:
        StoreError: It cannot be kept.
    """
    kept = journal.append("lineage", run, event, product=product, by=f"product:{product}")
    if target is None:
        return ""
    mark = journal.newest("lineage", product=product, name=SENT)
    after = int(mark.document["position"]) if mark else kept.seq - 1
    waiting = [
        e for e in journal.entries("lineage", product=product, after=after) if e.name != SENT
    ]
    done, problem = _send_all(waiting, target)
    if done or mark is None:
        position = waiting[done - 1].seq if done else after
        journal.append(
            "lineage", SENT, {"position": position}, product=product, by=f"product:{product}"
        )
    if not problem:
        return ""
    left = len(waiting) - done
    said = f"{left} lineage event{'s' if left > 1 else ''} not sent ({problem}); the next build sends again"
    _log.warning("%s: %s", product, said)
    return said


def _send_all(waiting: Sequence[Entry], target: Target) -> tuple[int, str]:
    """How many were sent, in order, and what stopped the next."""
    import httpx  # noqa: PLC0415 - 0.2 s to import, where events go somewhere only

    headers = {"Authorization": f"Bearer {target.token}"} if target.token else {}
    with httpx.Client(timeout=target.timeout, headers=headers) as client:
        for done, entry in enumerate(waiting):
            problem = ""
            for _ in range(_TRIES):
                try:
                    answer = client.post(target.url, json=entry.document)
                    problem = "" if answer.is_success else f"HTTP {answer.status_code}"
                except httpx.HTTPError as error:
                    problem = type(error).__name__
                if not problem:
                    break
            if problem:
                return done, problem
    return len(waiting), ""
