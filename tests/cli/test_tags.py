from __future__ import annotations

import json

from click.testing import CliRunner

from polyport.cli.history import history
from polyport.errors import NotFoundError
from polyport.testing.output_port import ROWS, make_product, write_rows


def test_a_tag_is_given_read_by_and_taken_away(tmp_path):
    with make_product(tmp_path / "films", "rest") as product:
        write_rows(product.spec.home, ROWS[1:])
        product.build()
        home = str(product.spec.home)
    run = CliRunner().invoke
    found = json.loads(run(history, [home, "--tag", "audit", "--snapshot", "1", "--json"]).stdout)
    assert [s["tags"] for s in found] == [[], ["audit"]]
    assert "audit" in run(history, [home]).stdout
    assert json.loads(run(history, [home, "--untag", "audit", "--json"]).stdout)[1]["tags"] == []
    assert isinstance(run(history, [home, "--untag", "audit"]).exception, NotFoundError)
