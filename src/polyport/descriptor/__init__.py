"""What a product says: Bitol ODPS and ODCS documents, and `polyport.yaml`. Read, checked, written back.

What is heavy to import comes with the first use: `polyport.descriptor.types` stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyport.descriptor.loading import (
        examine,
        examine_file,
        failure,
        load,
        product_files,
    )
    from polyport.descriptor.mesh import examine_mesh, product_folders, read_mesh
    from polyport.descriptor.write import dump
    from polyport.descriptor.yaml import read

_HOMES = {
    "dump": "write", "examine": "loading", "examine_file": "loading", "examine_mesh": "mesh",
    "load": "loading", "product_folders": "mesh", "read_mesh": "mesh",
    "failure": "loading", "product_files": "loading", "read": "yaml",
}  # fmt: skip
__all__ = [
    "dump", "examine", "examine_file", "examine_mesh", "failure", "load", "product_files",
    "product_folders", "read", "read_mesh",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
