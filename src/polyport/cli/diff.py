"""`polyport diff`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from polyport.cli import console
from polyport.cli.options import json_option, one_product

if TYPE_CHECKING:
    from polyport.access import View

SIGNS = {
    "added": ("+", console.good),
    "removed": ("-", console.bad),
    "changed": ("~", console.warning),
}


@click.command()
@click.argument(
    "paths", nargs=-1, type=click.Path(path_type=Path, exists=True), metavar="[NEW] [DIR]"
)
@click.option(
    "--from",
    "before",
    default="",
    metavar="REF",
    help="Default: the snapshot before; of a contract, what was published before it last changed.",
)
@click.option(
    "--to",
    "after",
    default="",
    metavar="REF",
    help="Default: latest; of a contract, what stands in its file.",
)
@click.option("--dataset", default="", help="Only this dataset.")
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(min=0),
    help="Rows shown of each dataset; 0: only counts.",
)
@click.option(
    "--contract",
    default="",
    metavar="OLD",
    help="Contracts instead of snapshots: an ODCS or ODPS file, or the id of a contract of the product in DIR, "
    "against the file NEW or the product's own; exits with 1 where a change is breaking.",
)
@json_option
def diff(
    paths: tuple[Path, ...],
    before: str,
    after: str,
    dataset: str,
    limit: int,
    contract: str,
    as_json: bool,
) -> None:
    """What changed between two snapshots of the product in DIR. A REF is a sequence, an id, a tag or a time."""
    new_file, folder = _told(paths)
    if contract:
        from polyport.cli.differences import difference

        difference(contract, (new_file, folder), refs=(before, after), as_json=as_json)
        return
    if new_file:
        raise click.BadParameter(f"{new_file} is a file; a contract is compared by --contract OLD")
    from polyport.errors import NotFoundError
    from polyport.model import LATEST, OWNER

    with one_product(folder or Path()) as product:
        new = product.store.snapshot(product.spec.id, after or LATEST)
        if not before and new.parent is None:
            raise NotFoundError(
                f"snapshot {new.sequence} is the first",
                fix="build again, then there is a difference",
            )
        with (
            product.open(OWNER, before or new.parent or "") as old,
            product.open(OWNER, new.id) as view,
        ):
            both = [n for n in view.snapshot.datasets if n in old.snapshot.datasets]
            names = [view.dataset(dataset).name] if dataset else both
            found = {name: _changes(old, view, name, limit) for name in names}
            found = {name: change for name, change in found.items() if change["counts"]}
            if as_json:
                console.say_json(
                    {"from": old.snapshot.sequence, "to": view.snapshot.sequence, "datasets": found}
                )
                return
            _show(old.snapshot.sequence, view.snapshot.sequence, found)


def _told(paths: tuple[Path, ...]) -> tuple[Path | None, Path | None]:
    """The file and the folder among `paths`, at most one of each."""
    files = [path for path in paths if path.is_file()]
    folders = [path for path in paths if not path.is_file()]
    if len(files) > 1 or len(folders) > 1:
        raise click.UsageError("one file and one folder at most")
    return next(iter(files), None), next(iter(folders), None)


def _changes(old: View, new: View, name: str, limit: int) -> dict[str, Any]:
    from polyport.ports.formats.listed import records

    counts = new.count_changes(old, name)
    rows: list[dict[str, Any]] = []
    if counts and limit:
        with new.changes(old, name) as reader:
            for batch in reader:
                rows += records(batch.slice(0, limit - len(rows)))
                if len(rows) >= limit:
                    break
    return {"key": new.dataset(name).key, "counts": counts, "rows": rows}


def _show(old: int, new: int, found: dict[str, Any]) -> None:
    if not found:
        console.say(f"No rows differ between snapshots {old} and {new}.")
    for name, change in found.items():
        counts = "  ".join(f"{SIGNS[k][0]}{n:,} {k}" for k, n in sorted(change["counts"].items()))
        console.say(
            f"{console.bold(name)}  {counts}  {console.dim(f'from snapshot {old} to {new}')}"
        )
        for row in change["rows"]:
            console.say("  " + _line(change["key"], row))
        rest = sum(change["counts"].values()) - len(change["rows"])
        if rest > 0:
            console.talk(
                console.dim(f"  … {rest:,} more; --limit {len(change['rows']) + rest} shows all")
            )


def _line(key: tuple[str, ...], row: dict[str, Any]) -> str:
    sign, style = SIGNS[row["_change"]]
    before, after = row["before"], row["after"]
    shown = after or before
    name = " ".join(console.cell(shown[k]) for k in key)
    if row["_change"] == "changed":
        names = dict.fromkeys((*before, *after))
        parts = [
            f"{n}: {console.dim(console.cell(before.get(n)) or 'none')} → {console.cell(after.get(n)) or 'none'}"
            for n in names
            if before.get(n) != after.get(n)
        ]
    else:
        parts = [
            f"{n}={console.cell(v)}" for n, v in shown.items() if n not in key and v is not None
        ][:6]
    return f"{style(sign)} {console.accent(name)}  {', '.join(parts)}"
