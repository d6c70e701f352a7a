"""Pages for people: made on the server, one style for all, no script, nothing from another host.

A template lies beside the port that shows it and extends `base.html` here. Whatever it is given is escaped.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

from polyport.descriptor.text import plural
from polyport.ports.http import VARY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

HTML = "text/html"
_HERE = Path(__file__).parent


def page(folder: Path, template: str, values: Mapping[str, Any]) -> Response:
    """The template `folder/template` as an answer; `values` are shown as text, never as markup."""
    made = _environment(folder).get_template(template).render(values)
    return Response(made.encode("utf-8", "replace"), headers=_headers(), media_type=HTML)


@lru_cache
def _environment(folder: Path) -> Environment:
    found = Environment(
        loader=FileSystemLoader([folder, _HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["style"] = Markup(_style())  # noqa: S704 - our own file
    found.filters.update(number=number, minute=minute, plural=plural)
    return found


@lru_cache
def _style() -> str:
    return (_HERE / "style.css").read_text("utf-8")


@lru_cache
def _headers() -> dict[str, str]:
    """Only this style sheet counts: neither script nor style that came in with a value would."""
    digest = b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    policy = (
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Vary": VARY,
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": "; ".join(policy),
        "Referrer-Policy": "same-origin",
    }


def number(value: float | str | None) -> str:
    """`1,102`, `2.5`; a text as it is; a dash for nothing."""
    if value is None:
        return "–"  # noqa: RUF001 - the dash of a table
    if isinstance(value, str):
        return value
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.6g}"


def minute(at: datetime) -> str:
    """`2026-11-22 23:33 UTC`."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


__all__ = ["HTML", "minute", "number", "page"]
