"""The facets of OpenLineage that an event of ours holds, each with the version of its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyport import __version__
from polyport.pipeline.sql_steps import SqlCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from polyport.descriptor.types import DataProduct, SchemaObject
    from polyport.model import Dataset, QualityReport, RuleResult
    from polyport.pipeline.lineage.columns import Origins
    from polyport.pipeline.plan import Plan
    from polyport.ports.input import Received

PRODUCER = f"https://pypi.org/project/polyport/{__version__}"
_SPEC = "https://openlineage.io/spec"
_OURS = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/"
_DIRECT = ("IDENTITY", "TRANSFORMATION", "AGGREGATION")
Facet = dict[str, Any]


def _facet(name: str, version: str, /, **content: Any) -> Facet:
    url = f"{_SPEC}/facets/{version}/{name}.json#/$defs/{name}"
    return {"_producer": PRODUCER, "_schemaURL": url, **content}


def _own(base: str, /, **content: Any) -> Facet:
    """A facet of ours: of it the specification knows only what all have."""
    return {"_producer": PRODUCER, "_schemaURL": _OURS + base, **content}


def run(name: str) -> Facet:
    """The run's own id."""
    return _own("RunFacet", id=name)


def outcome(kind: str, said: str) -> Facet:
    """How the run ended, in our words."""
    return _own("RunFacet", outcome=kind, message=said)


def engine(name: str, version: str) -> Facet:
    """What ran the SQL."""
    return _facet(
        "ProcessingEngineRunFacet",
        "1-1-1",
        name=name,
        version=version,
        openlineageAdapterVersion=__version__,
    )


def error(said: str) -> Facet:
    """Why the run failed."""
    return _facet("ErrorMessageRunFacet", "1-0-1", message=said, programmingLanguage="SQL")


def job(product: DataProduct, plan: Plan | None) -> dict[str, Facet]:
    """What the job is, whose, and its SQL: one text of all steps, in order."""
    made = {
        "jobType": _facet(
            "JobTypeJobFacet",
            "2-0-4",
            processingType="BATCH",
            integration="POLYPORT",
            jobType="JOB",
        ),
        **_about(product.purpose, product, "Job"),
    }
    steps = plan.steps if plan is not None else ()
    texts = [
        f"-- {s.where}\n{s.code.original.strip()}" for s in steps if isinstance(s.code, SqlCode)
    ]
    if texts:
        made["sql"] = _facet("SQLJobFacet", "1-1-0", query="\n\n".join(texts), dialect="duckdb")
    if product.settings.schedule:
        made["polyport_schedule"] = _own("JobFacet", schedule=product.settings.schedule)
    return made


def dataset(product: DataProduct, name: str) -> dict[str, Facet]:
    """What a dataset is, and whose."""
    promised = product.objects.get(name)
    return _about(promised.description if promised else "", product, "Dataset")


def _about(text: str, product: DataProduct, kind: str) -> dict[str, Facet]:
    made = {}
    if text:
        made["documentation"] = _facet(
            f"Documentation{kind}Facet", "1-1-0", description=text, contentType="text/plain"
        )
    team = product.document.get("team")
    named = str(team.get("name") or "") if isinstance(team, dict) else ""
    if named:
        owners = [{"name": f"team:{named}", "type": "OWNER"}]
        made["ownership"] = _facet(f"Ownership{kind}Facet", "1-0-1", owners=owners)
    return made


def version(name: str) -> dict[str, Facet]:
    """Which state of the dataset: a snapshot id, or a digest."""
    return {"version": _facet("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=name)}


def names(columns: Sequence[str]) -> Facet:
    """Columns of which only the names are known."""
    return _facet("SchemaDatasetFacet", "1-2-0", fields=[{"name": c} for c in columns])


def schema(found: pa.Schema, promised: SchemaObject | None) -> Facet:
    """Columns with their types, and what the contract says of each."""
    said = {p.name: p.description for p in promised.properties} if promised else {}
    fields = [
        {
            **_field(one),
            "ordinal_position": at,
            **({"description": d} if (d := said.get(one.name)) else {}),
        }
        for at, one in enumerate(found, 1)
    ]
    return _facet("SchemaDatasetFacet", "1-2-0", fields=fields)


def _field(one: pa.Field) -> dict[str, Any]:
    nested = [_field(one.type.field(n)) for n in range(one.type.num_fields)]
    inner = {"fields": nested} if pa.types.is_struct(one.type) else {}
    return {"name": one.name, "type": str(one.type), **inner}


def input_port(name: str, kind: str) -> Facet:
    """Through which input port it came."""
    return _own("DatasetFacet", name=name, type=kind)


def received(found: Received) -> Facet:
    """How much came."""
    size = sum(o.bytes for o in found.objects)
    return _facet(
        "InputStatisticsInputDatasetFacet", "1-0-0", size=size, fileCount=len(found.objects)
    )


def written(rows: int, sizes: Sequence[int]) -> Facet:
    """How much the snapshot holds."""
    return _facet(
        "OutputStatisticsOutputDatasetFacet",
        "1-0-2",
        rowCount=rows,
        size=sum(sizes),
        fileCount=len(sizes),
    )


def asserted(report: QualityReport, name: str) -> dict[str, Facet]:
    """What the quality rules found: which rule, whether it holds, how many rows break it; no value of the data."""
    found = [_assertion(r) for r in report.results if r.dataset == name and r.status != "listed"]
    if not found:
        return {}
    facet = _facet("DataQualityAssertionsDatasetFacet", "1-1-0", assertions=found)
    return {"dataQualityAssertions": facet}


def _assertion(result: RuleResult) -> dict[str, Any]:
    said = {
        "column": result.column,
        "description": result.sentence,
        "expected": result.expected,
        "actual": "" if isinstance(result.measured, str | None) else str(result.measured),
    }
    return {
        "assertion": result.kind,
        "name": result.rule,
        "success": result.status == "pass",
        "severity": "error" if result.severity == "error" else "warn",
        **{k: v for k, v in said.items() if v},
    }


def measured(
    found: Dataset, report: QualityReport | None, sizes: Sequence[int]
) -> dict[str, Facet]:
    """Rows, bytes, and when they last changed."""
    facts = report.tables.get(found.name) if report else None
    changed = {"lastUpdated": facts.updated_at.isoformat()} if facts else {}
    facet = _facet(
        "DataQualityMetricsDatasetFacet",
        "1-0-0",
        rowCount=found.rows,
        bytes=sum(sizes),
        fileCount=len(sizes),
        columnMetrics={},
        **changed,
    )
    return {"dataQualityMetrics": facet}


def sources(behind: Sequence[tuple[str, str]], unknown: Sequence[str]) -> Facet:
    """The datasets that a dataset is made from, and how far that is known."""
    level = "table" if unknown else "column"
    tables = [{"namespace": namespace, "name": name} for namespace, name in behind]
    why = {"reasons": list(unknown)} if unknown else {}
    return _own("DatasetFacet", level=level, inputs=tables, **why)


def columns(
    found: Mapping[str, Origins], whole: Origins, source: Callable[[str], tuple[str, str]]
) -> Facet:
    """From which input columns each column comes, and which decide on the rows."""
    fields = {
        name: {"inputFields": _inputs(origins, source)}
        for name, origins in found.items()
        if origins
    }
    return _facet(
        "ColumnLineageDatasetFacet", "1-2-0", fields=fields, dataset=_inputs(whole, source)
    )


def _inputs(origins: Origins, source: Callable[[str], tuple[str, str]]) -> list[dict[str, Any]]:
    made = []
    for (table, column), how in sorted(origins.items()):
        namespace, name = source(table)
        kind = "DIRECT" if how in _DIRECT else "INDIRECT"
        done = [{"type": kind, "subtype": how, "masking": False}]
        made.append(
            {"namespace": namespace, "name": name, "field": column, "transformations": done}
        )
    return made
