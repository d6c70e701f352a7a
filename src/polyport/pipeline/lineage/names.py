"""What OpenLineage calls an input: the namespace and name of where it came from."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from polyport.descriptor.types import Port
    from polyport.ports.input import Received


def input_name(
    port: Port, received: Received, product: str, identify: Callable[[str], str]
) -> tuple[str, str]:
    """Namespace and name of what an input port read, as the specification's naming has it.

    Another product's dataset goes by its global identifier. Files and addresses of one port are one dataset: the file,
    or the folder that holds them all. A local file is named from the product's folder on (`films/inputs/x.csv`): the
    same on each machine, and no folder of the machine's is told.
    """
    if port.type == "product":
        named = str(port.settings.get("product", "")).rstrip("/")
        dataset = str(port.settings.get("dataset", ""))
        return (_bare(named) if "://" in named else identify(named)), dataset
    origins = list(dict.fromkeys(o.origin for o in received.objects)) or [port.name]
    if not all("://" in origin for origin in origins):
        return "file", f"{product}/{_common([o.lstrip('/') for o in origins])}"
    parts = [urlsplit(origin.partition(" ")[0]) for origin in origins]
    where = f"{parts[0].scheme}://{parts[0].netloc.rpartition('@')[2]}"
    return where, _common([part.path.lstrip("/") for part in parts]) or "/"


def _bare(address: str) -> str:
    """An address without user, query and fragment: they may hold what is secret."""
    found = urlsplit(address)
    return f"{found.scheme}://{found.netloc.rpartition('@')[2]}{found.path}"


def _common(paths: Sequence[str]) -> str:
    """The one path, or the folder that holds them all."""
    distinct = list(dict.fromkeys(paths))
    if len(distinct) == 1:
        return distinct[0]
    split = [PurePosixPath(path).parts for path in distinct]
    levels = list(zip(*split, strict=False))
    shared = next((n for n, level in enumerate(levels) if len(set(level)) > 1), len(levels))
    return "/".join(split[0][:shared])
