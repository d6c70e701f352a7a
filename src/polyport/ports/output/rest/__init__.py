"""REST: each dataset as pages, rows and groups, with links from the port's root to every row (HAL), told in OpenAPI."""

from __future__ import annotations

from functools import partial
from shlex import quote as shell
from typing import TYPE_CHECKING
from urllib.parse import quote

from polyport.ports.http import guarded
from polyport.ports.output.rest.handlers import Documents, answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp

    from polyport.ports.output import OutputContext


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
        return guarded(partial(answer, self.context, Documents()))

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
        return {"python": "\n".join(lines)}
