"""What every store does, as tests: subclass `StoreTests` in a test module and say how to make a store.

class TestMyStore(StoreTests):
    def make_store(self, folder):
        return MyStore(folder)
"""
# ruff: noqa: D102 - the name of a test is its sentence

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyport.errors import ConfigurationError, ConflictError, NotFoundError, StoreError
from polyport.store import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from polyport.engine import FieldIds
    from polyport.model import Snapshot
    from polyport.store import Staging, Store

PRODUCT = "production-cost-statement"


def with_field_ids(schema: pa.Schema, ids: FieldIds) -> pa.Schema:
    """The schema with its Iceberg field ids as Parquet writers take them (field metadata)."""
    return pa.schema([_with_id(column, ids[column.name]) for column in schema])


def _with_id(column: pa.Field, ids: int | FieldIds) -> pa.Field:
    own = ids if isinstance(ids, int) else ids[""]
    below = {} if isinstance(ids, int) else ids
    kind = _nested(column.type, below)
    field = pa.field(column.name, kind, nullable=column.nullable)
    return field.with_metadata({"PARQUET:field_id": str(own)})


def _nested(kind: pa.DataType, ids: FieldIds) -> pa.DataType:
    if pa.types.is_struct(kind):
        inner = [kind.field(i) for i in range(kind.num_fields)]
        return pa.struct([_with_id(child, ids[child.name]) for child in inner])
    if pa.types.is_map(kind):
        return pa.map_(
            _with_id(kind.key_field, ids["key"]), _with_id(kind.item_field, ids["value"])
        )
    if pa.types.is_list(kind):
        return pa.list_(_with_id(kind.value_field, ids["element"]))
    return kind


def stage_table(
    staging: Staging, dataset: str, data: pa.Table, *, key: tuple[str, ...] = (), part: int = 0
) -> Table:
    """`data` as a file in the staging area, ready to publish: what an engine does in a build."""
    path = staging.folder / f"{dataset}-{part}.parquet"
    schema = with_field_ids(data.schema, staging.field_ids(dataset, data.schema))
    pq.write_table(data.cast(schema), path, compression="zstd")
    return Table((path,), data.schema, data.num_rows, key)


def table(*titles: str) -> pa.Table:
    """A small table: `id` and `title`."""
    ids = pa.array(range(len(titles)), pa.int64())
    return pa.table({"id": ids, "title": pa.array(titles, pa.string())})


def publish(
    store: Store,
    run: str,
    tables: Mapping[str, pa.Table],
    *,
    parent: Snapshot | None = None,
    product: str = PRODUCT,
) -> Snapshot:
    """Stage and publish `tables` on top of `parent`."""
    with store.stage(product, run) as staging:
        ready = {name: stage_table(staging, name, data) for name, data in tables.items()}
        return store.publish(
            product,
            ready,
            staging=staging,
            inputs={"in": run},
            parent=parent.id if parent else None,
            version="1.0.0",
        )


def publish_many(store: Store, count: int, *, product: str = PRODUCT) -> list[Snapshot]:
    """`count` snapshots in a row; snapshot n holds `movies` with the one title `n`."""
    made: list[Snapshot] = []
    for number in range(1, count + 1):
        parent = made[-1] if made else None
        made.append(
            publish(
                store,
                f"run-{number}",
                {"movies": table(str(number))},
                parent=parent,
                product=product,
            )
        )
    return made


def rows(store: Store, snapshot: Snapshot, dataset: str) -> list[dict[str, object]]:
    """The rows of a dataset as its files hold them."""
    files = store.files(snapshot, dataset)
    read = [pq.ParquetFile(file).read().to_pylist() for file in files]
    return cast("list[dict[str, object]]", [row for part in read for row in part])


class StoreTests(ABC):
    """The suite. Stores on disk and elsewhere; files must be readable by pyarrow where `files` says they are."""

    @abstractmethod
    def make_store(self, folder: Path) -> Store:
        """A new handle on the store that `folder` stands for: two handles share what they see."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        """An empty store."""
        return self.make_store(tmp_path / "store")

    @contextmanager
    def _refused(self, store: Store, error: type[Exception], match: str) -> Iterator[None]:
        before = [snapshot.id for snapshot in store.history(PRODUCT)]
        with pytest.raises(error, match=match):
            yield
        assert [snapshot.id for snapshot in store.history(PRODUCT)] == before

    # Publishing

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
