"""A new data product, small and whole."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

from polyport.descriptor.text import shown_path
from polyport.descriptor.write import dump
from polyport.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_LONGEST = 60
_SAMPLE = """\
date,place,count,price
2026-01-05,Harbour,12,4.50
2026-01-05,Market,30,3.90
2026-01-06,Harbour,9,4.50
2026-01-06,Market,,3.90
"""


def scaffold(name: str, parent: Path) -> Path:
    """The folder of a new data product `name` in `parent`: it has no errors, no warnings, and builds.

    Raises:
        ConfigurationError: The name cannot be one, or its folder exists and is not empty.
        StoreError: The folder cannot be written.
    """
    _check_name(name)
    home = parent / name
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        fix = "choose another name, or another folder with --dir"
        raise ConfigurationError(f"{shown_path(home)} exists already", where=str(home), fix=fix)
    made = not home.exists()
    try:
        for path, text in _files(name).items():
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_text(text, encoding="utf-8")
    except OSError as failure:
        if made:
            shutil.rmtree(home, ignore_errors=True)
        reason = failure.strerror or type(failure).__name__
        raise StoreError(
            f"cannot write {shown_path(home)}: {reason}",
            where=str(home),
            fix="choose a folder with --dir",
        ) from failure
    return home


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) and len(name) <= _LONGEST:
        return
    words = re.findall(r"[a-z0-9]+", name.lower())
    better = "-".join(words).lstrip("0123456789-")[:_LONGEST].rstrip("-")
    fix = f"try: polyport init {better}" if better else "use letters a-z, digits and hyphens"
    message = f"{name!r} cannot be a product's name: it is lower-case words joined by hyphens"
    raise ConfigurationError(message, fix=fix)


def _files(name: str) -> dict[str, str]:
    dataset = name.replace("-", "_")
    return {
        "dataproduct.odps.yaml": dump(_product(name)),
        f"contracts/{name}.odcs.yaml": dump(_contract(name, dataset)),
        "polyport.yaml": _settings(),
        "inputs/sales.csv": _SAMPLE,
        f"transform/{dataset}.sql": _sql(),
        "README.md": f"# {_title(name)}\n\nA data product. `polyport check`, `polyport build`, `polyport serve`.\n",
    }


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()


def _product(name: str) -> dict[str, Any]:
    outputs = [
        {"name": kind, "type": kind, "version": "1.0.0", "contractId": name}
        for kind in ("rest", "files")
    ]
    return {
        "apiVersion": "v1.1.0",
        "kind": "DataProduct",
        "id": name,
        "name": _title(name),
        "version": "0.1.0",
        "status": "active",
        "domain": "Sales",
        "description": {"purpose": "Say here what the data is for."},
        "inputPorts": [{"name": "sales"}],
        "outputPorts": outputs,
    }


def _contract(name: str, dataset: str) -> dict[str, Any]:
    def column(name: str, logical: str, physical: str, text: str, **more: Any) -> dict[str, Any]:
        return {
            "name": name, "logicalType": logical, "physicalType": physical, "description": text, **more,
        }  # fmt: skip

    filled = {"type": "library", "metric": "nullValues", "mustBe": 0}
    some = {"type": "library", "metric": "rowCount", "mustBeGreaterThan": 0}
    key: dict[str, Any] = {"required": True, "primaryKey": True}
    return {
        "apiVersion": "v3.2.0",
        "kind": "DataContract",
        "id": name,
        "name": _title(name),
        "version": "1.0.0",
        "status": "draft",
        "schema": [
            {
                "name": dataset,
                "description": "Sales, one row a day and place.",
                "properties": [
                    column("date", "date", "DATE", "The day.", **key, primaryKeyPosition=1),
                    column("place", "string", "VARCHAR", "Where.", **key, primaryKeyPosition=2),
                    column("count", "integer", "INTEGER", "Pieces sold.", quality=[filled]),
                    column("revenue", "number", "DECIMAL(18,2)", "In euros."),
                ],
                "quality": [some],
            }
        ],
    }


def _settings() -> str:
    head = "# How this product runs. Every setting is optional: docs/reference/settings.md\n"
    document = {
        "inputs": {"sales": {"type": "files", "path": "inputs/*.csv"}},
        "access": {"roles": {"reader": {}}},
    }
    return head + dump(document)


def _sql() -> str:
    return """\
-- One SELECT makes one table. `sales` is the input port of that name.
SELECT
    date,
    place,
    coalesce(count, 0) AS count,
    (coalesce(count, 0) * price)::DECIMAL(18, 2) AS revenue
FROM sales
"""
