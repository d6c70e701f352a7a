"""The configuration port for a product's settings: schedule, retention, engine, limits. `/control/settings`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from polyport.access.configuration import FIELDS
from polyport.descriptor.schema import schema_of
from polyport.ports.configuration._versioned import Versioned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.routing import BaseRoute

    from polyport.ports.management import Content, ManagementContext, Operation


class SettingsPort:
    """The settings that hold, their versions, and changes to them. For the owner and the platform."""

    name: ClassVar[str] = "settings"
    content: ClassVar[Content] = "control"

    def __init__(self, context: ManagementContext) -> None:
        self.context = context
        whole = schema_of("settings")
        fields = {name: whole["properties"][name] for name in FIELDS["settings"]}
        schema = {"type": "object", "additionalProperties": False, "properties": fields}
        self.versioned = Versioned(context, "settings", schema)

    def routes(self) -> Sequence[BaseRoute]:
        """See `ManagementPort.routes`."""
        return self.versioned.routes()

    def operations(self) -> Sequence[Operation]:
        """See `Described.operations`."""
        return self.versioned.operations()
