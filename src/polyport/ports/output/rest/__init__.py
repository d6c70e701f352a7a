"""REST: each dataset as pages, rows and groups, with links from the port's root to every row (HAL), told in OpenAPI."""

from __future__ import annotations

import json
from functools import partial
from shlex import quote as shell
from typing import TYPE_CHECKING
from urllib.parse import quote

from polyport.ports.http import guarded
from polyport.ports.output.rest import sql
from polyport.ports.output.rest.handlers import Documents, answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from polyport.ports.output import OutputContext


class _App:
    """The port's ASGI app: statements go their own way, all else is read."""

    def __init__(self, context: OutputContext, read: ASGIApp) -> None:
        self.read, self.sql = read, guarded(partial(sql.answer, context), ("POST",))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        below = scope["path"].removeprefix(scope.get("root_path", ""))
        posted = scope["method"] == "POST" and below == sql.PATH
        await (self.sql if posted else self.read)(scope, receive, send)


class RestPort:
    """The REST port of a product: an `OutputPort` that is `Served`."""

    def __init__(self, context: OutputContext) -> None:
        self.context = context

    @property
    def mount(self) -> str:
        """Its path under `/products/{id}`: `/rest/v1`."""
        return f"/rest/v{self.context.spec.major}"

    def app(self) -> ASGIApp:
        """What to mount there."""
        read = guarded(partial(answer, self.context, Documents()))
        return _App(self.context, read) if self.context.sql is not None else read

    def client_line(self, base_url: str, dataset: str) -> str:
        """A `curl` command that reads the first rows of `dataset`."""
        address = f"{base_url}/{quote(dataset, safe='')}?limit=3"
        return f"curl -s {shell(address)}"

    def snippets(self, base_url: str, dataset: str) -> Mapping[str, str]:
        """Python, with nothing but its standard library."""
        address = f"{base_url}/{quote(dataset, safe='')}?limit=3"
        lines = (
            "import json, urllib.request",
            f"page = json.load(urllib.request.urlopen({address!r}))",
            f"print(page['_embedded'][{dataset!r}])",
        )
        found = {"python": "\n".join(lines)}
        if self.context.sql is not None:
            name = dataset.replace('"', '""')
            asked = json.dumps({"sql": f'SELECT count(*) FROM "{name}"'}, ensure_ascii=False)
            head = "-H 'Content-Type: application/json'"
            found["sql"] = f"curl -s {shell(base_url + '/sql')} {head} -d {shell(asked)}"
        return found
