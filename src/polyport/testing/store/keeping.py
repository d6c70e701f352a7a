"""What every store does with what it keeps: references, tags, expiry."""
# ruff: noqa: D102 - the name of a test is its sentence

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from polyport.errors import ConfigurationError, NotFoundError
from polyport.testing.store.base import StoreTestsBase
from polyport.testing.store.making import (
    PRODUCT,
    publish,
    publish_many,
    rows,
    stage_table,
    table,
)

if TYPE_CHECKING:
    from polyport.store import Store


class KeepingTests(StoreTestsBase):
    """References, tags and expiry."""

    # Refs

    def test_refs(self, store: Store) -> None:
        made = publish_many(store, 3)
        store.tag(PRODUCT, "audit", "2")
        moment = made[1].committed_at.isoformat().replace("+00:00", "Z")
        for ref in ("2", "00000002", made[1].id, "audit", moment):
            assert store.snapshot(PRODUCT, ref) == made[1], ref
        assert store.snapshot(PRODUCT, "latest") == made[2]
        assert store.snapshot(PRODUCT, "9999-01-01") == made[2]

    def test_a_time_names_the_snapshot_then_current(self, store: Store) -> None:
        made = publish_many(store, 3)
        just_before = made[1].committed_at - timedelta(microseconds=1)
        assert store.snapshot(PRODUCT, just_before.isoformat()) == made[0]
        with pytest.raises(NotFoundError, match="the first kept, 1, was published"):
            store.snapshot(PRODUCT, "2001-01-01T00:00:00Z")

    @pytest.mark.parametrize(
        "ref",
        [
            "0",
            "4",
            "-1",
            "",
            " 1",
            "1 ",
            "9" * 17,
            "9" * 5000,
            "Latest",
            "nope",
            "00000002-00000000",
            "2026-13-01",
            "2026-01-01T00:00:00",
            "2026-01-01T25:00:00Z",
            "../x",
            "latest\n",
            "٣",
            "a/b",
        ],
    )
    def test_a_bad_ref_says_what_there_is(self, store: Store, ref: str) -> None:
        publish_many(store, 3)
        with pytest.raises(NotFoundError) as caught:
            store.snapshot(PRODUCT, ref)
        assert "3, 2, 1" in caught.value.fix

    def test_a_near_miss_is_named(self, store: Store) -> None:
        publish_many(store, 1)
        store.tag(PRODUCT, "quarter-1", "1")
        with pytest.raises(NotFoundError) as caught:
            store.snapshot(PRODUCT, "quater-1")
        assert "did you mean 'quarter-1'" in caught.value.fix

    def test_no_such_dataset(self, store: Store) -> None:
        (made,) = publish_many(store, 1)
        with pytest.raises(NotFoundError, match="movie"):
            store.files(made, "movie")
        with pytest.raises(NotFoundError, match="movie"):
            store.iceberg(made, "movie")

    # Tags

    def test_a_tag_moves(self, store: Store) -> None:
        made = publish_many(store, 2)
        assert store.tag(PRODUCT, "v.1_x-Y", "1") == made[0]
        assert store.tag(PRODUCT, "v.1_x-Y", "latest") == made[1]
        assert dict(store.tags(PRODUCT)) == {"v.1_x-Y": 2}
        store.untag(PRODUCT, "v.1_x-Y")
        assert dict(store.tags(PRODUCT)) == {}
        with pytest.raises(NotFoundError):
            store.untag(PRODUCT, "v.1_x-Y")

    @pytest.mark.parametrize("name", ["latest", "", "1a", ".a", "a b", "a/b", "é", "a\n", "-a"])
    def test_a_bad_tag_is_refused(self, store: Store, name: str) -> None:
        publish_many(store, 1)
        with pytest.raises(ConfigurationError):
            store.tag(PRODUCT, name, "1")
        assert dict(store.tags(PRODUCT)) == {}

    def test_a_tag_needs_a_snapshot(self, store: Store) -> None:
        with pytest.raises(NotFoundError):
            store.tag(PRODUCT, "a", "latest")
        publish_many(store, 1)
        with pytest.raises(NotFoundError):
            store.tag(PRODUCT, "a", "2")
        assert dict(store.tags(PRODUCT)) == {}

    # Expiry

    def test_expiry_by_number(self, store: Store) -> None:
        made = publish_many(store, 5)
        files = [Path(store.files(snapshot, "movies")[0]) for snapshot in made]
        expired = store.expire(PRODUCT, keep=2)
        assert (expired.snapshots, expired.held) == ((1, 2, 3), ())
        assert expired.files >= len(expired.snapshots)
        assert expired.bytes > 0
        assert list(store.history(PRODUCT)) == made[3:]
        assert [file.exists() for file in files] == [False] * 3 + [True] * 2
        with pytest.raises(NotFoundError, match="expired"):
            store.snapshot(PRODUCT, "2")
        with pytest.raises(NotFoundError):
            store.files(made[1], "movies")

    def test_expiry_by_time_spares_the_newest(self, store: Store) -> None:
        made = publish_many(store, 3)
        assert store.expire(PRODUCT, before=made[1].committed_at).snapshots == (1,)
        later = datetime.now(UTC) + timedelta(days=1)
        assert store.expire(PRODUCT, before=later).snapshots == (2,)
        assert list(store.history(PRODUCT)) == [made[2]]

    def test_without_a_limit_nothing_expires(self, store: Store) -> None:
        publish_many(store, 3)
        assert store.expire(PRODUCT).snapshots == ()
        assert store.expire("never-published", keep=1).snapshots == ()

    def test_a_dry_run_tells_and_removes_nothing(self, store: Store) -> None:
        made = publish_many(store, 3)
        told = store.expire(PRODUCT, keep=1, dry_run=True)
        assert list(store.history(PRODUCT)) == made
        assert [rows(store, s, "movies")[0]["title"] for s in made] == ["1", "2", "3"]
        assert store.expire(PRODUCT, keep=1) == told

    def test_a_tagged_snapshot_stays(self, store: Store) -> None:
        made = publish_many(store, 4)
        store.tag(PRODUCT, "audit", "2")
        assert store.expire(PRODUCT, keep=1).snapshots == (1, 3)
        assert rows(store, store.snapshot(PRODUCT, "audit"), "movies")[0]["title"] == "2"
        store.tag(PRODUCT, "audit", "latest")
        assert store.expire(PRODUCT, keep=1).snapshots == (2,)
        assert list(store.history(PRODUCT)) == made[3:]

    def test_a_held_snapshot_stays_until_it_is_let_go(self, store: Store, tmp_path: Path) -> None:
        publish_many(store, 3)
        other = self.make_store(tmp_path / "store")
        with store.hold(PRODUCT, "1") as held, store.hold(PRODUCT, "1"), other.hold(PRODUCT, "2"):
            for handle in (store, other):
                assert handle.expire(PRODUCT, keep=1).held == (1, 2)
            assert rows(store, held, "movies")[0]["title"] == "1"
        assert store.expire(PRODUCT, keep=1).snapshots == (1, 2)

    def test_a_hold_ends_with_an_exception_too(self, store: Store) -> None:
        publish_many(store, 2)
        with pytest.raises(RuntimeError), store.hold(PRODUCT, "1"):
            raise RuntimeError
        assert store.expire(PRODUCT, keep=1).snapshots == (1,)

    def test_sequences_are_never_used_again(self, store: Store) -> None:
        made = publish_many(store, 3)
        store.expire(PRODUCT, keep=1)
        after = publish(store, "next", {"movies": table("4")}, parent=made[2])
        assert after.sequence == 4
        with pytest.raises(NotFoundError):
            store.snapshot(PRODUCT, made[0].id)

    def test_expiry_leaves_a_live_run_alone(self, store: Store) -> None:
        made = publish_many(store, 3)
        with store.stage(PRODUCT, "live") as staging:
            ready = {"movies": stage_table(staging, "movies", table("live"))}
            store.expire(PRODUCT, keep=1)
            after = store.publish(PRODUCT, ready, staging=staging, inputs={}, parent=made[2].id)
        assert rows(store, after, "movies")[0]["title"] == "live"

    @pytest.mark.parametrize("limit", [{"keep": -1}, {"before": datetime(2026, 1, 1)}])  # noqa: DTZ001
    def test_a_limit_that_makes_no_sense_is_refused(
        self, store: Store, limit: dict[str, int]
    ) -> None:
        publish_many(store, 2)
        with pytest.raises(ConfigurationError):
            store.expire(PRODUCT, **limit)  # type: ignore[arg-type]
        assert [snapshot.sequence for snapshot in store.history(PRODUCT)] == [1, 2]
