"""Contracts against what was published: when a change is refused, when it is a warning, and where it is told."""

from __future__ import annotations

import pytest

from polyport.descriptor import odcs, yaml
from polyport.descriptor.compare.published import check, raised

OLD = """apiVersion: v3.2.0
kind: DataContract
id: films
version: 1.2.0
status: active
schema:
  - name: films
    properties:
      - {name: id, logicalType: integer, required: true, primaryKey: true}
      - {name: title, logicalType: string, required: true}
"""
BREAKING = OLD.replace("string, required: true", "string, required: false")
RISKY = OLD.replace(
    "title, logicalType: string", "title, logicalType: string, classification: secret"
)


@pytest.fixture
def found(tmp_path):
    def checked(new, old=OLD):
        path = tmp_path / "films.odcs.yaml"
        path.write_text(new, "utf-8")
        document, _ = yaml.read(path)
        file, problems = odcs.examine(document)
        assert not [p for p in problems if p.severity == "error"]
        before, _ = yaml.parse(path, old)
        return list(check([file.contract], {"films": before.value}))

    return checked


@pytest.mark.parametrize(
    ("version", "refused"),
    [("1.2.0", True), ("1.9.0", True), ("1.2.1", True), ("0.9.0", True), ("2.0.0", False), ("v3", False), ("next", True)],
)  # fmt: skip
def test_a_breaking_change_takes_a_higher_major(found, version, refused):
    problems = found(BREAKING.replace("1.2.0", version))
    assert [p.code for p in problems] == (["PP239"] if refused else [])


def test_it_names_each_change_with_its_place_and_the_version_to_give(found):
    (problem,) = found(BREAKING.replace("integer", "string"))
    assert (problem.severity, problem.message) == (
        "error",
        "`films` 1.2.0 has 2 breaking changes since 1.2.0 was published",
    )
    version, *changes = problem.places
    assert (version.line, version.column, version.source) == (4, 10, "version: 1.2.0")
    assert [(p.line, p.column) for p in changes] == [(9, 33), (10, 54)]
    assert "films.id" in changes[0].label
    assert "films.title" in changes[1].label
    assert "version: 2.0.0" in problem.fix


def test_a_risky_change_under_the_same_version_warns(found):
    (problem,) = found(RISKY)
    assert (problem.code, problem.severity) == ("PP229", "warning")
    assert "version: 1.3.0" in problem.fix
    assert found(RISKY.replace("1.2.0", "1.2.1")) == []


def test_what_is_the_same_or_compatible_or_new_is_let_through(found):
    assert found(OLD) == []
    assert found(OLD + "      - {name: made, logicalType: date}\n") == []
    assert found(BREAKING.replace("id: films", "id: other")) == []


def test_a_contract_may_be_retired_without_a_new_major(found):
    assert found(OLD.replace("status: active", "status: retired")) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [("spring", "spring", False), ("spring", "autumn", True), ("spring", "2.0.0", True), ("", "", False), ("1", "2", True)],
)  # fmt: skip
def test_where_the_published_version_is_not_semantic_another_counts(old, new, expected):
    assert raised(old, new) is expected


@pytest.mark.parametrize("status", ["draft", "proposed"])
def test_a_draft_has_promised_nothing(found, status):
    old = OLD.replace("active", status)
    (problem,) = found(BREAKING, old)
    assert (problem.code, problem.severity) == ("PP239", "warning")
    assert found(RISKY.replace("active", status), old) == []
    (problem,) = found(BREAKING.replace("active", status))
    assert problem.severity == "error"  # what was active is not made a draft again
