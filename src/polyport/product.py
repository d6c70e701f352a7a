"""A product put together: descriptor, store, engine, ledger, policy, ports. The library's front door."""

from __future__ import annotations

import secrets
import shlex
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from polyport import descriptor, ports
from polyport.access import Policy, View, configuration, lifecycle, opening
from polyport.access.books import Books
from polyport.access.deciding import Desk, take_files
from polyport.access.identity import local_owner
from polyport.access.known import consuming
from polyport.access.limits import Requests
from polyport.access.mapping import Mapped
from polyport.access.opening import Door
from polyport.access.results import Results
from polyport.access.sql.opening import SqlDoor
from polyport.descriptor.text import shown_path
from polyport.descriptor.types import Surroundings
from polyport.engine.duckdb import DuckDBEngine
from polyport.engine.keyed import KeyedIndexes
from polyport.engine.walled.pool import Workers
from polyport.errors import ConfigurationError, DescriptorError
from polyport.ledger import contracts
from polyport.model import LATEST, OWNER, Principal, Step
from polyport.pipeline import Activity, Around, BuildResult, Job, lineage, run, upkeep
from polyport.pipeline.erasure import Scene, tombstones
from polyport.pipeline.folders import safe
from polyport.pipeline.quality.failing import FailingRows
from polyport.pipeline.unrecorded import unrecorded
from polyport.ports import making
from polyport.ports.management import ManagementContext
from polyport.ports.output import Closing, OutputPort, Pushed
from polyport.store.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

    from polyport.access.control import Control
    from polyport.access.failing import Aside
    from polyport.access.identity import Identify
    from polyport.descriptor.types import DataProduct, Port, Settings
    from polyport.engine import Engine
    from polyport.ledger import Ledger
    from polyport.model import QualityReport, Ref, Run, Snapshot
    from polyport.pipeline.erasure.tombstones import Tombstones
    from polyport.ports.management import ManagementPort
    from polyport.store import Expired, Store


@dataclass(slots=True)
class Product:
    """One data product on this machine. `close()` it, or use it in `with`."""

    spec: DataProduct
    state: Path
    """The folder of everything that Polyport keeps: store, raw, quarantine, logs, ledger, caches."""
    store: Store
    engine: Engine
    ledger: Ledger
    control: Control
    """Keys, agreements and configuration as they stand."""
    salt: str
    """The product's own secret."""
    base_url: str = ""
    """What identifiers of products begin with; empty: they are URNs."""
    neighbour: Callable[[str], Product] | None = None
    """Gives another product of the mesh by its id."""
    mesh: str = ""
    """What the mesh around it is called; empty: there is none."""
    around: Callable[[], Surroundings] = Surroundings
    """Gives the mesh around it: all of its products are loaded for that."""
    near: Callable[[], Mapping[str, Product]] = dict
    """Gives all products of the mesh that can be read, by their ids."""
    workers: Workers | None = None
    """Who runs consumers' own SQL; made when it is needed."""
    lineage_target: lineage.Target | None = field(default_factory=lambda: lineage.Target.of({}))
    """Where lineage is sent to besides the journal; None: nowhere."""
    opened: list[OutputPort] = field(default_factory=list)
    """The output ports made so far: closed with the product."""
    results: Results | None = None
    """Aggregates that were computed before; None: none is kept."""
    keyed: KeyedIndexes | None = None
    """The keyed read path; None: every read is the engine's."""
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    requests: Requests = field(default_factory=Requests)
    """Of the last minute, where the product limits them."""
    shares_ledger: bool = False
    """Whether the ledger is others', too, and not closed with this."""

    @classmethod
    def load(
        cls,
        home: Path | str,
        *,
        state: Path | None = None,
        ledger: str | Callable[[], Books] = "",
        base_url: str = "",
        neighbour: Callable[[str], Product] | None = None,
    ) -> Product:
        """The product declared in the folder `home`; its state lies in `state`, by default `home/.polyport`.

        `ledger`: a SQLAlchemy URL (may hold `${NAME}`); default: a SQLite file in `state`. Or what gives
        the books that products share: they are not closed with this one.

        Raises:
            DescriptorError: Its files are wrong; all problems at once.
            ConfigurationError: A setting cannot be used.
            StoreError: Its state cannot be opened.
        """
        known = ports.names()
        try:
            spec = descriptor.load(Path(home), port_types=known)
        except DescriptorError as error:
            error.unchanged = "nothing was built; what is published is unchanged"
            raise
        folder = (state or Path(home) / ".polyport").absolute()
        with ExitStack() as failing:
            if isinstance(ledger, str):
                kept = Books.open(ledger, state=folder, home=Path(home))
                failing.callback(kept.ledger.close)
            else:
                kept = ledger()
            control = kept.control
            configuration.follow_file(kept.ledger.journal, spec)
            engine = _engine(configuration.running_settings(control, spec), folder)
            failing.callback(engine.close)
            made = cls(
                spec,
                folder,
                LocalStore(
                    folder / "store",
                    publishing=f"polyport build {shlex.quote(shown_path(Path(home)))}",
                ),
                engine,
                kept.ledger,
                control,
                opening.salt(folder, spec.id),
                base_url,
                neighbour,
                shares_ledger=not isinstance(ledger, str),
            )
            take_files(made.control, spec)
            failing.pop_all()
        return made

    def close(self) -> None:
        """Write what the ledger still holds, and free the engine."""
        with ExitStack() as ending:  # the engine is freed even where the ledger cannot be written
            if isinstance(self.engine, DuckDBEngine):
                ending.callback(self.engine.close)
            ending.callback(self.ledger.flush if self.shares_ledger else self.ledger.close)
            if self.keyed is not None:
                ending.callback(self.keyed.close)
            if self.workers is not None:
                ending.callback(self.workers.close)
            for port in self.opened:
                if isinstance(port, Closing):
                    ending.callback(port.close)

    def rest(self) -> None:
        """Free the memory that its engine holds, until that is asked again; no view may be open."""
        if isinstance(self.engine, DuckDBEngine):
            self.engine.rest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def build(
        self,
        report: Callable[[Step], None] | None = None,
        *,
        from_run: str = "",
        working: Callable[[Activity | None], None] = lambda _: None,
    ) -> BuildResult:
        """Read the inputs, cleanse, transform, check, publish; then let each pushed port write the new snapshot.

        Args:
            report: Called with each step as it is done.
            from_run: Build again from the raw data that this run received, without asking the sources.
            working: Called with each step as it begins, and with None as it ends; names may hold what is secret.

        Raises:
            BuildError: An input, a step or the quality gate stopped it; nothing was published.
            ConfigurationError: A port's setting cannot be used; nothing was built.
            DescriptorError: A contract breaks what is published without a new major version; nothing was built.
            ConflictError: Someone else published first.
            RetiredError: The product is retired; nothing was built.
            StoreError: No space, or no permission; nothing was published.
        """
        if lifecycle.status(self.spec) == "retired":
            raise lifecycle.retired(self.spec)
        started = self.clock()
        try:
            self._limit_engine()
            contracts.refuse(self.ledger.journal, self.spec)
            job = Job(
                product=self.spec,
                store=self.store,
                engine=self.engine,
                state=self.state,
                inputs=making.inputs(
                    self.spec, self._scratch(), self._open_neighbour if self.neighbour else None
                ),
                secrets=making.taken(self.spec),
                clock=self.clock,
                run=f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
                from_run=from_run,
                working=working,
                tombstones=self._tombstones,
            )
            around = Around(
                self.ledger,
                self._pushed(),
                self._identify,
                self.lineage_target,
                self.expire,
                lambda: upkeep.tidy(self),
            )
        except (ConfigurationError, DescriptorError) as error:
            error.unchanged = "nothing was built; what is published is unchanged"
            raise
        return run(job, around, report or _silent)

    @property
    def policy(self) -> Policy:
        """Who sees what, as it stands now."""
        return opening.policy(self)

    @property
    def identifier(self) -> str:
        """The product's global identifier."""
        return self._identify(self.spec.id)

    def _identify(self, product: str) -> str:
        name = quote(product, safe="")
        base = self.base_url.rstrip("/")
        return f"{base}/products/{name}" if base else f"urn:polyport:product:{name}"

    def open(
        self,
        principal: Principal,
        ref: Ref = LATEST,
        *,
        port: str = "library",
        purpose: str = "",
        mapping: Mapped | None = None,
    ) -> View:
        """What `principal` sees of the snapshot `ref` through `port`. Close the view, or use it in `with`.

        `mapping`: shows the datasets of an older contract instead of those that are published.

        Whoever may read nothing (no agreement, no role) gets a view all the same: each read of it says why.

        Raises:
            NotFoundError: No such snapshot.
            RetiredError: The product is retired.
            LimitError: The principal asks more often than it may.
        """
        return opening.view(self, principal, ref, port=port, purpose=purpose, mapping=mapping)

    def desk(self) -> Desk:
        """Where its data sharing agreements are asked for and decided on."""
        return Desk(self.control, self.spec, self.policy.roles)

    def history(self) -> Sequence[Snapshot]:
        """All kept snapshots, oldest first."""
        return self.store.history(self.spec.id)

    def runs(self) -> Sequence[Run]:
        """The newest builds, newest first; those that no record tells of, too: going on, or killed.

        Raises:
            StoreError: A log cannot be read.
        """
        recorded = self.ledger.runs(self.spec.id)
        known = {run.id for run in recorded}
        silent = unrecorded(
            self.state / "logs" / safe(self.spec.id),
            self.spec.id,
            lambda run: run in known or self.ledger.run(self.spec.id, run) is not None,
        )
        return sorted((*recorded, *silent), key=lambda run: run.started_at, reverse=True)

    def changes(self, before: Ref, after: Ref = LATEST) -> Mapping[str, Mapping[str, int]]:
        """For each dataset of both snapshots that differs: how many rows were added, removed, changed, as its owner.

        Raises:
            NotFoundError: No such snapshot.
        """
        with self.open(OWNER, before) as old, self.open(OWNER, after) as new:
            both = [n for n in new.snapshot.datasets if n in old.snapshot.datasets]
            unchanged = {
                n
                for n in both
                if self.store.files(old.snapshot, n) == self.store.files(new.snapshot, n)
            }
            counted = {n: new.count_changes(old, n) for n in both if n not in unchanged}
        return {name: counts for name, counts in counted.items() if counts}

    def quality(self, ref: Ref = LATEST) -> QualityReport | None:
        """The report that let the snapshot through; for `latest`, that of the last build, whatever it found."""
        return self.ledger.report(
            self.spec.id, "" if ref == LATEST else self.store.snapshot(self.spec.id, ref).id
        )

    def stored(self) -> int:
        """The bytes that all kept snapshots take; a file that several share counts once."""
        files = {
            f for s in self.history() for name in s.datasets for f in self.store.files(s, name)
        }
        return sum(Path(file).stat().st_size for file in files)

    def expire(self) -> Expired:
        """Remove the snapshots that the product's retention does not keep; then raw data, refused rows and logs.

        Raises:
            StoreError: Something cannot be read or removed.
        """
        return upkeep.expire(self)

    def erasing(self) -> Scene:
        """The product for `polyport.pipeline.erasure`: with all that is kept of it.

        Raises:
            ConfigurationError: Nothing can be erased from its store, or a port's setting is wrong.
        """
        if not isinstance(self.store, LocalStore):
            raise ConfigurationError(
                f"nothing can be erased from a {type(self.store).__name__}", where=self.spec.id
            )
        return Scene(
            self.spec,
            self.state,
            self.store,
            self.engine,
            self.ledger,
            self.salt,
            self._pushed(),
            self.clock,
        )

    def ports(self, identify: Identify = local_owner) -> list[OutputPort]:
        """The output ports of the descriptor, each given what is promised and one way to the rows."""
        made = making.outputs(
            self.spec,
            self._door,
            self._sql_door,
            identify,
            self._scratch(),
            self.ledger.record_request,
        )
        self.opened += made
        return made

    def failing(self, port: str = "library") -> FailingRows:
        """Gives the rows that failed, read through `port`: those set aside, and those that break a rule."""

        def see(principal: Principal, purpose: str, stands_for: Snapshot, parts: Aside) -> View:
            return opening.aside(self, principal, purpose, stands_for, parts, port=port)

        quarantine = self.state / "quarantine" / safe(self.spec.id)
        return FailingRows(self.spec, quarantine, self.engine, self.store, self.ledger, see)

    def management(
        self,
        identify: Identify,
        outputs: Sequence[OutputPort],
        addresses: Mapping[str, str] | None = None,
    ) -> list[ManagementPort]:
        """The information and configuration ports; `addresses`: where each type of listening port listens."""

        def context(name: str, all_made: Sequence[ManagementPort]) -> ManagementContext:
            return ManagementContext(
                self.spec,
                self._door(name, None),
                self.ledger,
                self.control,
                lambda: self.policy,
                identify,
                outputs,
                f"/products/{quote(self.spec.id, safe='')}",
                self.identifier,
                self.stored,
                self.failing(name),
                self.around,
                all_made,
                lambda: self.clock(),  # noqa: PLW0108 - it may be set to another
                addresses or {},
            )

        return making.management(context)

    def speed_up(self) -> None:
        """From now on keep aggregates, and of what is read a keyed index, and hot tables: for a process that serves."""
        if self.keyed is None:
            self.results = Results()
            folder = self.state / "keyed" / quote(self.spec.id, safe="")
            self.keyed = KeyedIndexes(folder, self.engine, self.store.files)
            if isinstance(self.engine, DuckDBEngine):
                self.engine.keep_hot()

    def _door(self, port: str, spec: Port | None) -> Door:
        return Door(self, self.open, port, spec)

    def _sql_door(self, spec: Port) -> SqlDoor:
        if self.workers is None:
            self.workers = Workers(scratch=self.state / "scratch" / "sql")
        return SqlDoor(self, spec, self._near, self.workers, self.mesh or "mesh")

    def _near(self) -> Mapping[str, Product]:
        return {**self.near(), self.spec.id: self}

    def _pushed(self) -> list[Pushed]:
        return [port for port in self.ports() if isinstance(port, Pushed)]

    def _limit_engine(self) -> None:
        """Give the engine what the settings say by now."""
        if isinstance(self.engine, DuckDBEngine):
            limits = configuration.running_settings(self.control, self.spec)
            self.engine.limit(memory=limits.memory, threads=limits.threads)

    def _scratch(self) -> Path:
        folder = self.state / "scratch" / "ports"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _open_neighbour(self, product: str, ref: Ref, *, major: int = 0) -> View:
        """Another product, read as this one; as the ports of `major` show it, where that is named."""
        if self.neighbour is None:
            raise ConfigurationError(
                f"{product!r} is not in reach", where=self.spec.id, fix="build it in its mesh"
            )
        other = self.neighbour(product)
        mapping = lifecycle.mapping_of(other.spec, major, other.clock().date()) if major else {}
        shown = Mapped(mapping) if mapping else None
        return other.open(consuming(self.spec.id), ref, port="product", mapping=shown)

    def _tombstones(self) -> Tombstones | None:
        return tombstones.load(self.ledger.journal, self.spec.id, self.salt) or None


def _engine(settings: Settings, folder: Path) -> DuckDBEngine:
    if settings.engine != "duckdb":
        raise ConfigurationError(
            f"no engine {settings.engine!r}", where="polyport.yaml", fix="engine: {type: duckdb}"
        )
    spill = folder / "scratch" / "spill"
    return DuckDBEngine(memory=settings.memory, threads=settings.threads, scratch=spill)


def _silent(_: Step) -> None:
    """Nobody listens."""


__all__ = ["BuildResult", "Product"]
