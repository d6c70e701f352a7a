"""Any order of publish, tag, hold, expire and read does what a dict would."""

from __future__ import annotations

import itertools
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from polyport.errors import ConflictError, NotFoundError
from polyport.store import Table
from polyport.store.layout import Home
from polyport.store.local import LocalStore
from polyport.testing.store import PRODUCT, rows, stage_table, table

DATASETS = ("a", "b")
numbers = st.integers(min_value=1, max_value=12)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.stores = [self.make() for _ in range(2)]
        self.runs = itertools.count(1)
        self.texts = itertools.count(1)
        self.snapshots = {}
        self.contents = {}
        self.tags = {}
        self.holds = []

    def make(self):
        return LocalStore(Path(self.folder.name), clock=lambda: self.now, iceberg=False)

    def teardown(self):
        for _, stack in self.holds:
            stack.close()
        self.folder.cleanup()

    @property
    def newest(self):
        return self.snapshots[max(self.snapshots)] if self.snapshots else None

    @rule(
        which=st.integers(0, 1),
        change=st.sets(st.sampled_from(DATASETS)),
        stale=st.booleans(),
        hours=st.integers(-2, 30),
    )
    def publish(self, which, change, stale, hours):
        store, newest = self.stores[which], self.newest
        self.now += timedelta(hours=hours)
        parent = "00000099-00000000" if stale else newest and newest.id
        content = {}
        with store.stage(PRODUCT, f"run-{next(self.runs)}") as area:
            tables = {}
            stage_table(area, "scratch", table("never published"))
            for name in DATASETS:
                if newest is None or name in change:
                    content[name] = str(next(self.texts))
                    tables[name] = stage_table(area, name, table(content[name]))
                else:
                    content[name] = self.contents[newest.sequence][name]
                    files = tuple(Path(file) for file in store.files(newest, name))
                    tables[name] = Table(files, table("").schema, 1)
            if stale:
                with pytest.raises(ConflictError):
                    store.publish(PRODUCT, tables, staging=area, inputs={}, parent=parent)
                return
            made = store.publish(PRODUCT, tables, staging=area, inputs={}, parent=parent)
        assert made.sequence == (newest.sequence + 1 if newest else 1)
        self.snapshots[made.sequence] = made
        self.contents[made.sequence] = content

    @rule(which=st.integers(0, 1), name=st.sampled_from(["x", "y"]), number=numbers)
    def tag(self, which, name, number):
        if number in self.snapshots:
            self.stores[which].tag(PRODUCT, name, str(number))
            self.tags[name] = number
        else:
            with pytest.raises(NotFoundError):
                self.stores[which].tag(PRODUCT, name, str(number))

    @rule(which=st.integers(0, 1), number=numbers)
    def hold(self, which, number):
        stack = ExitStack()
        if number in self.snapshots:
            held = stack.enter_context(self.stores[which].hold(PRODUCT, str(number)))
            assert held == self.snapshots[number]
            self.holds.append((number, stack))
        else:
            with pytest.raises(NotFoundError):
                stack.enter_context(self.stores[which].hold(PRODUCT, str(number)))

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def let_go(self, data):
        _, stack = self.holds.pop(data.draw(st.integers(0, len(self.holds) - 1)))
        stack.close()

    @rule(
        which=st.integers(0, 1),
        keep=st.integers(0, 4),
        days=st.none() | st.integers(0, 5),
        dry=st.booleans(),
    )
    def expire(self, which, keep, days, dry):
        before = None if days is None else self.now - timedelta(days=days)
        ordered = sorted(self.snapshots)
        due = set(ordered[:-keep] if keep else ())
        due |= {n for n in ordered if before and self.snapshots[n].committed_at < before}
        due -= {*ordered[-1:], *self.tags.values()}
        held = due & {number for number, _ in self.holds}
        gone = self.stores[which].expire(PRODUCT, keep=keep, before=before, dry_run=dry)
        assert gone.held == tuple(sorted(held))
        assert gone.snapshots == tuple(sorted(due - held))
        for number in gone.snapshots if not dry else ():
            del self.snapshots[number]
            del self.contents[number]

    @rule(number=st.integers(0, 12))
    def read(self, number):
        if number in self.snapshots:
            assert self.stores[0].snapshot(PRODUCT, str(number)) == self.snapshots[number]
        else:
            with pytest.raises(NotFoundError):
                self.stores[0].snapshot(PRODUCT, str(number))

    @rule(hours=st.integers(-200, 50))
    def read_at_a_time(self, hours):
        moment = self.now + timedelta(hours=hours)
        then = [s for s in self.snapshots.values() if s.committed_at <= moment]
        if then:
            expected = max(then, key=lambda snapshot: snapshot.sequence)
            assert self.stores[1].snapshot(PRODUCT, moment.isoformat()) == expected
        else:
            with pytest.raises(NotFoundError):
                self.stores[1].snapshot(PRODUCT, moment.isoformat())

    @invariant()
    def all_that_is_kept_is_whole_and_nothing_else_is(self):
        ordered = [self.snapshots[number] for number in sorted(self.snapshots)]
        for store in (*self.stores, self.make()):
            assert list(store.history(PRODUCT)) == ordered
            assert store.tags(PRODUCT) == self.tags
        for number, snapshot in self.snapshots.items():
            read = {name: rows(self.stores[0], snapshot, name)[0]["title"] for name in DATASETS}
            assert read == self.contents[number]
        home = Home.of(self.stores[0].root, PRODUCT)
        files = {path.name for path in home.data.rglob("*") if path.is_file()}
        assert not {name for name in files if name.endswith(".lock") or "scratch" in name}


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, derandomize=True
)
