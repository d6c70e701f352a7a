from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("people", Path(__file__).with_name("people.py"))
_PEOPLE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_PEOPLE)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Only copy it."""
    return _PEOPLE.make(tmp_path_factory.mktemp("people") / "people")


@pytest.fixture
def home(made, tmp_path):
    return shutil.copytree(made, tmp_path / "people", symlinks=True)


@pytest.fixture
def own(tmp_path):
    """One whose Iceberg addresses are its own."""
    return _PEOPLE.make(tmp_path / "people")
