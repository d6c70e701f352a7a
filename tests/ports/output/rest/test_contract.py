"""What the port says of itself, and whether it keeps to it."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode

from .conftest import COSTS, FILMS, NOTES

GROUPING = {"group", "agg"}


def _suited(case, columns) -> None:
    """Leave out what OpenAPI cannot say: which parameters do not go together, as the description tells."""
    query = case.query or {}
    if any(name in GROUPING or name.startswith("having") for name in query):
        query.pop("sort", None)
        query.pop("fields", None)
    elif not all(term.removeprefix("-") in columns for term in query.get("sort", ())):
        query.pop("sort")


def _lists_an_empty_text(case) -> bool:
    """`a,,b` is read as three texts, one of them empty: no item of a list of texts is wrong."""
    lists = [value for name, value in (case.query or {}).items() if name.endswith(".in")]
    texts = [v if isinstance(v, str) else ",".join(map(str, v)) for v in lists if v]
    return any("" in text.split(",") for text in texts)


@pytest.fixture(params=["", "partner"])
def described(request, client):
    headers = {"polyport_role": request.param} if request.param else {}
    return client.get("/openapi.json", **headers).json()


def test_openapi_is_valid(described):
    OpenAPIV31SpecValidator(described).validate()


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_as_the_document_says(port, mode):
    api = schemathesis.openapi.from_asgi("/openapi.json", port.app())
    operations = [found.ok() for found in api.get_all_operations()]
    assert len(operations) > 8
    columns = {*FILMS.schema.names, *COSTS.schema.names, *NOTES.schema.names}
    for operation in operations:

        @settings(
            max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case):
            if mode == GenerationMode.POSITIVE:
                _suited(case, columns)
            else:
                assume(not _lists_an_empty_text(case))
            case.call_and_validate()

        ask()
