"""How all tests draw: the same examples in each run, however slow the machine; `explore` draws anew, and more."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from tests.programs import polyport

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile("polyport", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=300)
settings.load_profile("polyport")


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`polyport` as a program that is there in no time: see `tests/programs.py`."""
    with polyport(tmp_path_factory.mktemp("program")) as made:
        yield made


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Have every other of the workers that run at once read the files from the last one to the first.

    What pytest makes of a file takes longer than its tests' collection, and is kept for all: so they meet half-way.
    """
    config = session.config
    number = getattr(config, "workerinput", {"workerid": "gw0"})["workerid"].removeprefix("gw")
    folders = [Path(given) for given in config.args]
    if int(number) % 2 and all(folder.is_dir() for folder in folders):
        files = {file for folder in folders for file in folder.rglob("test_*.py")}
        config.args = [str(file) for file in sorted(files, reverse=True)]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order is the same for all."""
    items.sort(key=lambda item: item.path.parts)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave out of each later search for garbage the half a million objects that the tests are made of."""
    gc.collect()
    gc.freeze()
