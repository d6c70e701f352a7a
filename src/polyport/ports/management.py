"""Management ports (ODPS): what a product tells of itself, and how it is configured. Every product has all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

from polyport.descriptor.types import Surroundings
from polyport.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.routing import BaseRoute

    from polyport.access import Open, Policy
    from polyport.access.control import Control
    from polyport.access.failing import Failing
    from polyport.access.identity import Identify
    from polyport.descriptor.types import DataProduct
    from polyport.ledger import Ledger
    from polyport.model import Principal
    from polyport.ports.output import OutputPort

Content: TypeAlias = Literal["discoverability", "observability", "control"]
"""As ODPS has it: information ports are of the first two, configuration ports of the third."""


@dataclass(frozen=True, slots=True)
class ManagementContext:
    """What a management port is given."""

    product: DataProduct
    open: Open
    """The one way to rows."""
    ledger: Ledger
    control: Control
    policy: Callable[[], Policy]
    """The access policy as it stands."""
    identify: Identify
    outputs: Sequence[OutputPort]
    base: str
    """The product's address: `/products/{id}`."""
    identifier: str
    """The product's global identifier: `{base_url}/products/{id}` where the mesh has a base_url, else a URN."""
    stored: Callable[[], int]
    """The bytes that its kept snapshots take."""
    failing: Failing
    """The one way to rows that failed."""
    around: Callable[[], Surroundings] = Surroundings
    """Gives the mesh around the product, as its files declare it."""
    management: Sequence[ManagementPort] = ()
    """All management ports of the product, this one among them."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Type of a listening port -> where it listens: `postgresql://127.0.0.1:8432`."""


class ManagementPort(Protocol):
    """One information or configuration port of a product."""

    name: ClassVar[str]
    """As registered; its addresses begin with it, below `/products/{id}` (`control/` before it, if it is one)."""
    content: ClassVar[Content]
    context: ManagementContext

    def __init__(self, context: ManagementContext) -> None: ...

    def routes(self) -> Sequence[BaseRoute]:
        """What it answers, each a `Route(path, polyport.ports.http.guarded(handler, methods))`.

        Paths are below the product's address: `/lineage`, `/control/access`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that a management port can be asked, as its OpenAPI document says it."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    """Below the product's address: `/control/access/versions/{version}`."""
    summary: str
    query: Mapping[str, str] = field(default_factory=dict)
    """Query parameter, all of them optional text -> what it means."""
    body: Mapping[str, Any] | None = None
    """The JSON Schema of the JSON object to send; it may have `$defs`. None: nothing is sent."""
    conditional: bool = False
    """Whether it wants `If-Match`: the ETag of what it changes."""
    created: bool = False
    """Whether it answers 201."""
    media: str = "application/json"
    """The media type of what it gives."""


@runtime_checkable
class Described(Protocol):
    """A management port that says what it can be asked."""

    def operations(self) -> Sequence[Operation]:
        """What it can be asked; each method and path that `routes` answers, but for HEAD."""
        ...


def steering(context: ManagementContext, principal: Principal, to: str) -> None:
    """Make sure that `principal` may do what only the product's owner and the platform may.

    Raises:
        AccessError: It may not; says what it may not do (`to`: "change the policy").
    """
    if not principal.steers(context.product.id):
        raise AccessError(
            f"{principal.id} may not {to}",
            where=context.product.id,
            fix="the product's owner and the role 'platform' may",
        )
