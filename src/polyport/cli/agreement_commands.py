"""The commands of `polyport agreement`."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from polyport.cli import console
from polyport.cli.options import folder_argument, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from polyport.access.agreements import Agreement, Decision
    from polyport.access.deciding import Desk
    from polyport.errors import Diagnostic
    from polyport.mesh import Mesh
    from polyport.product import Product

BY = "owner"
"""Who uses the command line is who has the folder."""


@click.command()
@click.argument("product")
@folder_argument
@click.option(
    "--port",
    "ports",
    multiple=True,
    required=True,
    help="An output port; '*': all. May be repeated.",
)
@click.option("--purpose", required=True, help="What the data is for.")
@click.option("--user", default="", help="The person or system that reads.")
@click.option("--team", default="", help="The team that reads, or that the --product is of.")
@click.option("--product", "consumer", default="", help="The data product that reads.")
@click.option("--role", "roles", multiple=True, help="A role of the policy. May be repeated.")
@click.option("--columns", default="", help="Only these, with commas between; default: all.")
@click.option("--from", "start", default="", metavar="TIME", help="2026-07-01; default: now.")
@click.option("--until", "end", default="", metavar="TIME", help="Exclusive; default: open.")
@click.option("--note", default="", metavar="TEXT", help="How the data will be used.")
@json_option
def request(
    product: str,
    folder: Path,
    ports: tuple[str, ...],
    purpose: str,
    user: str,
    team: str,
    consumer: str,
    roles: tuple[str, ...],
    columns: str,
    start: str,
    end: str,
    note: str,
    as_json: bool,
) -> None:
    """Ask for a data sharing agreement on PRODUCT, of the mesh at DIR; its owner decides."""
    from polyport.descriptor.agreement import COLUMNS, PORTS
    from polyport.mesh import Mesh

    with Mesh.find(folder) as mesh:
        provider = mesh.product(product)
        named = [name.strip() for name in columns.split(",") if name.strip()]
        own = [(PORTS, list(ports))] if len(ports) > 1 else []
        own += [(COLUMNS, named)] if named else []
        document: dict[str, Any] = {
            "description": {"purpose": purpose, **({"usage": note} if note else {})},
            "provider": {"outputPortId": ports[0]},
            "consumer": _consumer(mesh, user, team, consumer),
            **({"roles": [{"role": role} for role in roles]} if roles else {}),
            **({"startTimestamp": _time(start)} if start else {}),
            **({"endTimestamp": _time(end)} if end else {}),
            **({"customProperties": [{"property": n, "value": v} for n, v in own]} if own else {}),
        }
        made, warnings = provider.desk().request(document, by=BY)
        _say(provider.desk(), made, warnings, as_json=as_json)
        if not as_json:
            console.talk(f"next: polyport agreement approve {made.id}")


@click.command()
@folder_argument
@json_option
def list_(folder: Path, as_json: bool) -> None:
    """The agreements of the product or mesh at DIR, and how they stand."""
    from polyport.access.agreements import agreements

    now = _now()
    with _products(folder) as products:
        found = [a for p in products for a in agreements(p.control, p.spec.id).values()]
        if as_json:
            desks = {p.spec.id: p.desk() for p in products}
            console.say_json([_document(desks[a.product], a) for a in found])
            return
    if not found:
        console.talk("None yet. Next: polyport agreement request PRODUCT --purpose PURPOSE")
        return
    rows = [
        (a.id, a.product, ", ".join(a.ports), a.consumer_name, a.purpose, a.state(now), _until(a))
        for a in found
    ]
    header = ("agreement", "product", "ports", "consumer", "purpose", "state", "until")
    for line in console.table(header, rows):
        console.say(line)


@click.command()
@click.argument("name", metavar="ID")
@folder_argument
@json_option
def show(name: str, folder: Path, as_json: bool) -> None:
    """The agreement ID of the product or mesh at DIR: its terms, and who did what when."""
    with _found(name, folder) as (desk, found):
        _say(desk, found, as_json=as_json)


def _deciding(decision: Decision, summary: str) -> click.Command:
    """The command by which the agreement ID comes to `decision`."""

    @click.command(help=summary)
    @click.argument("name", metavar="ID")
    @folder_argument
    @click.option("--note", default="", metavar="TEXT", help="Why; kept in the history.")
    @json_option
    def decide(name: str, folder: Path, note: str, as_json: bool) -> None:
        with _found(name, folder) as (desk, found):
            made = desk.decide(name, decision, by=BY, note=note, after=found.seq)
            _say(desk, made, as_json=as_json)

    return decide


approve = _deciding(
    "approved", "Approve the agreement ID: its consumer is let in from its start on."
)
refuse = _deciding("refused", "Refuse the agreement ID; --note says why.")
revoke = _deciding(
    "revoked",
    "Revoke the agreement ID; --note says why. The next read is refused, and open ones end.",
)


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@folder_argument
@json_option
def import_(file: Path, folder: Path, as_json: bool) -> None:
    """Take the OAAS document FILE (YAML or JSON) into the mesh at DIR.

    As its status says; of an agreement that there is already: its new terms.
    """
    from polyport import descriptor
    from polyport.access.agreements import agreements
    from polyport.mesh import Mesh

    document, _ = descriptor.read(file)
    found = descriptor.examine_file(file)
    if document is None or any(d.severity == "error" for d in found):
        raise descriptor.failure(found, file)
    value = document.value
    with Mesh.find(folder) as mesh:
        product = mesh.product(value["provider"]["dataProductId"])
        desk = product.desk()
        warnings: Sequence[Diagnostic]
        if value["id"] in agreements(product.control, product.spec.id):
            made, warnings = desk.change(value["id"], value, by=BY)
        else:
            warnings = desk.checked(value)
            made = desk.take(value, by=BY) or desk.get(value["id"])
        _say(desk, made, warnings, as_json=as_json)


@click.command()
@click.argument("name", metavar="ID")
@folder_argument
@click.option("--to", type=click.Path(path_type=Path), help="A file; default: stdout.")
@json_option
def export(name: str, folder: Path, to: Path | None, as_json: bool) -> None:
    """The agreement ID of the product or mesh at DIR as an OAAS document, in YAML."""
    import json

    from polyport.descriptor import dump

    with _found(name, folder) as (desk, found):
        document = _document(desk, found)
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n" if as_json else dump(document)
    if to is None:
        click.echo(text, nl=False)
    else:
        to.write_text(text, "utf-8")
        console.talk(f"wrote {to}")


@contextmanager
def _products(folder: Path) -> Iterator[list[Product]]:
    from polyport.mesh import Mesh

    with Mesh.find(folder) as mesh:
        found, wrong = mesh.readable(folder)
        if not (found or wrong):
            found, wrong = mesh.readable(mesh.root)
        for error in () if found else wrong.values():
            raise error
        yield list(found)


@contextmanager
def _found(name: str, folder: Path) -> Iterator[tuple[Desk, Agreement]]:
    """The one agreement with the id `name`, and where it is decided on."""
    from polyport.access.agreements import agreements
    from polyport.errors import ConfigurationError, NotFoundError

    with _products(folder) as products:
        holding = [p for p in products if name in agreements(p.control, p.spec.id)]
        if not holding:
            raise NotFoundError(
                f"no data sharing agreement {name!r}",
                where=str(folder),
                fix=f"polyport agreement list {console.pasted(folder)}",
            )
        if len(holding) > 1:
            homes = " or ".join(str(p.spec.home) for p in holding)
            raise ConfigurationError(
                f"{len(holding)} products have an agreement {name!r}",
                where=str(folder),
                fix=f"name the product's folder: {homes}",
            )
        desk = holding[0].desk()
        yield desk, desk.get(name)


def _consumer(mesh: Mesh, user: str, team: str, product: str) -> dict[str, str]:
    from polyport.access.deciding import team as team_of

    if product and not team and product in mesh.homes:
        team = team_of(mesh.product(product).spec)
    named = {"teamId": team, "dataProductId": product, "userId": user}
    return {key: value for key, value in named.items() if value}


def _time(text: str) -> str:
    """An RFC 3339 time; of a date alone: its beginning, in UTC."""
    return f"{text}T00:00:00Z" if len(text) == len("2026-07-01") else text


def _now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)


def _document(desk: Desk, found: Agreement) -> dict[str, Any]:
    from polyport.access.agreements import document, history

    return document(found, history(desk.control, desk.product.id, found.id), _now())


def _until(found: Agreement) -> str:
    return f"{found.ends:%Y-%m-%d %H:%M}" if found.ends else ""


def _say(
    desk: Desk,
    found: Agreement,
    warnings: Sequence[Diagnostic] = (),
    *,
    as_json: bool,
) -> None:
    from polyport.access.agreements import history

    for each in warnings:
        console.talk(console.warning(f"warning: {each.message} ({each.fix})"))
    if as_json:
        console.say_json(_document(desk, found))
        return
    state = found.state(_now())
    console.say(f"{console.bold(found.id)}  {state}")
    terms = (
        ("product", found.product),
        ("ports", ", ".join(found.ports)),
        ("consumer", found.consumer_name),
        ("purpose", found.purpose),
        ("roles", ", ".join(found.roles) or "those of the consumer"),
        ("columns", ", ".join(found.columns) or "all of the roles"),
        ("from", f"{found.starts:%Y-%m-%d %H:%M} UTC" if found.starts else "at once"),
        ("until", f"{_until(found)} UTC" if found.ends else "without end"),
    )
    for name, value in terms:
        console.say(f"  {console.dim(name.ljust(9))} {console.cell(value)}")
    console.say()
    entries = history(desk.control, desk.product.id, found.id)
    rows = [
        (f"{e.at:%Y-%m-%d %H:%M:%S} UTC", e.by, e.document["decision"], e.document.get("note", ""))
        for e in entries
    ]
    for line in console.table(("when", "who", "what", "note"), rows):
        console.say(f"  {line}")
