"""`polyport check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from polyport.cli import console
from polyport.descriptor.text import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.descriptor.types import DataProduct
    from polyport.errors import Diagnostic

FORMATS = ("text", "json", "sarif", "github")
DIALECT = "duckdb"
"""Of the steps' SQL."""


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path(), metavar="[DIR|FILE]")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", help="What to print.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
@click.option("--definition", is_flag=True, help="Is it a data product? Clause by clause.")
@click.option("--omms", is_flag=True, help="With --definition: as a Bitol OMMS draft document.")
def check(path: Path, form: str, as_json: bool, strict: bool, definition: bool, omms: bool) -> None:
    """Find mistakes in a product's folder, a mesh, or one ODPS, ODCS or polyport.yaml file, before you build.

    Exits with 2 where there are errors, or where a clause of the definition fails.
    """
    if omms and not definition:
        raise click.UsageError("--omms goes with --definition")
    if definition and form not in ("text", "json"):
        raise click.UsageError(f"--definition has no --format {form}")
    if definition and not _define(
        path, as_json=as_json or form == "json", omms=omms, strict=strict
    ):
        sys.exit(2)
    if definition:
        return
    products, found = _examine(path)
    _print(found, "json" if as_json else form)
    if form == "text" and not as_json:
        _conclude(path, products, found, strict=strict)
    if _failing(found, strict=strict):
        sys.exit(2)


def _define(path: Path, *, as_json: bool, omms: bool, strict: bool) -> bool:
    """Print how each product stands to the definition; whether all may be called data products."""
    from polyport.access.identity import local_owner
    from polyport.mesh import Mesh
    from polyport.ports.information.definition import DefinitionPort

    with Mesh.find(path) as mesh:
        ports = [
            port
            for product in mesh.at(path)
            for port in product.management(local_owner, product.ports())
            if isinstance(port, DefinitionPort)
        ]
        documents = [port.document(details=True) for port in ports]
        if omms:
            models = [port.omms() for port in ports]
            console.say_json(models[0] if len(models) == 1 else models)
        elif as_json:
            console.say_json(documents[0] if len(documents) == 1 else documents)
        else:
            for document in documents:
                _show(document)
    failing = ("fail", "unknown") if strict else ("fail",)
    return bool(documents) and not any(d["result"] in failing for d in documents)


def _show(document: Mapping[str, Any]) -> None:
    """One product's clauses."""
    marks = {"pass": console.good("✓"), "fail": console.bad("✗"), "unknown": console.warning("?")}
    console.say(console.bold(document["product"]))
    for clause in document["clauses"]:
        console.say(f"  {marks[clause['status']]} {clause['sentence']}")
        console.say(f"      {console.dim(clause['evidence'])}")
        if clause.get("fix"):
            console.say(f"      {console.dim('fix:')} {clause['fix']}")
    states = [clause["status"] for clause in document["clauses"]]
    unknown = states.count("unknown")
    also = f", {unknown} could not be established" if unknown else ""
    console.say(f"  {states.count('pass')} of {len(states)} clauses hold{also}")


def _examine(path: Path) -> tuple[tuple[DataProduct, ...], tuple[Diagnostic, ...]]:
    from polyport import descriptor, ports
    from polyport.descriptor.mesh import is_mesh, product_folders
    from polyport.errors import NotFoundError
    from polyport.pipeline.plan import mistakes

    if not path.exists():
        raise NotFoundError(f"no file or folder {path}", fix="polyport init NAME starts a product")
    if path.is_file():
        return (), descriptor.examine_file(path)
    types = ports.names()
    if is_mesh(path):
        products, found = descriptor.examine_mesh(path, port_types=types)
        homes = product_folders(path)
    else:
        product, found = descriptor.examine(path, port_types=types)
        products, homes = (product,) if product else (), (path,)
    steps = (each for home in homes for each in mistakes(home, dialect=DIALECT))
    return products, (*found, *steps, *(each for one in products for each in _published(one)))


def _published(product: DataProduct) -> tuple[Diagnostic, ...]:
    """What the contracts change against what is published, where there is a ledger of this machine; it makes none."""
    from polyport.errors import ConfigurationError, DescriptorError
    from polyport.ledger.contracts import refusals
    from polyport.ledger.journal import read_only
    from polyport.mesh import kept_in

    try:
        state, ledger = kept_in(product.home)
    except (ConfigurationError, DescriptorError):
        return ()  # the mesh around it is wrong: checking that says how
    if ledger:
        return ()
    with read_only(state / "ledger.sqlite") as journal:
        return refusals(journal, product) if journal else ()


def _print(found: Sequence[Diagnostic], form: str) -> None:
    from polyport import __version__
    from polyport.cli import diagnostics

    if form == "json":
        console.say_json(diagnostics.to_json(found))
    elif form == "sarif":
        console.say_json(diagnostics.to_sarif(found, __version__))
    elif form == "github":
        for line in diagnostics.to_github(found):
            click.echo(line)
    elif found:
        console.say(diagnostics.render_text(found, color=console.colored(sys.stdout)))


def _failing(found: Sequence[Diagnostic], *, strict: bool) -> bool:
    return any(d.severity == "error" or (strict and d.severity == "warning") for d in found)


def _conclude(
    path: Path, products: Sequence[DataProduct], found: Sequence[Diagnostic], *, strict: bool
) -> None:
    """The last lines: what was checked and what to do next, or what is unchanged."""
    errors = [d for d in found if d.severity == "error"]
    warnings = [d for d in found if d.severity == "warning"]
    if _failing(found, strict=strict):
        counted = errors or warnings
        files = dict.fromkeys(d.places[0].file for d in counted if d.places)
        where = next(iter(files)) if len(files) == 1 else f"{len(files)} files"
        noun = "problem" if errors else "warning"
        head = click.style("error", fg="red", bold=True)
        count = console.bold(f"{plural(len(counted), noun)} in {where}")
        console.say(f"{head}: {count}; nothing was built, what is published is unchanged")
        console.say(f"explain one: polyport explain {counted[0].code}")
        return
    for product in products:
        console.say(f"{console.good('✓')} {console.bold(product.name)}: {_checked(product)}")
    if not products:
        console.say(f"{console.good('✓')} {path} is well formed")
    also = f" ({plural(len(warnings), 'warning')})" if warnings else ""
    next_step = (
        f"polyport build {console.pasted(path)}"
        if products
        else "polyport check DIR checks a whole product"
    )
    console.say(f"no errors{also}; next: {next_step}")


def _checked(product: DataProduct) -> str:
    rules = sum(len(one.rules) for one in product.objects.values())
    counted = (
        (len(product.inputs), "input port"),
        (len(product.objects), "dataset"),
        (rules, "quality rule"),
        (len(product.outputs), "output port"),
    )
    return ", ".join(plural(number, noun) for number, noun in counted)
