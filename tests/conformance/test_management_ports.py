"""Every registered management port passes the suite that ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyport.testing.management_port import ManagementPortTests, registered

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("group", "port"), registered(), scope="class")
class TestEach(ManagementPortTests):
    @pytest.fixture(autouse=True)
    def _chosen(self, group, port):
        self.group, self.port = group, port
        self.by_sight = port in ("metadata", "quality")


@pytest.mark.parametrize(("group", "port"), registered())
def test_each_is_documented(group, port):
    address = f"control/{port}" if group == "configuration" else port
    assert any(f"/{address}" in page.read_text("utf-8") for page in DOCS.glob("*.md"))


def test_there_are_some():
    assert {group for group, _ in registered()} == {"information", "configuration"}
