"""From an address to its handler: the port's root, its documents, and the datasets."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from polyport.errors import NotFoundError
from polyport.model import LATEST
from polyport.ports.contract_view import visible
from polyport.ports.http import decode, mounted, pairs, raw_path, ref_of
from polyport.ports.output.rest import cursor as cursors
from polyport.ports.output.rest import openapi, rows
from polyport.ports.output.rest.ask import HAL, JSON, Ask, document, plain, snapshot_of
from polyport.ports.output.rest.relations import key
from polyport.ports.query import PAGING, once, parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from polyport.model import Ref
    from polyport.ports.output import OutputContext

_KEPT = 64


class Documents:
    """The newest OpenAPI documents, as bytes: one a snapshot, policy class and mount."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, ...], bytes] = OrderedDict()

    def get(self, name: tuple[str, ...], make: Callable[[], Mapping[str, Any]]) -> bytes:
        """The document `name`, made if it is not there."""
        found = self._kept.get(name)
        if found is None:
            found = self._kept[name] = json.dumps(make(), ensure_ascii=False).encode()
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found


async def answer(context: OutputContext, documents: Documents, request: Request) -> Response:
    """The answer to `request`, made in a thread: views block."""
    return await asyncio.to_thread(_answer, context, documents, request)


def _answer(context: OutputContext, documents: Documents, request: Request) -> Response:
    prefix, parts = mounted(request)
    given = pairs(request)
    principal, purpose = context.identify(request)
    ref = _reference(given)
    with ExitStack() as held:
        view = held.enter_context(context.open(principal, ref, purpose=purpose))
        path = raw_path(request).decode("ascii", "replace")
        return _route(Ask(context, request, view, given, ref, prefix, path, held), parts, documents)


def _reference(given: Sequence[tuple[str, str]]) -> Ref:
    """The snapshot asked for; a cursor alone stays on its own."""
    ref, cursor = ref_of(given), dict(given).get("cursor")
    return cursors.snapshot_of(cursor) if cursor and ref == LATEST else ref


def _route(ask: Ask, parts: Sequence[bytes], documents: Documents) -> Response:
    parts = parts[:-1] if parts and not parts[-1] else parts
    match parts:
        case []:
            return _root(ask)
        case [b"openapi.json"]:
            return _openapi(ask, documents)
        case [b"contract.json"]:
            return _contract(ask)
        case [dataset]:
            return rows.page(ask, decode(dataset, "the dataset"))
        case [dataset, identity]:
            return rows.row(ask, decode(dataset, "the dataset"), identity)
        case [dataset, identity, name]:
            return rows.related(
                ask, decode(dataset, "the dataset"), identity, decode(name, "the relation")
            )
    raise NotFoundError(
        f"nothing is at {ask.path}", where=ask.context.spec.name, fix=f"start at {ask.prefix}/"
    )


def _root(ask: Ask) -> Response:
    """Where the links begin: every dataset, how to search it, and the documents that describe the port."""
    once(ask.pairs, ("snapshot",))
    return document(ask, (HAL, JSON), lambda: (_entry(ask), b""))


def _entry(ask: Ask) -> dict[str, Any]:
    seen = ask.view.datasets
    links: dict[str, Any] = {
        "self": {"href": ask.again()},
        **_product(ask),
        "service-desc": {"href": ask.link("openapi.json"), "type": JSON},
        "item": [
            {"href": _place(ask, name), "name": name, "title": _title(ask, name)} for name in seen
        ],
        "find": [{"href": _template(ask, name), "templated": True, "name": name} for name in seen],
    }
    if ask.context.product.contract(ask.context.spec) is not None:
        links["describedby"] = {"href": ask.link("contract.json"), "type": JSON}
    product = ask.context.product
    return {
        "_links": links,
        "product": {"id": product.id, "name": product.name, "version": product.version},
        "snapshot": snapshot_of(ask),
        "datasets": [_described(ask, name) for name in seen],
    }


def _product(ask: Ask) -> dict[str, Any]:
    """The link to the product, where the port is mounted below it."""
    below, mount, rest = ask.prefix.rpartition("/rest/")
    return {"up": {"href": below}} if mount and "/" not in rest and below else {}


def _place(ask: Ask, name: str) -> str:
    return ask.link(quote(name, safe=""))


def _title(ask: Ask, name: str) -> str:
    promised = ask.context.objects.get(name)
    return (promised.business_name or promised.description or name) if promised else name


def _template(ask: Ask, name: str) -> str:
    """The RFC 6570 template of a search."""
    names = [*(p.name for p in parameters(ask.view.schema(name))), *PAGING]
    variables = ",".join(quote(n, safe="._") for n in names)
    return f"{ask.prefix}/{quote(name, safe='')}{{?{variables}}}"


def _described(ask: Ask, name: str) -> dict[str, Any]:
    promised = ask.context.objects.get(name)
    return {
        "name": name,
        "description": promised.description if promised else "",
        "key": list(key(ask.view, name)),
        "columns": list(ask.view.schema(name).names),
        "masked": dict(ask.view.masked(name)),
    }


def _contract(ask: Ask) -> Response:
    once(ask.pairs, ("snapshot",))
    contract = ask.context.product.contract(ask.context.spec)
    if contract is None:
        raise NotFoundError("this port has no contract", where=ask.context.spec.name)
    body = json.dumps(
        visible(contract.document, ask.view), ensure_ascii=False, default=str
    ).encode()
    return plain(ask, lambda: body)


def _openapi(ask: Ask, documents: Documents) -> Response:
    once(ask.pairs, ("snapshot",))
    name = (ask.view.snapshot.content_id, ask.view.policy_class, ask.prefix)
    return plain(ask, lambda: documents.get(name, lambda: openapi.document(ask)))
