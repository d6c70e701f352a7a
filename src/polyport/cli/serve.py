"""`polyport serve`."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from polyport.cli import console
from polyport.cli.options import folder_argument, json_option
from polyport.descriptor.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from polyport.access.identity import Identity
    from polyport.errors import PolyportError
    from polyport.product import Product
    from polyport.server import Node


_HOW = "Put yourself for PRINCIPAL, and a key as the password; over HTTP -H 'Authorization: Bearer KEY'."
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@folder_argument
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Any but this machine's own needs a key or an issuer to log in with.",
)
@click.option(
    "--port",
    default=8400,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Where to listen.",
)
@click.option("--tls-cert", type=_FILE, help="A PEM certificate with its chain: serve https.")
@click.option("--tls-key", type=_FILE, help="Its private key, where --tls-cert does not hold it.")
@click.option(
    "--listen",
    multiple=True,
    metavar="TYPE=PORT",
    help="Where the ports of a type with a protocol of its own listen: sql=5432. May be repeated.",
)
@json_option
def serve(
    folder: Path,
    host: str,
    port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    listen: Sequence[str],
    as_json: bool,
) -> None:
    """Open every output port of the product in DIR, or of each product of a mesh."""
    from polyport import server
    from polyport.mesh import Mesh

    if tls_key and not tls_cert:
        raise click.UsageError("--tls-key needs --tls-cert")
    with ended_by_signal(), Mesh.find(folder) as mesh:
        products, wrong = mesh.readable(folder)
        for error in () if products else wrong.values():
            raise error
        at = server.Node(
            host,
            port,
            tls_cert,
            tls_key,
            mesh.identity,
            server.mesh_name(products),
            dict(map(_listened, listen)),
        )
        identify = server.login(products, at)

        def ready(addresses: Mapping[str, str], notes: Sequence[str]) -> None:
            asked = addresses if identify.local_owner else _asked(addresses)
            if as_json:
                served = [_served(product, at.base, asked) for product in products]
                console.say_json({"url": at.base, "products": served, "unserved": _unserved(wrong)})
            else:
                show_addresses(products, at.base, asked)
            show_notes(notes)
            show_wrong(wrong)
            show_login(identify, at)

        server.serve(products, at, identify=identify, unserved=tuple(wrong), ready=ready)


def _served(product: Product, base: str, addresses: Mapping[str, str]) -> dict[str, object]:
    """A product that is served, as `--json` says it: each port with its line for a shell."""
    from polyport import server

    spec = product.spec
    return {
        "id": spec.id,
        "name": spec.name,
        "url": f"{base}{server.address(spec.id)}",
        "ports": server.client_lines(product, base, addresses),
    }


def _unserved(wrong: Mapping[str, PolyportError]) -> list[dict[str, object]]:
    return [{"id": name, "error": console.error_document(error)} for name, error in wrong.items()]


def _listened(said: str) -> tuple[str, int]:
    kind, _, number = said.partition("=")
    if not kind or not number.isdecimal() or not 0 < int(number) < 1 << 16:
        raise click.UsageError(f"--listen {said}: a port's type and a TCP port, such as sql=5432")
    return kind, int(number)


def _asked(addresses: Mapping[str, str]) -> Mapping[str, str]:
    """Addresses of listening ports with a place for who logs in."""
    return {kind: at.replace("://", "://PRINCIPAL@", 1) for kind, at in addresses.items()}


def show_notes(notes: Sequence[str]) -> None:
    """What the users of listening ports should know."""
    for note in notes:
        console.talk(f"\n{console.warning(note)}")


def show_wrong(wrong: Mapping[str, PolyportError]) -> None:
    """Which products are not served, and all that is wrong with their files."""
    for name, error in wrong.items():
        console.talk(f"\n{console.bad(f'{name} is not served')}")
        error.unchanged = ""
        console.show_error(error)


def show_login(identity: Identity, at: Node) -> None:
    """Who is let in, and what to be careful of."""
    from polyport.access import keys

    if identity.local_owner:
        console.talk(console.dim("\nNo login: only this machine can reach it. Ctrl-C ends it."))
        return
    count = keys.usable(identity.control)
    issuers = list(identity.issuers.known) if identity.issuers else []
    known = [*([plural(count, "key")] if count else []), *issuers]
    if known:
        console.talk(console.dim(f"\nLogin: {', '.join(known)}. Ctrl-C ends it."))
        console.talk(console.dim(_HOW))
    else:
        fix = "polyport access key create PRINCIPAL --role ROLE"
        console.talk(f"\n{console.warning('nobody can log in yet')}: {fix}. Ctrl-C ends it.")
    if not at.local and not at.certificate:
        clear = console.warning("without TLS, keys travel in clear text")
        console.talk(f"{clear}: --tls-cert, or a proxy that has a certificate")


@contextmanager
def ended_by_signal() -> Iterator[None]:
    """Lets SIGTERM end the block as Ctrl-C does: the ledger is written, temporary folders go, the exit status is 0."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def show_addresses(
    products: Sequence[Product], base: str, addresses: Mapping[str, str] | None = None
) -> None:
    """For each product, a line a port that works when pasted."""
    from polyport import server

    for product in products:
        head = f"{console.bold(product.spec.name)}  {base}{server.address(product.spec.id)}"
        console.talk(f"\n{head}{_state(product)}")
        if not product.history():
            console.talk(
                f"  {console.warning('no snapshot yet')}: polyport build {console.pasted(product.spec.home)}"
            )
        for name, line in server.client_lines(product, base, addresses).items():
            console.talk(f"  {console.accent(name.ljust(8))} {line}")


def _state(product: Product) -> str:
    """What its state means for who reads it; empty where it is as usual."""
    from polyport.access import lifecycle

    status = lifecycle.status(product.spec)
    means = {
        **dict.fromkeys(lifecycle.PREPARED, "only its owner reads it"),
        "deprecated": "answers say so",
        "retired": "its output ports refuse",
    }
    return f"  {console.warning(status)}: {means[status]}" if status in means else ""
