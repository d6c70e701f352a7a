"""`polyport diff --contract`: text, document, places, exit status."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from polyport.cli import cli
from polyport.errors import DescriptorError

OLD = """apiVersion: v3.2.0
kind: DataContract
id: films
version: 1.2.3
status: active
schema:
  - name: films
    properties:
      - {name: id, logicalType: integer, required: true, primaryKey: true}
      - {name: title, logicalType: string, required: true}
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def ran(old, new, *options):
        (tmp_path / "old.odcs.yaml").write_text(old, "utf-8")
        (tmp_path / "new.odcs.yaml").write_text(new, "utf-8")
        return CliRunner().invoke(
            cli, ["diff", "--contract", "old.odcs.yaml", "new.odcs.yaml", *options]
        )

    return ran


def test_a_breaking_change_is_told_with_its_place_and_ends_in_1(run):
    found = run(OLD, OLD.replace("string, required: true", "string, required: false"))
    assert found.exit_code == 1
    assert "breaking: `films.title` is no longer always filled" in found.stdout
    assert (
        "--> new.odcs.yaml:10:54  /schema[name=films]/properties[name=title]/required"
        in found.stdout
    )
    assert "2.0.0 or above; films says 1.2.3" in found.stderr


def test_what_is_gone_is_placed_at_what_was_around_it(run):
    gone = "".join(line for line in OLD.splitlines(keepends=True) if "title" not in line)
    found = run(OLD, gone)
    assert found.exit_code == 1
    assert "--> new.odcs.yaml:7:5  /schema[name=films]/properties[name=title]" in found.stdout


def test_nothing_breaking_ends_in_0(run):
    assert run(OLD, OLD).exit_code == 0
    found = run(OLD, OLD + "      - {name: made, logicalType: date}\n")
    assert (found.exit_code, "compatible: column `films.made` is added" in found.stdout) == (
        0,
        True,
    )


def test_json_is_the_draft_document(run):
    found = run(OLD, OLD.replace("name: title", "name: name"), "--json")
    document = json.loads(found.stdout)
    assert (document["kind"], document["impact"]["major"], found.exit_code) == (
        "MetadataDifference",
        1,
        1,
    )
    (verdicts,) = document["customProperties"]
    assert [v["verdict"] for v in verdicts["value"]] == ["compatible", "breaking"]
    assert verdicts["value"][0]["place"] == "new.odcs.yaml:10:9"


@pytest.mark.parametrize("wrong", ["a: [", "kind: DataContract\n", OLD.replace("schema", "scheme")])
def test_an_unsound_file_is_no_difference(run, wrong):
    for pair in ((wrong, OLD), (OLD, wrong)):
        found = run(*pair)
        assert isinstance(found.exception, DescriptorError)  # `main` ends with its exit code, 2
        assert found.exception.diagnostics
        assert "compatible" not in found.output


def test_control_characters_of_a_file_do_not_reach_the_terminal(run):
    found = run(OLD, OLD.replace("name: title", 'name: "x\\e[31m"'))
    assert "\x1b" not in found.output
