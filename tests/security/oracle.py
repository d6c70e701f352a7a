"""The access policy in plain Python: what the ports are compared with. It shares no code with `polyport.access`."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from polyport.expression import And, Attribute, Compare, In, Inside, IsNull, Like, Not, Or, columns

TEXTUAL = ("hash", "partial", "constant", "prefix")


def truth(node, row, known):  # noqa: PLR0911 - one line a form
    """True, False or None, as SQL has it."""
    match node:
        case And(terms):
            found = [truth(t, row, known) for t in terms]
            return False if False in found else None if None in found else True
        case Or(terms):
            found = [truth(t, row, known) for t in terms]
            return True if True in found else None if None in found else False
        case Not(term):
            found = truth(term, row, known)
            return None if found is None else not found
        case Inside(column, path, test, item):
            return _inside(row[column], path, test, item=item)
        case IsNull(column):
            return row[column] is None
        case In(column, values):
            return truth(Or(tuple(Compare(column, "=", v) for v in values)), row, known)
        case Like(column, pattern):
            return _compared(row[column], "like", pattern, known)
        case Compare(column, op, value):
            return _compared(row[column], op, value, known)


def _inside(value, path, test, *, item):
    for name in path:
        value = None if value is None else value[name]
    if item:
        return None if value is None else test.value in [v for v in value if v is not None]
    return truth(test, {test.column: value}, {})


def _compared(left, op, right, known):
    right = known.get(right.name) if isinstance(right, Attribute) else right
    return None if left is None or right is None else compared(left, op, right)


def compared(left, op, right):
    """One comparison of two values that are there."""
    if op == "like":
        parts = {"%": ".*", "_": "."}
        pattern = "".join(parts.get(c) or re.escape(c) for c in right)
        return re.fullmatch(pattern, left, re.DOTALL) is not None
    return {
        "=": left == right,
        "!=": left != right,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
    }[op]


def text(value):
    """A value as SQL casts it to text."""
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case date():
            return value.isoformat()
        case _:
            return str(value)


def masked(mask, value, salt):  # noqa: PLR0911 - one line a mask
    """What stands in the place of `value`."""
    kind, _, argument = mask.partition(":")
    if kind == "constant":
        return argument
    if value is None or kind == "null":
        return None
    match kind:
        case "hash":
            return hashlib.sha256((salt + text(value)).encode()).hexdigest()[:16]
        case "partial":
            return text(value)[: int(argument or 1)] + "***"
        case "prefix":
            return text(value)[: int(argument or 1)]
        case "year":
            return value.replace(month=1, day=1)
        case "month":
            return value.replace(day=1)
        case "round":
            found = Decimal(value).quantize(Decimal(1).scaleb(int(argument)), ROUND_HALF_UP)
            return found if isinstance(value, Decimal) else int(found)


def in_force(agreement, now):
    """Whether an agreement lets anybody in at that time: from its start on, and at its end no more."""
    begun = agreement["starts"] is None or agreement["starts"] <= now
    over = agreement["ends"] is not None and agreement["ends"] <= now
    return agreement["decision"] == "approved" and begun and not over


def let_in(agreements, principal, purpose, port, *, required, now):
    """Role -> the columns that it is limited to (None: no limit), and the purpose; no role: not let in."""
    theirs = [
        a
        for a in agreements
        if in_force(a, now)
        and (a["user"] == principal.id if a["user"] else a["team"] in principal.teams)
        and {"*", port} & set(a["ports"])
    ]
    different = {a["purpose"].lower() for a in theirs}
    meant = purpose.lower() or (min(different) if len(different) == 1 else "")
    counting = [a for a in theirs if a["purpose"].lower() == meant]
    if not counting:
        return ({} if required else dict.fromkeys(principal.roles)), purpose
    roles = {}
    for each in counting:
        for role in set(each["roles"] or principal.roles) - {"owner", "platform"}:
            known = roles.get(role, set())
            roles[role] = (
                None if known is None or not each["columns"] else known | {*each["columns"]}
            )
    return roles, counting[0]["purpose"]


class Sight:
    """What a principal sees of one dataset, come in with `admitted`: role -> its limit on columns, or None."""

    def __init__(self, names, roles, principal, purpose, dataset, *, promised, salt, admitted):
        self.salt, self.known = salt, {**principal.attributes, "id": principal.id}
        self.grants = []
        for name, limit in sorted(admitted.items()):
            settings = self._settings(roles.get(name), dataset)
            if settings is None:
                continue
            if settings.purposes and purpose.lower() not in {p.lower() for p in settings.purposes}:
                continue
            if settings.rows is not None and not set(columns(settings.rows)) <= set(names):
                continue
            shown = [n for n in names if self._shows(settings, n, promised)]
            if limit is not None:
                shown = [n for n in shown if n in limit or f"{dataset}.{n}" in limit]
            if shown:
                self.grants.append((settings, shown))
        self.columns = [n for n in names if any(n in shown for _, shown in self.grants)]

    @staticmethod
    def _settings(role, dataset):
        if role is None or (role.only and dataset not in role.datasets):
            return None
        return role.datasets.get(dataset, role.default)

    @staticmethod
    def _shows(settings, name, promised):
        if settings.columns is not None:
            return name in settings.columns
        return not settings.mask or name in promised

    def rows(self, table):
        """The rows seen, each with what is shown of it."""
        seen = []
        for row in table:
            here = [
                g for g in self.grants if g[0].rows is None or truth(g[0].rows, row, self.known)
            ]
            if here:
                seen.append({name: self._cell(name, row, here) for name in self.columns})
        return seen

    def is_text(self, name):
        """Whether a mask makes text of a column, whatever it was."""
        with_it = [g for g in self.grants if name in g[1]]
        raw = [g for g in with_it if name not in g[0].mask]
        if any(g[0].rows is None for g in raw) or len(raw) == len(self.grants):
            return False
        kinds = [g[0].mask[name].partition(":")[0] for g in with_it if name in g[0].mask]
        return any(kind in TEXTUAL for kind in kinds)

    def _cell(self, name, row, here):
        shown = [g for g in here if name in g[1]]
        if any(name not in g[0].mask for g in shown):
            value = row[name]
        elif shown:
            value = masked(shown[0][0].mask[name], row[name], self.salt)
        else:
            return None
        return text(value) if self.is_text(name) else value
