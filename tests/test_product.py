from __future__ import annotations

import pytest

from polyport.errors import ConfigurationError, PolyportError, StoreError
from polyport.model import OWNER
from polyport.product import Product
from polyport.testing.output_port import ROWS, make_product, write_rows


@pytest.fixture
def product(tmp_path):
    with make_product(tmp_path / "films", "files") as made:
        yield made


def pushing(product, to):
    path = product.spec.home / "polyport.yaml"
    path.write_text(
        path.read_text()
        + f"ports: {{files: {{push: {{to: {to}, formats: [csv], role: accountant}}}}}}\n"
    )
    return Product.load(product.spec.home)


def test_a_build_is_recorded_with_its_report(product):
    (run,) = product.ledger.runs("films")
    assert (run.outcome, run.snapshot) == ("published", product.history()[0].id)
    assert product.quality().snapshot == run.snapshot
    assert product.quality("1") == product.quality()
    write_rows(product.spec.home, [*ROWS, ROWS[0]])
    with pytest.raises(PolyportError) as caught:
        product.build()
    assert caught.value.unchanged == "nothing was published; snapshot 1 is still served"
    assert [r.outcome for r in product.ledger.runs("films")] == ["refused", "published"]
    assert product.quality().stops
    assert not product.quality("1").stops


def test_a_build_that_changes_nothing_publishes_nothing(product):
    result = product.build()
    assert (result.run.outcome, result.snapshot.sequence) == ("unchanged", 1)
    assert len(product.history()) == 1


def test_changes_between_snapshots(product):
    write_rows(product.spec.home, [ROWS[0].replace("11.50", "12.50"), *ROWS[2:], "9,New,,Fox,"])
    product.build()
    assert product.changes("1") == {"films": {"added": 1, "removed": 1, "changed": 1}}
    assert product.changes("2", "1") == {"films": {"added": 1, "removed": 1, "changed": 1}}
    assert product.changes("2") == {}


def test_retention_expires_what_nobody_holds(product):
    path = product.spec.home / "polyport.yaml"
    path.write_text(path.read_text() + "retention: {snapshots: 2}\n")
    with Product.load(product.spec.home) as kept:
        held = kept.open(OWNER, "1")
        for n in range(4):
            write_rows(kept.spec.home, [*ROWS, f"{10 + n},New,,Fox,"])
            kept.build()
        assert [s.sequence for s in kept.history()] == [1, 4, 5]
        assert held.scan("films").read_all().num_rows == 4
        held.close()
        kept.expire()
        assert [s.sequence for s in kept.history()] == [4, 5]


def test_a_push_that_fails_leaves_the_snapshot_served_and_is_made_up_for(product):
    home = product.spec.home
    (home / "drive").write_text("a file where a folder should be")
    with pushing(product, "drive") as pushes:
        write_rows(home, ROWS[1:])
        with pytest.raises((StoreError, ConfigurationError)) as caught:
            pushes.build()
        assert "polyport build goes on" in caught.value.unchanged
        assert pushes.history()[-1].sequence == 2
        newest = pushes.ledger.runs("films")[0]
        assert (newest.outcome, bool(newest.error)) == ("published", True)
        (home / "drive").unlink()
        assert pushes.build().run.outcome == "unchanged"
        assert (home / "drive" / "latest" / "films.csv").exists()


def test_a_secret_of_a_push_is_told_nowhere(product, monkeypatch):
    home = product.spec.home
    (home / "hush-hush").write_text("a file where a folder should be")
    monkeypatch.setenv("DRIVE", "hush-hush")
    with pushing(product, "'${DRIVE}'") as pushes:
        write_rows(home, ROWS[1:])
        with pytest.raises((StoreError, ConfigurationError)) as caught:
            pushes.build()
        assert "hush" not in str(caught.value) + str(caught.value.record())
        assert "hush" not in repr(pushes.ledger.runs("films")[0])


def test_the_salt_is_made_once_and_readable_only_by_its_owner(product):
    (salt,) = (product.state / "secrets").iterdir()
    assert salt.stat().st_mode & 0o077 == 0
    with Product.load(product.spec.home) as again:
        assert again.policy.salt == product.policy.salt == salt.read_text()


def test_an_engine_that_is_not_there(product):
    path = product.spec.home / "polyport.yaml"
    path.write_text(path.read_text() + "engine: {type: duckdb, memory: much}\n")
    with pytest.raises(PolyportError):
        Product.load(product.spec.home)
