"""A document with versions over HTTP: read it, change it, look back, go back."""

from __future__ import annotations

import asyncio
import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from polyport.access import configuration
from polyport.access.configuration import Change
from polyport.access.difference import difference
from polyport.errors import ConflictError, NotFoundError, QueryError
from polyport.ports.configuration._asked import only
from polyport.ports.http import (
    METHODS,
    VARY,
    HttpError,
    etag_matches,
    guarded,
    json_body,
    not_modified,
    pairs,
)
from polyport.ports.management import Operation, steering

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from starlette.requests import Request

    from polyport.access.configuration import Part, Version
    from polyport.ports.management import ManagementContext

LONGEST_NOTE = 500
_NUMBER = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_FOUND = re.compile(r'\s*(?:\*|"(?P<tag>[^"]*)")\s*')


@dataclass(frozen=True, slots=True)
class Versioned:
    """The routes of one document: `/control/<part>` and what is below it."""

    context: ManagementContext
    part: Part
    schema: Mapping[str, Any]
    """The JSON Schema of the document."""

    @property
    def path(self) -> str:
        """Its address below the product's."""
        return f"/control/{self.part}"

    def routes(self) -> list[Route]:
        """See `ManagementPort.routes`."""
        return [
            Route(self.path, guarded(self._document, (*METHODS, "PUT"))),
            Route(f"{self.path}/versions", self._reading(self._versions)),
            Route(f"{self.path}/versions/{{version}}", self._reading(self._version)),
            Route(f"{self.path}/difference", self._reading(self._difference)),
            Route(f"{self.path}/versions/{{version}}/revert", guarded(self._revert, ("POST",))),
        ]

    def operations(self) -> list[Operation]:
        """See `Described.operations`."""
        note = {"type": "string", "maxLength": LONGEST_NOTE, "description": "Why."}
        schema = {k: v for k, v in self.schema.items() if k != "$defs"}
        put = _object({self.part: schema, "note": note}, self.part)
        put["$defs"] = self.schema.get("$defs", {})
        revert = {
            "type": "object",
            "properties": {"note": note},
            "additionalProperties": False,
        }
        numbered = f"{self.path}/versions/{{version}}"
        return [
            Operation("GET", self.path, f"The {self.part} that hold, with their version"),
            Operation("PUT", self.path, f"Change the {self.part}", body=put, conditional=True),
            Operation("GET", f"{self.path}/versions", "All versions, newest first"),
            Operation("GET", numbered, "One version, whole"),
            Operation(
                "GET",
                f"{self.path}/difference",
                "What one version changed in another",
                query={"from": "Its number; default: the one before", "to": "Default: the newest"},
            ),
            Operation("POST", f"{numbered}/revert", "Go back to it", body=revert, conditional=True),
        ]

    def _reading(self, answer: Callable[[Request], Response]) -> Any:
        async def handler(request: Request) -> Response:
            return await asyncio.to_thread(self._read, request, answer)

        return guarded(handler)

    def _read(self, request: Request, answer: Callable[[Request], Response]) -> Response:
        principal, _ = self.context.identify(request)
        steering(self.context, principal, f"read its {self.part}")
        return answer(request)

    async def _document(self, request: Request) -> Response:
        if request.method != "PUT":
            return await asyncio.to_thread(self._read, request, self._current)
        by = await asyncio.to_thread(self._steered, request)
        body = await json_body(request)
        return await asyncio.to_thread(self._put, request, by, body)

    async def _revert(self, request: Request) -> Response:
        by = await asyncio.to_thread(self._steered, request)
        body = await json_body(request)
        return await asyncio.to_thread(self._back, request, by, body)

    def _steered(self, request: Request) -> str:
        principal, _ = self.context.identify(request)
        steering(self.context, principal, f"change its {self.part}")
        return principal.id

    def _current(self, request: Request) -> Response:
        version = configuration.current(self.context.control, self.context.product, self.part)
        headers = {"ETag": _etag(version)}
        if etag_matches(request, headers["ETag"]):
            return not_modified({**headers, **_MINE})
        return _answer(self._whole(version), headers)

    def _put(self, request: Request, by: str, body: Mapping[str, Any]) -> Response:
        only(body, (self.part, "note"))
        block = body.get(self.part)
        if not isinstance(block, dict):
            fix = f'send {{"{self.part}": {{...}}, "note": "why"}}'
            raise QueryError(f"the member {self.part!r} is not an object", fix=fix)
        before = self._based(request)
        wanted = Change(before.number, by, _note(body))
        product, journal = self.context.product, self.context.ledger.journal
        with _first(self.part):
            made = configuration.change(journal, product, self.part, block, wanted)
        return self._changed(before, made)

    def _back(self, request: Request, by: str, body: Mapping[str, Any]) -> Response:
        only(body, ("note",))
        number = self._numbered(request.path_params["version"]).number
        before = self._based(request)
        wanted = Change(before.number, by, _note(body))
        product, journal = self.context.product, self.context.ledger.journal
        with _first(self.part):
            made = configuration.revert(journal, product, self.part, number, wanted)
        return self._changed(before, made)

    def _changed(self, before: Version, made: Version) -> Response:
        changes = difference(self.context.product, self.part, before, made)
        body = {**self._whole(made), "difference": [asdict(c) for c in changes]}
        return _answer(body, {"ETag": _etag(made)})

    def _based(self, request: Request) -> Version:
        """The version that holds, which is the one that If-Match names.

        Raises:
            HttpError: There is no If-Match (428), or it names another (412: RFC 9110, 13.1.1).
        """
        given = request.headers.getlist("if-match")
        if not given:
            raise HttpError(428, f"send If-Match with the ETag of {self.path}")
        holding = configuration.current(self.context.control, self.context.product, self.part)
        for tag in ",".join(given).split(","):
            match = _FOUND.fullmatch(tag)
            if match and match["tag"] in (None, _etag(holding).strip('"')):
                return holding
        raise HttpError(
            412,
            f"version {holding.number} of {self.part} holds, and If-Match names another: read it again",
            {"ETag": _etag(holding)},
        )

    def _versions(self, _: Request) -> Response:
        product = self.context.product
        kept = configuration.versions(self.context.ledger.journal, product, self.part)
        found = []
        for at, version in enumerate(kept):
            changes = difference(product, self.part, kept[at - 1], version) if at else ()
            found.append({**_about(version), "difference": [asdict(c) for c in changes]})
        return _answer({"product": product.id, "versions": found[::-1]})

    def _version(self, request: Request) -> Response:
        return _answer(self._whole(self._numbered(request.path_params["version"])))

    def _difference(self, request: Request) -> Response:
        given = dict(pairs(request))
        only(given, ("from", "to"))
        product = self.context.product
        newest = configuration.current(self.context.control, product, self.part)
        new = self._numbered(given["to"]) if "to" in given else newest
        old = self._numbered(given.get("from", str(max(new.number - 1, 1))))
        changes = difference(product, self.part, old, new)
        return _answer(
            {"from": old.number, "to": new.number, "difference": [asdict(c) for c in changes]}
        )

    def _numbered(self, text: str) -> Version:
        if not _NUMBER.fullmatch(text):
            raise NotFoundError(
                f"no version {text[:60]!r} of {self.part}", fix="versions are 1, 2, 3, ..."
            )
        journal = self.context.ledger.journal
        return configuration.version(journal, self.context.product, self.part, int(text))

    def _whole(self, version: Version) -> dict[str, Any]:
        return {
            "product": self.context.product.id,
            self.part: version.block,
            **_about(version),
        }


_MINE = {"Vary": VARY, "Cache-Control": "private, no-cache"}


def reply(body: Mapping[str, Any]) -> Response:
    """`body` as JSON, for the asker only."""
    return _answer(body)


@contextmanager
def _first(part: Part) -> Iterator[None]:
    """Within, another version that came between is one that If-Match did not name."""
    try:
        yield
    except ConflictError as error:
        raise HttpError(412, f"{error.message}: read {part} again") from error


def _answer(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(body, headers={**_MINE, **(headers or {})})


def _about(version: Version) -> dict[str, Any]:
    return {
        "version": version.number,
        "origin": version.origin,
        "at": version.at.isoformat() if version.at else None,
        "by": version.by,
        "note": version.note,
        "digest": version.digest,
    }


def _etag(version: Version) -> str:
    return f'"{version.number}-{version.digest}"'


def _note(body: Mapping[str, Any]) -> str:
    note = body.get("note", "")
    if not isinstance(note, str) or len(note) > LONGEST_NOTE:
        raise QueryError(
            f"the note is not a text of up to {LONGEST_NOTE} characters", fix="shorten it"
        )
    return note


def _object(properties: Mapping[str, Any], required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [required],
        "additionalProperties": False,
    }
