"""Lineage as a graph: which datasets and columns came from which, over the events that the journal keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from polyport.ledger.journal import Journal
    from polyport.model import Entry

Direction: TypeAlias = Literal["up", "down", "both"]
Event: TypeAlias = "Mapping[str, Any]"
COMPLETE = "COMPLETE"


class Node(NamedTuple):
    """A dataset, or a column of one."""

    namespace: str
    """A product's global identifier, or where a raw source lies."""
    name: str
    column: str = ""

    @property
    def dataset(self) -> Node:
        """The dataset that it is, or is a column of."""
        return Node(self.namespace, self.name)


class Edge(NamedTuple):
    """`target` is made from `source`."""

    source: Node
    target: Node
    kind: str = ""
    """Of columns: IDENTITY, TRANSFORMATION, AGGREGATION; FILTER, JOIN, GROUP_BY, SORT. Of datasets: empty."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes and the edges between them."""

    nodes: frozenset[Node]
    edges: frozenset[Edge]


def events(journal: Journal, *, product: str | None = None, run: str = "") -> list[Entry]:
    """The entries of the events, oldest first; of one run where it is given."""
    found = journal.entries("lineage", product=product, name=run or None)
    return [entry for entry in found if "eventType" in entry.document]


def standing(entries: Iterable[Entry], *, product: str = "", snapshot: str = "") -> list[Event]:
    """The newest COMPLETE event of each product; of `product` that of `snapshot` (its id), where one is given."""
    newest: dict[str, Event] = {}
    for entry in entries:
        event = entry.document
        if event["eventType"] != COMPLETE:
            continue
        if snapshot and entry.product == product and _snapshot(event) != snapshot:
            continue
        newest[entry.product] = event
    return list(newest.values())


def _snapshot(event: Event) -> str:
    versions = [o["facets"]["version"]["datasetVersion"] for o in event["outputs"]]
    return versions[0] if versions else ""


def graph(found: Iterable[Event]) -> Graph:
    """All that the events tell: datasets and columns."""
    nodes: set[Node] = set()
    edges: set[Edge] = set()
    for event in found:
        for given in event["inputs"]:
            nodes |= set(_nodes(given))
        for made in event["outputs"]:
            nodes |= set(_nodes(made))
            edges |= set(_edges(made))
    nodes |= {end for edge in edges for end in (edge.source, edge.target)}
    return Graph(frozenset(nodes), frozenset(edges))


def _nodes(dataset: Mapping[str, Any]) -> Iterable[Node]:
    yield Node(dataset["namespace"], dataset["name"])
    for one in dataset.get("facets", {}).get("schema", {}).get("fields", ()):
        yield Node(dataset["namespace"], dataset["name"], one["name"])


def _edges(made: Mapping[str, Any]) -> Iterable[Edge]:
    target, facets = Node(made["namespace"], made["name"]), made["facets"]
    for one in facets.get("polyport_lineage", {}).get("inputs", ()):
        yield Edge(Node(one["namespace"], one["name"]), target)
    traced = facets.get("columnLineage", {})
    for column, one in traced.get("fields", {}).items():
        for source in one["inputFields"]:
            end = Node(target.namespace, target.name, column)
            yield Edge(_field(source), end, source["transformations"][0]["subtype"])
    for source in traced.get("dataset", ()):
        yield Edge(_field(source), target, source["transformations"][0]["subtype"])


def _field(one: Mapping[str, str]) -> Node:
    return Node(one["namespace"], one["name"], one["field"])


def walk(
    whole: Graph, start: Sequence[Node], *, direction: Direction = "both", depth: int = 0
) -> Graph:
    """What lies up- and downstream of `start`, at most `depth` edges away (0: all the way).

    From datasets over datasets, from columns over columns. What decides on all rows of a dataset (a filter, a join)
    is upstream of the dataset, not of each of its columns.
    """
    used: set[Edge] = set()
    seen: set[Node] = set(start)
    for way in ("up", "down"):
        if direction in (way, "both"):
            reached, taken = _walk(whole, start, up=way == "up", depth=depth)
            seen |= reached
            used |= taken
    return Graph(frozenset(seen), frozenset(used))


def _walk(
    whole: Graph, start: Sequence[Node], *, up: bool, depth: int
) -> tuple[set[Node], set[Edge]]:
    by: dict[Node, list[Edge]] = {}
    for edge in whole.edges:
        if bool(edge.source.column) == bool(edge.target.column):
            by.setdefault(edge.target if up else edge.source, []).append(edge)
    seen, taken, front, steps = set(start), set[Edge](), list(start), 0
    while front and (steps < depth or not depth):
        found = [edge for node in front for edge in by.get(node, ())]
        taken |= set(found)
        front = [
            n for n in dict.fromkeys(e.source if up else e.target for e in found) if n not in seen
        ]
        seen |= set(front)
        steps += 1
    return seen, taken


def only(whole: Graph, may: Callable[[Node], bool]) -> Graph:
    """The part of the graph whose nodes `may` be told."""
    nodes = frozenset(filter(may, whole.nodes))
    edges = frozenset(e for e in whole.edges if e.source in nodes and e.target in nodes)
    return Graph(nodes, edges)


def chosen(whole: Graph, namespace: str, *, dataset: str = "", column: str = "") -> list[Node]:
    """Where a walk begins: a product's datasets, one of them, or one column."""
    return sorted(
        n
        for n in whole.nodes
        if n.namespace == namespace and (not dataset or n.name == dataset) and n.column == column
    )


def as_document(shown: Graph) -> dict[str, Any]:
    """The graph as plain values for JSON; a node's `id` is what edges name it by."""
    return {
        "nodes": [
            {
                "id": _id(n),
                "namespace": n.namespace,
                "dataset": n.name,
                **({"column": n.column} if n.column else {}),
            }
            for n in sorted(shown.nodes)
        ],
        "edges": [
            {
                "from": _id(e.source),
                "to": _id(e.target),
                **({"kind": e.kind} if e.kind else {}),
            }
            for e in sorted(shown.edges)
        ],
    }


def _id(node: Node) -> str:
    return "#".join(filter(None, (f"{node.namespace}/{node.name}", node.column)))
