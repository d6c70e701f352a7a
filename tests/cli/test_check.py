"""`polyport check`, `explain` and `init`, as a person and as a tool read them."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

from polyport.cli.check import check
from polyport.cli.diagnostics import render_text, to_github, to_sarif
from polyport.cli.explain import explain
from polyport.cli.init import init
from polyport.errors import ConfigurationError, Diagnostic, NotFoundError, Place


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(init, "films")
    monkeypatch.chdir(tmp_path / "films")
    return tmp_path / "films"


def run(command, *arguments):
    result = CliRunner().invoke(command, arguments, standalone_mode=True)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def edit(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_a_good_product(home):
    result = run(check)
    assert result.exit_code == 0
    assert result.stdout == (
        "✓ Films: 1 input port, 1 dataset, 2 quality rules, 2 output ports\nno errors; next: polyport build .\n"
    )


def test_a_wrong_product_as_text(home):
    edit(home / "dataproduct.odps.yaml", "status: active", "statos: draft\nname: Other")
    result = run(check)
    assert result.exit_code == 2
    assert (
        result.stdout
        == """\
error[PP101]: unknown field `statos`
 --> dataproduct.odps.yaml:6:1
  |
6 | statos: draft
  | ^^^^^^ not a known field here
  |
  = help: did you mean `status`?

error[PP001]: duplicate key `name`
 --> dataproduct.odps.yaml:7:1
  |
4 | name: Films
  | ---- first set here
...
7 | name: Other
  | ^^^^ the later one would silently win
  |
  = help: keep one of them

error: 2 problems in dataproduct.odps.yaml; nothing was built, what is published is unchanged
explain one: polyport explain PP101
"""
    )


def test_warnings_fail_only_when_strict(home):
    (home / "transform/more.sql").write_text("SELECT 1 AS one\n")
    lenient, strict = run(check), run(check, "--strict")
    assert (lenient.exit_code, strict.exit_code) == (0, 2)
    assert "no errors (1 warning); next" in lenient.stdout
    assert "warning[PP227]" in strict.stdout
    assert "error: 1 warning in transform/more.sql" in strict.stdout


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("polyport.yaml", 0),
        ("contracts/films.odcs.yaml", 0),
        ("dataproduct.odps.yaml", 0),
        ("README.md", 2),
    ],
)
def test_one_file(name, code, home):
    assert run(check, name).exit_code == code


def test_a_mesh(home):
    (home.parent / "mesh.yaml").write_text("name: m\n")
    result = run(check, str(home.parent))
    assert (result.exit_code, result.stdout.count("✓")) == (0, 1)
    edit(home / "polyport.yaml", "type: files", "type: fiels")
    assert run(check, str(home.parent)).exit_code == 2


def test_nothing_there(home):
    with pytest.raises(NotFoundError):
        run(check, "none")


def test_json(home):
    edit(home / "dataproduct.odps.yaml", "status", "statos")
    for arguments in (("--json",), ("--format", "json")):
        result = run(check, *arguments)
        (found,) = json.loads(result.stdout)
        assert result.exit_code == 2
        assert (found["code"], found["severity"], found["fix"]) == (
            "PP101",
            "error",
            "did you mean `status`?",
        )
        assert found["places"] == [
            {
                "file": "dataproduct.odps.yaml",
                "line": 6,
                "column": 1,
                "end_column": 7,
                "label": "not a known field here",
            }
        ]


def test_sarif(home):
    edit(home / "dataproduct.odps.yaml", "status: active", "name: Other")
    (home / "transform/mo re.sql").write_text("SELECT 1 AS one\n")
    log = json.loads(run(check, "--format", "sarif").stdout)
    (made,) = log["runs"]
    rules = [rule["id"] for rule in made["tool"]["driver"]["rules"]]
    assert log["version"] == "2.1.0"
    for result in made["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
    first = made["results"][0]
    region = first["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 6, "startColumn": 1, "endColumn": 5}
    (related,) = first["relatedLocations"]
    assert (related["id"], related["physicalLocation"]["region"]["startLine"]) == (1, 4)
    assert related["message"]["text"] == "first set here"


def test_sarif_of_a_whole_file():
    found = to_sarif(
        [Diagnostic("PP005", "a b.yaml is empty", (Place("a b.yaml"),), "", "info")], "1.0.0"
    )
    (result,) = found["runs"][0]["results"]
    assert result["locations"] == [
        {"physicalLocation": {"artifactLocation": {"uri": "a%20b.yaml"}}}
    ]
    assert result["level"] == "note"


def test_github(home):
    edit(home / "dataproduct.odps.yaml", "status", "statos")
    assert run(check, "--format", "github").stdout == (
        "::error file=dataproduct.odps.yaml,line=6,col=1,endColumn=7,title=PP101::"
        "unknown field `statos`: did you mean `status`?\n"
    )


def test_github_escapes():
    (line,) = to_github([Diagnostic("PP005", "50 % of\nit", (Place("a,b:c.yaml"),), "", "warning")])
    assert line == "::warning file=a%2Cb%3Ac.yaml,title=PP005::50 %25 of%0Ait"


def test_colour_only_where_asked():
    found = [Diagnostic("PP005", "x", (Place("a", 1, 1, 2, "é = 1", "here"),), "do it")]
    assert click.unstyle(render_text(found, color=True)) == render_text(found, color=False)
    assert "\x1b[" in render_text(found, color=True)
    assert "\x1b[" not in render_text(found, color=False)


@pytest.mark.parametrize(
    ("source", "column", "end", "expected"),
    [
        ("\tx: 1", 2, 3, "\t^"),
        ("日本: x", 5, 6, "      ^"),
        ("a", 2, 3, " ^"),
        ("é: abc", 4, 7, "   ^^^"),
    ],
)
def test_the_caret_stands_below_what_it_means(source, column, end, expected):
    text = render_text(
        [Diagnostic("PP005", "x", (Place("a", 1, column, end, source),))], color=False
    )
    assert text.splitlines()[4] == f"  | {expected}"


def test_a_long_line_is_cut_around_the_caret():
    place = Place("a", 1, 5_000, 5_003, "x" * 4_999 + "abc" + "y" * 5_000)
    lines = render_text([Diagnostic("PP005", "m", (place,))], color=False).splitlines()
    assert max(map(len, lines)) < 200
    at = lines[4].index("^")
    assert (lines[3][at : at + 3], lines[4][at : at + 3]) == ("abc", "^^^")


def test_related_places_in_another_file():
    places = (
        Place("a", 3, 1, 2, "x", "here"),
        Place("b", 10, 1, 2, "y", "there"),
        Place("c", label="whole"),
    )
    text = render_text([Diagnostic("PP005", "m", places)], color=False)
    assert text.splitlines() == [
        "error[PP005]: m", "  --> a:3:1", "   |", " 3 | x", "   | ^ here", "  ::: b:10:1", "10 | y",
        "   | - there", "   |", "   = also: c (whole)",
    ]  # fmt: skip


def test_explain():
    result = run(explain, "pp101")
    assert result.stdout.startswith("PP101 unknown field\n")
    assert "Wrong\n  outptPorts" in result.stdout
    assert "Right\n  outputPorts" in result.stdout
    assert "QualityError" in run(explain, "PP330").stdout
    assert json.loads(run(explain, "PP101", "--json").stdout)["code"] == "PP101"
    listed = run(explain).stdout.splitlines()
    assert len(listed) == len(json.loads(run(explain, "--json").stdout)) > 80
    with pytest.raises(NotFoundError, match="did you mean"):
        run(explain, "PP11")


def test_init_says_what_it_made_and_what_comes_next(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(init, "my-films", "--dir", "sub")
    assert "+ sub/my-films/dataproduct.odps.yaml" in result.stdout
    assert "next: polyport build sub/my-films" in result.stderr
    assert "polyport rows my_films sub/my-films" in result.stderr
    with pytest.raises(ConfigurationError, match="exists already"):
        run(init, "my-films", "--dir", "sub")


def test_the_exit_status_reaches_the_shell(home, capsys, monkeypatch):
    from polyport import cli

    edit(home / "dataproduct.odps.yaml", "status", "statos")
    monkeypatch.setattr("sys.argv", ["polyport", "check", "--format", "github"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "PP101" in capsys.readouterr().out


def test_steps_that_a_build_would_refuse_are_told_all_at_once(home):
    (home / "transform/one.sql").write_text("SELECT *\nFROM read_csv('/etc/passwd')\n")
    (home / "transform/two.py").write_text(
        "import pyarrow as pa\n\n\ndef two(sales: pa.Tabel) -> pa.Table:\n    return sales\n"
    )
    (home / "transform/three.py").write_text("def three(sales):\n    return sales\n")
    (home / "transform/four.sql").write_text("SELEC 1")  # told as PP220, and not twice
    found = json.loads(run(check, "--json").stdout)
    told = {
        (d["code"], d["places"][0]["file"], d["places"][0]["line"], d["places"][0]["column"])
        for d in found
        if d["severity"] == "error"
    }
    assert told == {
        ("PP280", "transform/one.sql", 2, 6),
        ("PP280", "transform/two.py", 4, 9),
        ("PP280", "transform/three.py", 1, 11),
        ("PP220", "transform/four.sql", 1, 7),
    }
    assert run(check).exit_code == 2


def test_steps_of_a_mesh_are_looked_at(home):
    (home.parent / "mesh.yaml").write_text("name: m\n")
    (home / "transform/one.sql").write_text("SELECT * FROM read_csv('x')\n")
    found = json.loads(run(check, str(home.parent), "--json").stdout)
    assert ("PP280", "transform/one.sql") in [(d["code"], d["places"][0]["file"]) for d in found]
