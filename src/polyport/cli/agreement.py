"""`polyport agreement`: who may read which ports, for what, until when; asked for and decided."""

from __future__ import annotations

import click

from polyport.cli.lazy import Lazy, LazyGroup

_HOME = "polyport.cli.agreement_commands"
SUBCOMMANDS = {
    "request": Lazy(_HOME, "Ask for one"),
    "list": Lazy(_HOME, "Those of a product or a mesh, and how they stand", "list_"),
    "show": Lazy(_HOME, "One, with its terms and its history"),
    "approve": Lazy(_HOME, "Let the consumer in"),
    "refuse": Lazy(_HOME, "Say no, and why"),
    "revoke": Lazy(_HOME, "End one, and say why: the next read is refused"),
    "import": Lazy(_HOME, "Take one from an OAAS file, or its new terms", "import_"),
    "export": Lazy(_HOME, "One as an OAAS document"),
}


@click.group(cls=LazyGroup, found=SUBCOMMANDS)
def agreement() -> None:
    """Data sharing agreements: who may read which ports of a product, for what, until when."""
