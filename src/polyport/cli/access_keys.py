"""`polyport access key`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from polyport.cli import console
from polyport.cli.options import folder_argument, json_option

if TYPE_CHECKING:
    from pathlib import Path

    from polyport.access.keys import Key


@click.group()
def key() -> None:
    """API keys: of everything that the ledger at DIR serves."""


@key.command()
@click.argument("principal")
@folder_argument
@click.option("--role", "roles", multiple=True, help="A role that it has; again for more.")
@click.option("--team", "teams", multiple=True, help="A team that it belongs to; again for more.")
@click.option(
    "--attribute", "attributes", multiple=True, metavar="NAME=VALUE", help="For row filters."
)
@click.option("--expires", default="", help="90d, 12h, or a date; default: never.")
@click.option("--note", default="", help="What it is for.")
@json_option
def create(
    principal: str,
    folder: Path,
    roles: tuple[str, ...],
    teams: tuple[str, ...],
    attributes: tuple[str, ...],
    expires: str,
    note: str,
    as_json: bool,
) -> None:
    """A new key for PRINCIPAL. It is shown once."""
    from polyport.access import keys, times
    from polyport.cli.options import control_at
    from polyport.model import OWNER, Principal

    given = _attributes(attributes)
    until = times.moment(expires) if expires else None
    with control_at(folder) as control:
        made, text = keys.create(
            control,
            Principal(principal, frozenset(roles), given, frozenset(teams)),
            expires=until,
            note=note,
            by=OWNER.id,
        )
    _show(made, text, as_json=as_json)


@key.command(name="list")
@folder_argument
@json_option
def list_(folder: Path, as_json: bool) -> None:
    """The keys, oldest first; never their secrets."""
    from polyport.access import keys
    from polyport.cli.options import control_at

    now = datetime.now(UTC)
    with control_at(folder) as control:
        found = [each.record(now) for each in keys.keys(control).values()]
    if as_json:
        console.say_json(found)
        return
    if not found:
        console.talk("No keys. Next: polyport access key create PRINCIPAL --role ROLE")
        return
    header = ("key", "principal", "state", "roles", "teams", "expires", "note")
    rows = [[_cell(each["id" if name == "key" else name]) for name in header] for each in found]
    for line in console.table(header, rows):
        console.say(line)


@key.command()
@click.argument("name", metavar="ID")
@folder_argument
@click.option(
    "--grace", default="0", show_default=True, help="How long the old secret works: 1h, 2d."
)
@json_option
def rotate(name: str, folder: Path, grace: str, as_json: bool) -> None:
    """A new secret for the key ID. It is shown once."""
    from polyport.access import keys, times
    from polyport.cli.options import control_at
    from polyport.model import OWNER

    with control_at(folder) as control:
        made, text = keys.rotate(control, name, grace=times.span(grace), by=OWNER.id)
    _show(made, text, as_json=as_json)


@key.command()
@click.argument("name", metavar="ID")
@folder_argument
@json_option
def revoke(name: str, folder: Path, as_json: bool) -> None:
    """The key ID is of no use from the next request on."""
    from polyport.access import keys
    from polyport.cli.options import control_at
    from polyport.model import OWNER

    with control_at(folder) as control:
        made = keys.revoke(control, name, by=OWNER.id)
    if as_json:
        console.say_json(made.record(datetime.now(UTC)))
    else:
        console.talk(f"The key {made.id} of {made.principal} is revoked.")


def _show(made: Key, text: str, *, as_json: bool) -> None:
    """The text alone on stdout, so that it can be piped to where secrets are kept."""
    if as_json:
        console.say_json({**made.record(datetime.now(UTC)), "key": text})
        return
    console.say(text)
    until = f" until {made.expires:%Y-%m-%d %H:%M} UTC" if made.expires else ""
    roles = ", ".join(sorted(made.roles)) or "no role"
    console.talk(f"Key {made.id} for {made.principal} ({roles}){until}. It is not shown again.")


def _attributes(given: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or name in found:
            raise click.BadParameter(f"{each!r} is not a new NAME=VALUE", param_hint="--attribute")
        found[name] = value
    return found


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value or "")
