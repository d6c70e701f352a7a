"""What holds for every command: help, mistakes, streams, exit statuses, and how little a bare import loads."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from polyport import __version__
from polyport.cli import COMMANDS, cli
from polyport.cli.console import cell, columns, cut, table
from polyport.errors import PolyportError

ALLOWED = {
    "click",
    "polyport",
    "colorama",
    "sitecustomize",
    "usercustomize",
    "distutils-precedence",
}
"""Packages that a bare `import polyport.cli` may load, beside the standard library."""


def run(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "polyport", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        **more,
    )


def test_a_bare_import_loads_click_and_nothing_heavy():
    code = (
        "import sys; before = set(sys.modules); import polyport.cli; "
        "print(*sorted({m.partition('.')[0] for m in set(sys.modules) - before}))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {m for m in ended.stdout.split() if m not in sys.stdlib_module_names}
    assert {"click", "polyport"} <= loaded
    assert loaded - ALLOWED == set()


def test_help_imports_no_command():
    code = (
        "import sys; sys.argv = ['polyport', '-h']\n"
        "from polyport.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in sys.modules if m.startswith('polyport.')], file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert set(re.findall(r"'(polyport[.\w]+)'", ended.stderr)) <= {
        "polyport.cli",
        "polyport.cli.lazy",
        "polyport.errors",
    }
    assert all(name in ended.stdout for name in COMMANDS)


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_command_with_its_summary(polyport, flag):
    ended = polyport(flag)
    assert (ended.code, ended.err) == (0, "")
    for name, summary in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", ended.out, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_and_each_option_says_what_it_does(name):
    ended = run(name, "-h")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"Usage: polyport {name} ")
    command = cli.get_command(None, name)
    assert command.name == name
    for option in command.params:
        if option.param_type_name == "option":
            assert option.opts[0] in ended.stdout
            assert option.help, option.opts


def test_version(polyport):
    assert polyport("--version").out == f"polyport, version {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bild"], "no command 'bild'; did you mean 'build'?"),
        (["zzz"], "no command 'zzz'; commands: init, check,"),
        (["build", "--frm-run", "x"], "Did you mean '--from-run'?"),
        (["build", "no-such-folder"], "'no-such-folder' does not exist"),
        (["rows", "films", ".", "--limit", "-1"], "-1 is not in the range x>=0"),
        (["rows", "films", ".", "--limit", "many"], "'many' is not a valid integer"),
        (["diff", "--limit", "-1"], "-1 is not in the range x>=0"),
        (["serve", "--port", "0"], "0 is not in the range 1<=x<=65535"),
        (["check", "--format", "xml"], "'xml' is not one of 'text', 'json', 'sarif', 'github'"),
        (["init"], "Missing argument 'NAME'"),
        (["history", "a", "b"], "does not exist"),
    ],
)
def test_a_wrong_command_line_is_status_2_and_says_what_is_right(
    polyport, tmp_path, arguments, says
):
    ended = polyport(*arguments, folder=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
    assert "Traceback" not in ended.err


def subclasses(error):
    return [error, *(found for sub in error.__subclasses__() for found in subclasses(sub))]


@pytest.mark.parametrize(
    "error", [e for e in subclasses(PolyportError) if e.__module__ == "polyport.errors"]
)
def test_each_error_ends_with_its_own_status_in_one_shape(polyport, monkeypatch, error, tmp_path):
    def fail(*_):
        raised = error("the cost 'abc' is wrong", where="costs.sql:3:1", fix="say 12")
        raised.unchanged = "nothing was published; snapshot 41 is still served"
        raise raised

    monkeypatch.setattr("polyport.mesh.Mesh.find", fail)
    ended = polyport("history", tmp_path)
    assert (ended.code, ended.out) == (error.exit_code, "")
    assert ended.err == (
        f"error[{error.code}]: the cost 'abc' is wrong\n  --> costs.sql:3:1\n  fix: say 12\n\n"
        "nothing was published; snapshot 41 is still served\n"
    )
    told = polyport("history", tmp_path, "--json")
    assert (told.code, told.err) == (error.exit_code, "")
    assert told.json() == {
        "error": {
            "code": error.code,
            "message": "the cost 'abc' is wrong",
            "where": "costs.sql:3:1",
            "fix": "say 12",
            "unchanged": "nothing was published; snapshot 41 is still served",
        }
    }


def test_as_a_process_data_goes_to_stdout_and_errors_set_the_status(built):
    good = run("rows", "films", built, "--columns", "id,title", "--limit", "1")
    assert (good.returncode, good.stdout) == (0, "id  title\n 2  Dune\n")
    assert good.stderr == "1 of 4 rows, snapshot 3\n"
    bad = run("rows", "nope", built)
    assert (bad.returncode, bad.stdout) == (5, "")
    assert bad.stderr.startswith("error[PP410]: no dataset 'nope'")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs pseudo-terminals")
@pytest.mark.parametrize("no_color", [False, True])
def test_colours_are_for_terminals_unless_no_color(built, no_color):
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"}
    if no_color:
        environment["NO_COLOR"] = "1"
    ours, theirs = os.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "polyport", "history", built],
            stdout=theirs,
            stderr=subprocess.PIPE,
            env=environment,
        ) as process:
            assert process.communicate(timeout=60)[1] == b""
        text = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "committed" in text
    assert ("\x1b[" in text) is not no_color


def test_a_pipe_gets_no_colours(polyport, built):
    for command in ("history", "quality", "diff", "doctor"):
        ended = polyport(command, built)
        assert "\x1b" not in ended.out + ended.err


def test_wide_and_combining_characters_keep_the_columns():
    assert [columns(t) for t in ("abc", "東京", "e\u0301")] == [3, 4, 1]
    lines = table(("name", "n"), [("東京", 1), ("Žižek", 2), ("e\u0301", 3)])[1:]
    assert [columns(line) for line in lines] == [8, 8, 8]
    assert cut("東京東京", 5) == "東京…"
    assert cut("東京東京", 4) == "東…"
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "ab…"


def test_values_cannot_steer_the_terminal():
    assert cell("a\x1b[31mb\nc\x9bd") == "a [31mb c d"


def test_a_build_imports_only_what_it_needs(tmp_path):
    assert run("init", "tiny", cwd=tmp_path).returncode == 0
    code = (
        "import sys; sys.argv = ['polyport', 'build', 'tiny']\n"
        "from polyport.cli import main\n"
        "try: main()\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        "print('loaded:', *sorted(sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        check=True,
    )
    loaded = set(ended.stdout.partition("loaded: ")[2].split())
    assert "polyport.store.iceberg" in loaded
    assert not loaded & {"httpx", "rich", "uvicorn", "sqlalchemy.dialects.postgresql"}
    assert not {m for m in loaded if m.partition(".")[0] in {"pyiceberg", "fastavro"}}


def test_what_only_tests_read_with_is_no_dependency_of_a_user():
    needed = [r for r in metadata.requires("polyport") if "extra ==" not in r]
    assert any(r.startswith("duckdb") for r in needed)
    assert not [r for r in needed if r.startswith(("pyiceberg", "fastavro"))]


@pytest.mark.parametrize(
    "arguments",
    [
        ("rows", "--nope", "--json"),
        ("rows", "--json", "--limit", "x"),
        ("biuld", "--json"),
        ("init", "--json"),
        ("history", "nowhere", "--json"),
        ("check", "nowhere", "--json"),
        ("explain", "PP0O1", "--json"),
        ("serve", "--json"),
    ],
)
def test_with_json_a_wrong_command_line_is_a_document_too(arguments, tmp_path):
    ended = run(*arguments, cwd=tmp_path)
    found = json.loads(ended.stdout)["error"]
    assert found["code"].startswith("PP")
    assert found["message"]
    assert ended.stderr == ""
    assert ended.returncode in (2, 5)


def test_init_as_json(tmp_path):
    found = json.loads(run("init", "films", "--json", cwd=tmp_path).stdout)
    assert found["product"] == "films"
    assert all((tmp_path / file).is_file() for file in found["files"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_that_cannot_be_written_is_an_error(built):
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "polyport", "explain"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 8
    assert ended.stderr == "error[PP440]: cannot write: No space left on device\n"


def test_rows_of_a_folder_alone(built):
    assert run("rows", built).stdout == run("rows", cwd=built).stdout != ""
    assert run("rows", built.name, cwd=built.parent).stdout == run("rows", built).stdout


def test_ctrl_c_ends_a_build_with_a_word(tmp_path):
    run("init", "films", cwd=tmp_path)
    home = tmp_path / "films"
    (home / "transform/films.sql").unlink()
    (home / "transform/films.py").write_text(
        "import sys, time\nimport pyarrow as pa\n\n\ndef films(sales: pa.Table) -> pa.Table:\n"
        "    print('slow', flush=True)\n    time.sleep(60)\n    return sales\n"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "polyport", "build", "--json"],
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert any("slow" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    error = json.loads(out)["error"]
    assert (error["message"], error["unchanged"]) == (
        "interrupted",
        "a run that was cut off published nothing",
    )
    assert "Traceback" not in err
