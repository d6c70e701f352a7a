"""Failing rows, page by page, as the viewer's policy shows them, and how many it does not show."""

from __future__ import annotations

import json as text
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pyarrow.types as pt

from polyport import expression
from polyport.access import failing
from polyport.errors import NotFoundError, PolyportError, QueryError
from polyport.ports.formats import json
from polyport.ports.formats.text import text as texts
from polyport.ports.http import pairs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    from starlette.requests import Request

    from polyport.access import View
    from polyport.access.failing import Breaking, Failing, SetAside
    from polyport.model import Principal, QualityReport, RuleResult, Snapshot
    from polyport.ports.information.quality.sight import Sight
    from polyport.ports.management import ManagementContext

LIMIT, MOST, DEEPEST = 50, 1_000, 100_000
NO_POLICY = (
    "a step refused them before they were rows of a dataset, so that no policy speaks of them: "
    "only the owner sees them"
)
FILTERED = "your roles do not show these rows"
UNFIT = "your roles do not show these rows, or cannot be applied to them"
SECRET = "(not told: it may speak of what you do not see)"  # noqa: S105 - what is said in place of a reason


@dataclass(frozen=True, slots=True)
class Asked:
    """What the query string asks for."""

    rule: str = ""
    dataset: str = ""
    set_aside: str = ""
    limit: int = LIMIT
    offset: int = 0

    @property
    def index(self) -> bool:
        """Whether it asks what there is, and not for rows."""
        return not self.rule and not self.set_aside


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that failed for one reason, and how many of them the viewer sees."""

    title: str
    dataset: str
    rows: int
    """All of them."""
    shown: int
    why: str = ""
    """Why the others are not shown."""
    rule: str = ""
    set_aside: str = ""
    columns: tuple[str, ...] = ()
    """What the rule looks at."""
    allowed: bool = False
    """Whether the rule holds all the same, for it allows so many."""
    repeated: int = 0
    """How many of them repeat an earlier row, where all that are alike are shown."""

    @property
    def hidden(self) -> int:
        """How many are not shown."""
        return max(self.rows - self.shown, 0)

    @property
    def query(self) -> str:
        """The query string that asks for its rows."""
        named = {"rule": self.rule, "dataset": self.dataset if self.rule else ""}
        given = {**named, "set_aside": self.set_aside}
        return urlencode({name: value for name, value in given.items() if value})


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a group."""

    group: Group
    table: pa.Table
    """What is seen of the rows themselves."""
    rules: Sequence[str] = ()
    """By row, where they were set aside."""
    reasons: Sequence[str] = ()
    masked: Mapping[str, str] = field(default_factory=dict)
    snapshot: str = ""
    """The one that they are in; empty where they are in none."""

    def cells(self) -> list[list[str | None]]:
        """Each row's values as text."""
        columns = [_shown(column) for column in self.table.columns]
        return [list(row) for row in zip(*columns, strict=True)] if columns else []

    def json_rows(self) -> Iterator[bytes]:
        """Each row as a JSON object: `row`, and what set it aside."""
        found = [o for b in self.table.combine_chunks().to_batches() for o in json.objects(b)]
        for at, row in enumerate(found):
            told = {"rule": self.rules[at], "reason": self.reasons[at]} if self.rules else {}
            more = "".join(f', "{k}": {text.dumps(v)}' for k, v in told.items())
            yield b'{"row": ' + row + more.encode("ascii") + b"}"


def _shown(column: pa.ChunkedArray) -> list[str | None]:
    array = column.combine_chunks()
    found: list[str | None] = (
        json.values(array) if pt.is_nested(array.type) else texts(array)
    ).to_pylist()
    return found


def asked(request: Request) -> Asked:
    """What the request asks for.

    Raises:
        QueryError: A parameter that is not known, is given twice, or has a value that cannot be.
    """
    given: dict[str, str] = {}
    for name, value in pairs(request):
        if name not in _KNOWN:
            raise QueryError(
                f"the parameter {name!r} is not known", fix=f"known: {', '.join(_KNOWN)}"
            )
        if name in given:
            raise QueryError(f"the parameter {name!r} is given twice", fix="give it once")
        given[name] = value
    if given.get("rule") and given.get("set_aside"):
        raise QueryError("rows of a rule and rows set aside are asked for apart", fix="one of them")
    return Asked(
        given.get("rule", ""),
        given.get("dataset", ""),
        given.get("set_aside", ""),
        number(given.get("limit", str(LIMIT)), "limit", 1, MOST),
        number(given.get("offset", "0"), "offset", 0, DEEPEST),
    )


_KNOWN = ("rule", "dataset", "set_aside", "limit", "offset")
_DIGITS = 9


def number(given: str, name: str, least: int, most: int) -> int:
    """The number that a parameter says.

    Raises:
        QueryError: It is none between `least` and `most`.
    """
    sound = given.isascii() and given.isdigit() and len(given) <= _DIGITS
    if not sound or not least <= int(given) <= most:
        raise QueryError(f"{name}={given!r} cannot be", fix=f"{name}: {least} to {most:,}")
    return int(given)


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds one viewer's failing rows of one report."""

    context: ManagementContext
    failing: Failing
    principal: Principal
    purpose: str
    sight: Sight
    report: QualityReport
    """As it was made; what of it is told is up to `sight`."""

    def groups(self) -> list[Group]:
        """All that failed and may be told: first what was set aside, then what breaks a rule."""
        return [*self.aside(), *self.breaking()]

    def aside(self) -> list[Group]:
        """What was set aside, counted as the viewer sees it."""
        kept = self.failing.set_aside(self.report.run)
        if not kept:
            return []
        with self._aside() as view:
            return [self._set_aside(view, each) for each in kept if self._told(each)]

    def breaking(self) -> list[Group]:
        """The rules that rows of the snapshot break; not counted here, for each count is a read."""
        told = [r for r in self.sight.of(self.report).results if self._listable(r)]
        return [_of_rule(r) for r in told]

    def page(self, wanted: Asked) -> Page:
        """The rows asked for.

        Raises:
            NotFoundError: There are none of this name, they are not kept, or they cannot be told.
            AccessError, SizeError: As `View.scan`.
        """
        self._let_in()
        return self._aside_page(wanted) if wanted.set_aside else self._rule_page(wanted)

    def _let_in(self) -> None:
        """Whoever sees nothing at all is told why, and that goes on record as for every read."""
        if self.sight.seen or self.sight.values:
            return
        with self.context.open(self.principal, purpose=self.purpose) as view:
            for name in view.snapshot.datasets:
                view.schema(name)

    # What was set aside

    def _aside(self) -> View:
        return self.failing.open(self.principal, self.report.run, purpose=self.purpose)

    def _told(self, kept: SetAside) -> bool:
        """Whether it is told that there is such a table: not by a dataset's name that is not seen."""
        if kept.name.startswith(failing.HELD) and not self.sight.values:
            return False
        return self.sight.seen is None or not kept.dataset or self.sight.sees(kept.dataset)

    def _title(self, kept: SetAside) -> str:
        first, slash, step = kept.name.partition("/")
        if kept.name.startswith(failing.HELD):
            return f"{step}: what held the build back"
        if kept.name == kept.dataset or not slash:
            return f"{first}: set aside by rules of its contract"
        if kept.dataset or self.sight.seen is None or self.sight.whole:
            return f"{step}: refused by the cleansing step"
        return "refused by a cleansing step"

    def _set_aside(self, view: View, kept: SetAside) -> Group:
        if kept.name not in view.datasets:
            why = FILTERED if kept.dataset else NO_POLICY
            return Group(self._title(kept), kept.dataset, kept.rows, 0, why)
        return self._seen(kept, failing.count(view, kept.name))

    def _seen(self, kept: SetAside, seen: int) -> Group:
        title = self._title(kept)
        why = UNFIT if seen < kept.rows else ""
        return Group(title, kept.dataset, kept.rows, seen, why, set_aside=kept.name)

    def _aside_page(self, wanted: Asked) -> Page:
        kept = {each.name: each for each in self.failing.set_aside(self.report.run)}
        found = kept.get(wanted.set_aside)
        if found is None or not self._told(found):
            raise NotFoundError(
                f"the run set nothing aside under {wanted.set_aside!r}", where=self.report.run
            )
        with self._aside() as view:
            if found.name not in view.snapshot.datasets:
                raise NotFoundError(f"rows of {found.name!r} are not shown: {NO_POLICY}")
            view.schema(found.name)  # says why, where nothing is seen
            table, seen = failing.counted_page(
                view, found.name, limit=wanted.limit, offset=wanted.offset
            )
            group = self._seen(found, seen)
            plain = failing.plain(view, found.name)
            masked = dict(view.masked(found.name))
        *own, rule, reason = table.column_names
        whole = self.sight.values or self._whole(found, plain)
        return Page(
            group,
            table.select(own),
            [self._rule(found, each) for each in table[rule].to_pylist()],
            [each if whole else SECRET for each in table[reason].to_pylist()],
            masked,
        )

    def _whole(self, kept: SetAside, plain: frozenset[str]) -> bool:
        """Whether the viewer sees all columns as they are: a reason may quote any of them."""
        promised = self.context.product.objects[kept.dataset].properties
        return plain.issuperset(p.name for p in promised)

    def _rule(self, kept: SetAside, said: str) -> str:
        """The rules that set a row aside, but for those whose words are not told."""
        if kept.name != kept.dataset or self.sight.values:
            return said
        results = {r.rule: r for r in self.report.results if r.dataset == kept.dataset}
        names = dict.fromkeys(self._name(results.get(rule)) for rule in said.split("; "))
        return "; ".join(names)

    def _name(self, result: RuleResult | None) -> str:
        may = result is not None and self.sight.may(result)
        return self.sight.told(result).rule if result is not None and may else SECRET

    # What breaks a rule

    def _listable(self, result: RuleResult) -> bool:
        """Whether single rows break it that can be asked for: they are in a snapshot, and its words are told."""
        if not result.rows_failing or result.kind == "built-in":
            return False
        if self.report.stops:
            return self.sight.values and result.status == "fail"
        return self.sight.values or (self.sight.seen is not None and self.sight.says(result))

    def _result(self, wanted: Asked) -> RuleResult:
        found = [
            r
            for r in self.sight.of(self.report).results
            if r.rule == wanted.rule and wanted.dataset in ("", r.dataset)
        ]
        if not found:
            raise NotFoundError(f"the report has no rule {wanted.rule!r}", where=self.report.run)
        if self.report.stops and not self._listable(found[0]):
            raise NotFoundError(
                "this build was held back, and these rows were not kept", where=self.report.run
            )
        if not self._listable(found[0]):
            raise NotFoundError(f"no single rows are told that break {wanted.rule!r}")
        return found[0]

    def _rule_page(self, wanted: Asked) -> Page:
        result = self._result(wanted)
        if self.report.stops:
            return self._held_page(wanted, result)
        snapshot = self.failing.snapshot(self.report.run)
        rows = self._breaking(snapshot, result)
        with self.context.open(self.principal, snapshot.id, purpose=self.purpose) as view:
            view.schema(result.dataset)  # says why, where nothing is seen
            why = failing.untold(view, rows)
            if why:
                raise NotFoundError(f"which rows break {result.rule!r} is not told: {why}")
            table, seen = failing.counted_page(
                view, result.dataset, rows, limit=wanted.limit, offset=wanted.offset
            )
            group = _counted(view, result, rows, seen)
            key = [name for name in view.dataset(result.dataset).key if name in table.column_names]
            order = dict.fromkeys((*key, *rows.columns, *table.column_names))
            masked = dict(view.masked(result.dataset))
            return Page(group, table.select(list(order)), masked=masked, snapshot=snapshot.id)

    def _held_page(self, wanted: Asked, result: RuleResult) -> Page:
        """Of the rows that held the build back those that break this rule: the owner's."""
        name = f"{failing.HELD}{result.dataset}"
        with self._aside() as view:
            if name not in view.datasets:
                raise NotFoundError("the rows of this build were not kept", where=self.report.run)
            sql = f'SELECT * FROM {expression.quote(name)} WHERE "_rule" = $held'
            rows = failing.Breaking(name, (), sql, {"held": result.rule})
            table, seen = failing.counted_page(
                view, name, rows, limit=wanted.limit, offset=wanted.offset
            )
        missing = result.rows_failing - seen
        group = replace(
            _of_rule(result),
            rows=max(result.rows_failing, seen),
            shown=seen,
            why="of each rule that held a build back so many are kept" if missing > 0 else "",
        )
        looked = [name for name in (result.column,) if name in table.column_names]
        group = replace(group, columns=tuple(looked))
        return Page(group, table.select(list(dict.fromkeys((*looked, *table.column_names[:-2])))))

    def _breaking(self, snapshot: Snapshot, result: RuleResult) -> Breaking:
        try:
            return self.failing.breaking(snapshot, result.dataset, result.rule)
        except PolyportError as error:  # the contract says something else by now
            raise NotFoundError(error.message, where=self.report.run, fix=error.fix) from error


def _of_rule(result: RuleResult) -> Group:
    holds = result.status == "pass"
    return Group(
        result.sentence, result.dataset, result.rows_failing, 0, rule=result.rule, allowed=holds
    )


def _counted(view: View, result: RuleResult, rows: Breaking, seen: int) -> Group:
    group = replace(_of_rule(result), shown=seen, columns=rows.columns)
    if rows.groups:  # a value counts once less than it is there, so no difference means anything
        if view.whole(result.dataset):
            return replace(group, rows=seen, repeated=result.rows_failing)
        return replace(group, rows=seen, why="of rows that are alike, you see your own")
    return replace(group, why=FILTERED if seen < result.rows_failing else "")


def document(page: Page, head: Mapping[str, Any]) -> bytes:
    """The page as JSON: `head`, what it is about, then the rows with every digit that they have."""
    group = page.group
    about = {
        **head,
        "title": group.title,
        "dataset": group.dataset,
        "rule": group.rule,
        **({"rows_repeated": group.repeated} if group.repeated else {}),
        "set_aside": group.set_aside,
        "snapshot": page.snapshot,
        "columns": [
            {"name": n, **({"masked": page.masked[n]} if n in page.masked else {})}
            for n in page.table.column_names
        ],
        **counted(group),
    }
    opening = text.dumps(about, ensure_ascii=False)[:-1].encode("utf-8", "replace")
    return opening + b', "rows": [' + b",\n".join(page.json_rows()) + b"]}"


def counted(group: Group) -> dict[str, Any]:
    """How many rows there are, and how many are shown."""
    return {
        "rows_all": group.rows,
        "rows_shown": group.shown,
        "rows_not_shown": group.hidden,
        **({"why_not_shown": group.why} if group.why else {}),
    }


__all__ = ["Asked", "Finder", "Group", "Page", "asked", "counted", "document"]
