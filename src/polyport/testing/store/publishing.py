"""What every store does when it publishes."""
# ruff: noqa: D102 - the name of a test is its sentence

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyport.errors import ConflictError, NotFoundError, StoreError
from polyport.store import Table
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


class PublishingTests(StoreTestsBase):
    """All of it or nothing, and one winner."""

    def test_a_product_never_published_has_no_history(self, store: Store) -> None:
        assert list(store.history(PRODUCT)) == []
        assert dict(store.tags(PRODUCT)) == {}
        with pytest.raises(NotFoundError, match="no snapshot yet"):
            store.snapshot(PRODUCT, "latest")
        with pytest.raises(NotFoundError), store.hold(PRODUCT, "latest"):
            pass

    def test_a_snapshot_says_what_was_published(self, store: Store) -> None:
        made = publish(store, "r1", {"movies": table("Alien", "Brazil"), "studios": table("Fox")})
        assert (made.product, made.sequence, made.parent) == (PRODUCT, 1, None)
        assert (made.run, made.version, dict(made.inputs)) == ("r1", "1.0.0", {"in": "r1"})
        assert made.id.startswith("00000001-")
        assert made.committed_at.utcoffset() == timedelta(0)
        assert {name: d.rows for name, d in made.datasets.items()} == {"movies": 2, "studios": 1}
        assert [row["title"] for row in rows(store, made, "movies")] == ["Alien", "Brazil"]
        assert store.snapshot(PRODUCT, "latest") == made

    def test_another_handle_sees_the_same(self, store: Store, tmp_path: Path) -> None:
        made = publish_many(store, 3)
        other = self.make_store(tmp_path / "store")
        assert list(other.history(PRODUCT)) == made
        assert other.files(made[1], "movies") == store.files(made[1], "movies")

    def test_schema_and_key_come_back_exactly(self, store: Store) -> None:
        schema = pa.schema(
            [
                pa.field("id", pa.int64(), nullable=False, metadata={"unit": "none"}),
                pa.field("tags", pa.list_(pa.struct([("a", pa.string()), ("b", pa.date32())]))),
                pa.field("price", pa.decimal128(12, 2)),
            ],
            metadata={"title": "Größe"},
        )
        with store.stage(PRODUCT, "r1") as staging:
            ready = stage_table(staging, "movies", schema.empty_table(), key=("id",))
            made = store.publish(
                PRODUCT, {"movies": ready}, staging=staging, inputs={}, parent=None
            )
        read = store.snapshot(PRODUCT, made.id).datasets["movies"]
        assert read.schema.equals(schema, check_metadata=True)
        assert (read.key, read.rows) == (("id",), 0)
        assert rows(store, made, "movies") == []

    def test_each_snapshot_follows_the_one_before(self, store: Store) -> None:
        made = publish_many(store, 4)
        assert [s.sequence for s in made] == [1, 2, 3, 4]
        assert [s.parent for s in made] == [None, *(s.id for s in made[:-1])]
        assert [rows(store, s, "movies")[0]["title"] for s in made] == ["1", "2", "3", "4"]
        assert all(a.committed_at < b.committed_at for a, b in pairwise(made))

    def test_products_do_not_mix(self, store: Store) -> None:
        names = ["a", "a/b", "..", ".a", "a b", "urn:x:é~%", "~"]
        for name in names:
            publish(store, "r1", {"movies": table(name)}, product=name)
        for name in names:
            found = store.snapshot(name, "latest")
            assert found.product == name
            assert rows(store, found, "movies")[0]["title"] == name

    def test_a_dataset_may_consist_of_several_files(self, store: Store) -> None:
        with store.stage(PRODUCT, "r1") as staging:
            parts = [stage_table(staging, "movies", table(t), part=i) for i, t in enumerate("abc")]
            whole = Table(tuple(p.files[0] for p in parts), parts[0].schema, 3)
            made = store.publish(
                PRODUCT, {"movies": whole}, staging=staging, inputs={}, parent=None
            )
        assert [row["title"] for row in rows(store, made, "movies")] == ["a", "b", "c"]

    def test_a_stale_parent_conflicts_and_says_who_won(self, store: Store) -> None:
        first = publish(store, "r1", {"movies": table("1")})
        second = publish(store, "r2", {"movies": table("2")}, parent=first)
        for parent in (None, first):
            with self._refused(store, ConflictError, second.id):
                publish(store, "late", {"movies": table("late")}, parent=parent)
        assert store.snapshot(PRODUCT, "latest") == second

    def test_a_parent_that_never_was_conflicts(self, store: Store) -> None:
        with store.stage(PRODUCT, "r1") as staging:
            ready = {"movies": stage_table(staging, "movies", table("1"))}
            with self._refused(store, ConflictError, "no snapshot yet"):
                store.publish(
                    PRODUCT, ready, staging=staging, inputs={}, parent="00000007-00000000"
                )

    def test_of_two_at_once_one_wins(self, store: Store, tmp_path: Path) -> None:
        other = self.make_store(tmp_path / "store")
        with store.stage(PRODUCT, "r1") as one, other.stage(PRODUCT, "r2") as two:
            first = {"movies": stage_table(one, "movies", table("one"))}
            second = {"movies": stage_table(two, "movies", table("two"))}
            made = other.publish(PRODUCT, second, staging=two, inputs={}, parent=None)
            with self._refused(store, ConflictError, made.id):
                store.publish(PRODUCT, first, staging=one, inputs={}, parent=None)
        assert [row["title"] for row in rows(store, made, "movies")] == ["two"]

    def test_a_run_may_try_again_after_a_conflict(self, store: Store) -> None:
        with store.stage(PRODUCT, "slow") as staging:
            ready = {"movies": stage_table(staging, "movies", table("slow"))}
            won = publish(store, "fast", {"movies": table("fast")})
            with pytest.raises(ConflictError):
                store.publish(PRODUCT, ready, staging=staging, inputs={}, parent=None)
            made = store.publish(PRODUCT, ready, staging=staging, inputs={}, parent=won.id)
        assert (made.sequence, rows(store, made, "movies")[0]["title"]) == (2, "slow")

    def test_an_unchanged_dataset_shares_its_files(self, store: Store) -> None:
        first = publish(store, "r1", {"movies": table("1"), "studios": table("Fox")})
        with store.stage(PRODUCT, "r2") as staging:
            files = tuple(Path(file) for file in store.files(first, "studios"))
            ready = {
                "movies": stage_table(staging, "movies", table("2")),
                "studios": Table(files, first.datasets["studios"].schema, 1),
            }
            second = store.publish(PRODUCT, ready, staging=staging, inputs={}, parent=first.id)
        assert store.files(second, "studios") == store.files(first, "studios")
        assert store.files(second, "movies") != store.files(first, "movies")
        store.expire(PRODUCT, keep=1)
        assert [row["title"] for row in rows(store, second, "studios")] == ["Fox"]

    def test_a_stranger_file_is_refused(self, store: Store, tmp_path: Path) -> None:
        stranger = tmp_path / "stranger.parquet"
        pq.write_table(table("x"), stranger)
        with store.stage(PRODUCT, "r1") as staging:
            ready = {"movies": Table((stranger,), table("x").schema, 1)}
            with self._refused(store, StoreError, "neither"):
                store.publish(PRODUCT, ready, staging=staging, inputs={}, parent=None)
        assert stranger.exists()

    def test_another_runs_file_is_refused(self, store: Store) -> None:
        with store.stage(PRODUCT, "r1") as one, store.stage(PRODUCT, "r2") as two:
            ready = {"movies": stage_table(one, "movies", table("x"))}
            with self._refused(store, StoreError, "neither"):
                store.publish(PRODUCT, ready, staging=two, inputs={}, parent=None)

    def test_a_wrong_number_of_rows_is_refused(self, store: Store) -> None:
        with store.stage(PRODUCT, "r1") as staging:
            ready = stage_table(staging, "movies", table("x"))
            lie = {"movies": Table(ready.files, ready.schema, 2)}
            with self._refused(store, StoreError, "2 rows"):
                store.publish(PRODUCT, lie, staging=staging, inputs={}, parent=None)

    def test_a_damaged_file_is_refused_and_nothing_is_visible(self, store: Store) -> None:
        with store.stage(PRODUCT, "r1") as staging:
            good = stage_table(staging, "movies", table("x"))
            bad = stage_table(staging, "studios", table("y"))
            bad.files[0].write_bytes(bad.files[0].read_bytes()[:-20])
            with self._refused(store, StoreError, "studios"):
                store.publish(
                    PRODUCT,
                    {"movies": good, "studios": bad},
                    staging=staging,
                    inputs={},
                    parent=None,
                )

    def test_what_is_not_published_is_removed_at_exit(self, store: Store) -> None:
        with store.stage(PRODUCT, "r1") as staging:
            ready = {"movies": stage_table(staging, "movies", table("kept"))}
            extra = stage_table(staging, "scratch", table("gone")).files[0]
            made = store.publish(PRODUCT, ready, staging=staging, inputs={}, parent=None)
        assert not extra.exists()
        assert rows(store, made, "movies")[0]["title"] == "kept"
        with suppress(RuntimeError), store.stage(PRODUCT, "r2") as staging:
            extra = stage_table(staging, "movies", table("gone")).files[0]
            raise RuntimeError
        assert not extra.exists()
        assert store.snapshot(PRODUCT, "latest") == made

    def test_a_closed_staging_area_cannot_publish(self, store: Store) -> None:
        with store.stage(PRODUCT, "r1") as staging:
            pass
        with self._refused(store, StoreError, "closed"):
            store.publish(PRODUCT, {}, staging=staging, inputs={}, parent=None)

    # Field ids

    def test_columns_keep_their_field_ids(self, store: Store) -> None:
        one = pa.schema(
            [("a", pa.int64()), ("s", pa.struct([("x", pa.int32()), ("y", pa.string())]))]
        )
        two = pa.schema(
            [("s", pa.struct([("y", pa.string()), ("z", pa.int32())])), ("b", pa.int64())]
        )
        with store.stage(PRODUCT, "r1") as staging:
            before = cast("dict[str, dict[str, int]]", staging.field_ids("d", one))
            ready = {"d": stage_table(staging, "d", one.empty_table())}
            first = store.publish(PRODUCT, ready, staging=staging, inputs={}, parent=None)
        with store.stage(PRODUCT, "r2") as staging:
            after = cast("dict[str, dict[str, int]]", staging.field_ids("d", two))
            ready = {"d": stage_table(staging, "d", two.empty_table())}
            second = store.publish(PRODUCT, ready, staging=staging, inputs={}, parent=first.id)
        used = {before["a"], *before["s"].values()}
        assert (after["s"][""], after["s"]["y"]) == (before["s"][""], before["s"]["y"])
        assert not {after["b"], after["s"]["z"]} & used
        with store.stage(PRODUCT, "r3") as staging:
            again = staging.field_ids("d", one)
            assert again["a"] not in {*used, after["b"], after["s"]["z"]}
            assert staging.field_ids("new", one) == before
        assert second.sequence == 2
