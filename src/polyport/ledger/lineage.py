"""Lineage as a graph: which datasets and columns came from which, over the events that the journal keeps."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from polyport.ledger.journal import Journal
    from polyport.model import Entry

Direction: TypeAlias = Literal["up", "down", "both"]
Event: TypeAlias = "Mapping[str, Any]"
COMPLETE = "COMPLETE"
_AT_ONCE = 8
"""Entries that are looked at together, from the end of a product's."""


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


class Standing:
    """The newest COMPLETE event of each product, in memory, and read on as the journal grows. Safe over threads."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._position = -1
        self._events: dict[str, Event] = {}
        self._graph: Graph | None = None

    def events(self) -> Mapping[str, Event]:
        """Product -> its newest COMPLETE event; products that never had one are left out.

        Raises:
            StoreError: The journal cannot be read.
        """
        with self._lock:
            self._read_on()
            return dict(self._events)

    def graph(self) -> Graph:
        """All that these events tell.

        Raises:
            StoreError: The journal cannot be read.
        """
        with self._lock:
            self._read_on()
            if self._graph is None:
                self._graph = graph(self._events.values())
            return self._graph

    def _read_on(self) -> None:
        newest, after = self._journal.position(), self._position
        if newest == after:
            return
        if after < 0 or self._journal.entries("erasure", after=after):  # that changes older entries
            names = self._journal.products("lineage")
            found = {name: _completed(self._journal, name) for name in names}
            self._events, self._graph = {n: e for n, e in found.items() if e is not None}, None
        else:
            for entry in self._journal.entries("lineage", after=after):
                if _is_complete(entry):
                    self._events[entry.product], self._graph = entry.document, None
        self._position = newest


def _completed(journal: Journal, product: str) -> Event | None:
    """The newest COMPLETE event of a product, looked for from the end on."""
    before = 0
    while found := journal.latest("lineage", product=product, before=before, limit=_AT_ONCE):
        for entry in found:
            if _is_complete(entry):
                return entry.document
        before = found[-1].seq
    return None


def _is_complete(entry: Entry) -> bool:
    return bool(entry.document.get("eventType") == COMPLETE)


def of_run(journal: Journal, product: str, run: str) -> list[Event]:
    """The events of one run, oldest first.

    Raises:
        StoreError: The journal cannot be read.
    """
    found = journal.entries("lineage", product=product, name=run)
    return [entry.document for entry in found if "eventType" in entry.document]


def newest(journal: Journal, product: str, limit: int) -> list[Event]:
    """The newest events of a product, at most `limit`, oldest first.

    Raises:
        StoreError: The journal cannot be read.
    """
    found = journal.latest("lineage", product=product, limit=limit)
    return [entry.document for entry in reversed(found) if "eventType" in entry.document]


def with_run(standing: Mapping[str, Event], product: str, found: Iterable[Event]) -> list[Event]:
    """The standing events, with that of `product` as its run (`found`: the run's events) completed it."""
    made = [event for event in found if event["eventType"] == COMPLETE]
    return [*(e for name, e in standing.items() if name != product), *made[-1:]]


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
