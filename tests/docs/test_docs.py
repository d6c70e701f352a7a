"""The documents say what the software does: commands, options, ports, codes, links, and nothing of this machine."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from polyport import errors, ports
from polyport.cli import COMMANDS, cli
from polyport.descriptor import codes

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
    ]
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CLI = (ROOT / "docs/cli.md").read_text("utf-8")


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def section(name):
    """What `docs/cli.md` says of a command; one in a group has a heading below the group's."""
    mark = "###" if " " in name else "##"
    (found,) = re.findall(rf"^{mark} {name}\n(.*?)(?=^##|\Z)", CLI, re.MULTILINE | re.DOTALL)
    return found


def command_of(words):
    """The command that `words` call, and the words that are left for it."""
    command, words = cli, list(words)
    while isinstance(command, click.Group) and words:
        command = command.get_command(None, words.pop(0))
    return command, words


def leaves(*path):
    """Each command at or below `path` that is no group, as it is called: `access key create`."""
    command, _ = command_of(path)
    if not isinstance(command, click.Group):
        return [" ".join(path)]
    return [leaf for name in command.list_commands(None) for leaf in leaves(*path, name)]


def options(name):
    command, _ = command_of(name.split())
    return [p for p in command.params if isinstance(p, click.Option)]


# The command line's page


@pytest.mark.parametrize("name", leaves())
def test_each_command_has_a_section_an_example_and_all_its_options(name):
    text = section(name)
    assert f"\n$ polyport {name} " in text or f"\n$ polyport {name}\n" in text
    rows = re.findall(r"^\| `(--[\w-]+)([^`]*)` \|", text, re.MULTILINE)
    told = {option: value.strip().replace("\\|", "|") for option, value in rows}
    assert set(told) == {p.opts[0] for p in options(name)}
    for option in options(name):
        assert bool(told[option.opts[0]]) is not option.is_flag, option.opts
        default = option.default
        if option.show_default and default not in (None, ""):
            (line,) = [x for x in text.splitlines() if x.startswith(f"| `{option.opts[0]}")]
            assert str(default) in line


def test_commands_stand_in_one_order():
    assert re.findall(r"^\| \[`(\w+)`\]\(#\1\)", CLI, re.MULTILINE) == list(COMMANDS)
    assert re.findall(r"^## (\w+)$", CLI, re.MULTILINE) == list(COMMANDS)
    in_groups = [leaf for leaf in leaves() if " " in leaf]
    assert re.findall(r"^### (.+)$", CLI, re.MULTILINE) == in_groups
    assert re.findall(r"^#{2,3} (\w+)", CLI[CLI.index("## init") :], re.MULTILINE) == [
        name for top in COMMANDS for name in (top, *(top for leaf in leaves(top) if " " in leaf))
    ]


def error_classes():
    found = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    return [c for c in found if issubclass(c, errors.PolyportError)]


def test_the_table_of_exit_statuses_is_that_of_the_error_classes():
    rows = re.findall(r"^\| (\d+) \|.*\| ([^|]*) \|$", CLI, re.MULTILINE)
    told = {code: int(status) for status, named in rows for code in re.findall(r"PP\d+", named)}
    assert told == {c.code: c.exit_code for c in error_classes()}
    statuses = [status for status, _ in rows]
    assert statuses == list(dict.fromkeys(statuses))


# Reference


def test_the_page_of_errors_is_current():
    page = (ROOT / "docs/reference/errors.md").read_text("utf-8")
    assert page == codes.errors_page()
    for each in error_classes():
        assert f"## {each.code} {each.__name__}\n" in page


def test_the_tree_in_the_modules_docstring_is_that_of_the_classes():
    rows = re.findall(r"(\w+Error) +(PP\d+)(?: +exit (\d) +HTTP (\d+))?", errors.__doc__)
    assert {name: code for name, code, *_ in rows} == {c.__name__: c.code for c in error_classes()}
    for name, _, status, http in rows:
        if status:
            each = getattr(errors, name)
            assert (each.exit_code, each.http_status) == (int(status), int(http))


def test_codes_are_given_once():
    given = [c.code for c in error_classes()] + [d.code for d in codes.diagnostics()]
    assert len(given) == len(set(given))


@pytest.mark.parametrize("kind", ports.types("input"))
def test_each_input_port_has_its_section(kind):
    assert f"\n## `{kind}`\n" in (ROOT / "docs/input-ports.md").read_text("utf-8")


@pytest.mark.parametrize("kind", ports.types("output"))
def test_each_output_port_has_its_page(kind):
    page = ROOT / f"docs/{kind}.md"
    assert page.read_text("utf-8").lower().startswith(f"# the {kind} port\n")
    assert f"docs/{kind}.md" in (ROOT / "README.md").read_text("utf-8")


# Blocks of commands


def commands():
    """Each line of a `bash` block that calls polyport or make, with the page that it stands on."""
    for page in PAGES:
        for language, block in FENCE.findall(page.read_text("utf-8")):
            lines = block.replace("\\\n", " ").splitlines() if language in ("bash", "sh") else []
            for line in lines:
                yield from ((name_of(page), words) for words in calls(line))


def calls(line):
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words, found = list(lexer), []
    while words:
        end = next(
            (i for i, w in enumerate(words) if w in (";", "&&", "||", "|", "&", ">")), len(words)
        )
        found.append(words[:end])
        words = words[end + 1 :]
    return [w for w in found if w and w[0] in ("polyport", "make")]


def test_there_are_commands_in_the_documents():
    assert len(LINES) > 5


LINES = list(commands())


@pytest.mark.parametrize(
    ("page", "words"),
    LINES,
    ids=[f"{n}-{' '.join(words)[:50]}" for n, (_, words) in enumerate(LINES)],
)
def test_commands_in_the_documents_exist(page, words):
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert set(words[1:]) <= {*targets}, page
        return
    parses(words[1:], page)


def parses(words, page):
    """As click reads it, but for files and folders, which are there only when a person follows the page."""
    if words == ["-h"]:
        return
    command, rest = command_of(words)
    relaxed = [p for p in command.params if isinstance(p.type, click.Path)]
    before = [p.type for p in relaxed]
    try:
        for parameter in relaxed:
            parameter.type = click.STRING
        assert command.make_context(command.name, rest, resilient_parsing=False), page
    finally:
        for parameter, kind in zip(relaxed, before, strict=True):
            parameter.type = kind


@pytest.mark.parametrize(
    "words",
    [
        ["bild"],
        ["build", "--nope"],
        ["rows", "--limit", "x"],
        ["serve", "a", "b"],
        ["access", "nope"],
    ],
)
def test_wrong_commands_would_be_found(words):
    with pytest.raises(click.ClickException):
        parses(words, "")


# Links, and what must not be in a document or a source


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{name_of(page)}: {target}"
        if anchor:
            assert anchor in anchors(found), f"{name_of(page)}: {target}"


def anchors(page):
    heads = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


FOREIGN = re.compile(r"(?<![\w.}])/(?:work|root|tmp|home/\w+)/|/Users/\w+/")


def texts():
    listed = subprocess.run(
        [
            "git",
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "README.md",
            "CHANGELOG.md",
            "NOTICE",
            "Makefile",
            "pyproject.toml",
            "src",
            "docs",
            "examples",
            "benchmarks",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        return [
            p for top in ("src", "docs", "examples") for p in (ROOT / top).rglob("*") if p.is_file()
        ]
    return [ROOT / name for name in listed.stdout.splitlines()]


def test_no_file_names_a_path_of_a_machine():
    found, looked = [], 0
    for path in texts():
        try:
            text = path.read_text("utf-8") if path.is_file() else ""
        except UnicodeDecodeError:
            continue  # data
        looked += 1
        found += [f"{name_of(path)}: {match}" for match in FOREIGN.findall(text)]
    assert looked > 100
    assert found == []


@pytest.mark.parametrize("text", ["|work|x", "see |tmp|x", "(|home|me|)"])
def test_foreign_names_would_be_found(text):
    assert FOREIGN.search(text.replace("|", "/"))


@pytest.mark.parametrize("text", ["a/work/b", "${X}/tmp/b", "homework/", "./tmp/"])
def test_relative_paths_are_fine(text):
    assert not FOREIGN.search(text)
