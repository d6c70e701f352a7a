"""`polyport.yaml` as `Settings`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from polyport import expression
from polyport.descriptor import cron, schema
from polyport.descriptor.text import did_you_mean, error, is_secret_name
from polyport.descriptor.types import KEEP_RUNS, Role, RoleSettings, Settings
from polyport.descriptor.violations import short
from polyport.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from polyport.descriptor.yaml import Document
    from polyport.errors import Diagnostic
    from polyport.expression import Expression

NAME = "polyport.yaml"
MASKS = (
    "null", "hash", "partial", "partial:N", "prefix:N", "constant:TEXT", "year", "month", "round:N",
)  # fmt: skip
_MASK = re.compile(
    r"null|hash|year|month|partial(?::\d+)?|prefix:\d+|round:-?\d+|constant:.*", re.DOTALL
)
_REFERENCE = re.compile(r"\$\{[A-Za-z_]\w*(?::-[^}]*)?\}", re.ASCII)
_BARE = re.compile(r"\$\{[A-Za-z_]\w*(?::-)?\}", re.ASCII)
"""A reference without a value of its own to fall back on."""
_LOGIN = re.compile(r"://[^/@\s:]*:(?P<password>[^/@\s]+)@")
_SIGN_IN = {"bearer", "basic"}
Steps = tuple[str | int, ...]


def examine(document: Document) -> tuple[Settings | None, tuple[Diagnostic, ...]]:
    """The settings in `document`, and what is wrong with it by itself; no settings where there are errors."""
    found = schema.check(document, "settings")
    part = schema.sound(document, "settings") if found else document
    found = (*found, *_schedule(part), *_filters(part), *_masks(part), *secrets(document))
    if any(d.severity == "error" for d in found):
        return None, found
    return settings(document.value), found


def readable(found: Iterable[Diagnostic]) -> bool:
    """Whether what `examine` found leaves the document in its form: values are wrong, not fields or types."""
    return all(d.code.startswith("PP2") for d in found if d.severity == "error")


def readable_part(document: Document) -> Document:
    """What of `document` is in its form, in its place."""
    return schema.sound(document, "settings")


def hidden(document: Document) -> Document:
    """`document`, its secrets not shown."""
    return document.without(path for path, _ in _literal_secrets(document))


def examine_mesh(document: Document) -> tuple[Diagnostic, ...]:
    """What is wrong with a `mesh.yaml` by itself."""
    return (*schema.check(document, "mesh"), *secrets(document))


def settings(value: Mapping[str, Any]) -> Settings:
    """The view of a sound document."""
    kept = value.get("retention") or {}
    engine = value.get("engine") or {}
    access = value.get("access") or {}
    limits = value.get("limits") or {}
    roles = access.get("roles") or {}
    return Settings(
        schedule=value.get("schedule") or "",
        keep_snapshots=kept.get("snapshots", 0),
        keep_days=kept.get("days", 0),
        keep_runs=kept.get("runs", KEEP_RUNS),
        engine=engine.get("type", "duckdb"),
        memory=engine.get("memory", ""),
        threads=engine.get("threads", 0),
        roles={name: _role(name, node or {}) for name, node in roles.items()},
        agreements=access.get("agreements", "required"),
        requests_per_minute=limits.get("requests_per_minute", 0),
        rows_per_read=limits.get("rows_per_read", 0),
        sql=limits.get("sql", {}),
        document=value,
    )


def sight_nodes(value: Mapping[str, Any]) -> Iterator[tuple[Steps, str, str, Mapping[str, Any]]]:
    """(path, role, dataset, node) of each description of what a role sees; dataset empty: of all."""
    for role, node in ((value.get("access") or {}).get("roles") or {}).items():
        path: Steps = ("access", "roles", role)
        yield path, role, "", node or {}
        for dataset, own in ((node or {}).get("datasets") or {}).items():
            yield (*path, "datasets", dataset), role, dataset, own or {}


def filter_problem(document: Document, path: Steps, text: str) -> Diagnostic | None:
    """What is wrong with the filter under `path`, with a caret inside of it."""
    try:
        expression.parse(text)
    except QueryError as failure:
        place = document.inside(path, max(failure.column, 1), failure.message)
        fix = failure.fix or "see the grammar: `polyport explain PP240`"
        return error("PP240", f"`{short(text)}` is not a filter: {failure.message}", place, fix=fix)
    return None


def mask_kind(mask: str | None) -> str:
    """`partial` of `partial:2`; an unquoted `null` is the mask of that name."""
    return "null" if mask is None else mask.partition(":")[0]


def secrets(document: Document) -> Iterator[Diagnostic]:
    """An error for each secret that stands in the file, and each reference that is none. Never shows the secret."""
    for path, whole in _literal_secrets(document):
        label = "a secret in a file that is shared" if whole else "a password in an address"
        holder = (
            f"`{_secret_key(path)}` holds a secret itself"
            if whole
            else "an address holds a password"
        )
        fix = "write `${NAME}` to take it from the environment, or `{file: path}`"
        yield error("PP250", holder, document.value_at(path, label), fix=fix)
    for path, value in _scalars(document.value, ()):
        if "${" in _REFERENCE.sub("", value):
            place = document.value_at(path, "not a reference")
            fix = "write `${NAME}`: letters, digits and `_`"
            yield error("PP254", f"`{short(value)}` does not name a variable", place, fix=fix)


def _literal_secrets(document: Document) -> Iterator[tuple[Steps, bool]]:
    """(path, whether the whole value is the secret) of each secret that stands in the file."""
    for path, value in _scalars(document.value, ()):
        login = _LOGIN.search(value)
        if _is_secret(path) and not _BARE.search(value):
            yield path, True
        elif login and not _BARE.search(login["password"]):
            yield path, False


def _is_secret(path: Steps) -> bool:
    names = [str(step) for step in path if isinstance(step, str)]
    if "page" in names or names[-1:] == ["file"]:
        return False
    signs = "auth" in names[:-1] and (
        names[-1] in _SIGN_IN or bool({"header", "query"} & set(names[names.index("auth") : -1]))
    )
    return signs or is_secret_name(names[-1] if names else "")


def _secret_key(path: Steps) -> str:
    return next(str(step) for step in reversed(path) if isinstance(step, str))


def _scalars(value: Any, path: Steps) -> Iterator[tuple[Steps, str]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _scalars(part, (*path, key))
    elif isinstance(value, list):
        for at, part in enumerate(value):
            yield from _scalars(part, (*path, at))
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield path, str(value)


def _schedule(document: Document) -> Iterator[Diagnostic]:
    schedule = document.get("schedule")
    if isinstance(schedule, str):
        reason, column = cron.problem(schedule)
        if reason:
            place = document.inside(("schedule",), column, reason)
            fix = "minute hour day-of-month month day-of-week in UTC: `0 6 * * *`, or `{after: product}`"
            yield error("PP252", f"`{short(schedule)}` is not a schedule: {reason}", place, fix=fix)


def _filters(document: Document) -> Iterator[Diagnostic]:
    for path, _, _, node in sight_nodes(document.value):
        if "rows" in node and (wrong := filter_problem(document, (*path, "rows"), node["rows"])):
            yield wrong
    for group, name, node in _blocks(document.value):
        path = (group, name, "push") if group == "ports" else (group, name)
        where = (node.get("push") or {} if group == "ports" else node).get("where")
        ours = group == "ports" or node.get("type") == "product"
        if ours and where and (wrong := filter_problem(document, (*path, "where"), where)):
            yield wrong


def _blocks(value: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for group in ("inputs", "ports"):
        for name, node in (value.get(group) or {}).items():
            yield group, name, node or {}


def _masks(document: Document) -> Iterator[Diagnostic]:
    for path, _, _, node in sight_nodes(document.value):
        for column, mask in (node.get("mask") or {}).items():
            if mask is None or _MASK.fullmatch(mask):
                continue
            place = document.value_at((*path, "mask", column), f"one of: {', '.join(MASKS)}")
            fix = did_you_mean(mask, MASKS)
            yield error("PP242", f"no mask `{short(mask)}`", place, fix=fix)


def _role(name: str, node: Mapping[str, Any]) -> Role:
    datasets = {d: _sight(own or {}) for d, own in (node.get("datasets") or {}).items()}
    only = bool(datasets) and not node.keys() - {"datasets"}
    return Role(name, _sight(node), datasets, only)


def _sight(node: Mapping[str, Any]) -> RoleSettings:
    rows: Expression | None = expression.parse(node["rows"]) if "rows" in node else None
    return RoleSettings(
        rows=rows,
        columns=tuple(node["columns"]) if "columns" in node else None,
        mask={c: "null" if m is None else m for c, m in (node.get("mask") or {}).items()},
        purposes=frozenset(node.get("purposes") or ()),
    )
