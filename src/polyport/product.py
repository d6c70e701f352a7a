"""A product put together: descriptor, store, engine, ledger, policy, ports. The library's front door."""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from polyport import descriptor, ports
from polyport.access import Policy, View, configuration, contracts, lifecycle
from polyport.access.admission import Standing
from polyport.access.control import Control
from polyport.access.deciding import Desk, take_files
from polyport.access.identity import local_owner
from polyport.access.limits import Requests
from polyport.access.mapping import Mapped
from polyport.access.results import Results
from polyport.descriptor.environment import resolve
from polyport.descriptor.types import Surroundings
from polyport.engine.duckdb import DuckDBEngine
from polyport.engine.keyed import KeyedIndexes
from polyport.errors import (
    AccessError,
    ConfigurationError,
    DescriptorError,
    PolyportError,
    RetiredError,
    StoreError,
)
from polyport.ledger import Ledger
from polyport.model import LATEST, OWNER, Principal, Step
from polyport.pipeline import Activity, BuildResult, Job, build, discreet, lineage
from polyport.pipeline.erasure import Scene, tombstones
from polyport.pipeline.folders import safe
from polyport.pipeline.quality.failing import FailingRows
from polyport.ports.input import InputContext, InputPort
from polyport.ports.management import ManagementContext
from polyport.ports.output import Closing, OutputContext, OutputPort, Pushed, Served
from polyport.store.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Self

    from polyport.access.admission import Admission, Admissions
    from polyport.access.failing import Aside
    from polyport.access.identity import Identify
    from polyport.descriptor.types import DataProduct, Port, Settings
    from polyport.engine import Engine
    from polyport.engine.keyed import KeyedIndex
    from polyport.model import QualityReport, Ref, Run, Snapshot, Status
    from polyport.pipeline.erasure.tombstones import Tombstones
    from polyport.ports.management import ManagementPort
    from polyport.store import Expired, Store

MANAGEMENT: tuple[ports.Group, ...] = ("information", "configuration")


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
    around: Callable[[], Surroundings] = Surroundings
    """Gives the mesh around it."""
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

    @classmethod
    def load(
        cls,
        home: Path | str,
        *,
        state: Path | None = None,
        ledger: str = "",
        base_url: str = "",
        neighbour: Callable[[str], Product] | None = None,
    ) -> Product:
        """The product declared in the folder `home`; its state lies in `state`, by default `home/.polyport`.

        `ledger`: a SQLAlchemy URL (may hold `${NAME}`); default: a SQLite file in `state`.

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
        url, _ = resolve(ledger, home=Path(home), where="mesh.yaml: ledger")
        records = Ledger(url or folder / "ledger.sqlite")
        control = Control(records.journal)
        try:
            configuration.follow_file(records.journal, spec)
            engine = _engine(configuration.running_settings(control, spec), folder)
        except BaseException:
            records.close()
            raise
        made = cls(
            spec,
            folder,
            LocalStore(folder / "store"),
            engine,
            records,
            control,
            _salt(folder, spec.id),
            base_url,
            neighbour,
        )
        try:
            take_files(made.control, spec)
        except StoreError:
            made.close()
            raise
        return made

    def close(self) -> None:
        """Write what the ledger still holds, and free the engine."""
        with ExitStack() as ending:  # the engine is freed even where the ledger cannot be written
            if isinstance(self.engine, DuckDBEngine):
                ending.callback(self.engine.close)
            ending.callback(self.ledger.close)
            if self.keyed is not None:
                ending.callback(self.keyed.close)
            for port in self.opened:
                if isinstance(port, Closing):
                    ending.callback(port.close)

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
            inputs = {spec.name: self._input(spec) for spec in self.spec.inputs}
            pushing = [port for port in self.ports() if isinstance(port, Pushed)]
        except (ConfigurationError, DescriptorError) as error:
            error.unchanged = "nothing was built; what is published is unchanged"
            raise
        job = Job(
            product=self.spec,
            store=self.store,
            engine=self.engine,
            state=self.state,
            inputs=inputs,
            secrets=self._taken(),
            clock=self.clock,
            run=f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
            from_run=from_run,
            working=working,
            tombstones=self._tombstones,
        )
        hidden = discreet.forms(job.secrets)

        def say(step: Step) -> None:
            if report is not None:
                report(discreet.step(step, hidden))

        told = self._teller(job, hidden)
        self._tell(told, lineage.started(told, started))
        result = self._built(job, say, told)
        return self._finished(
            replace(result, run=discreet.run(result.run, hidden)), say, pushing, told
        )

    def _built(self, job: Job, say: Callable[[Step], None], told: lineage.Told) -> BuildResult:
        """The build itself; however it ends, it is told and recorded."""
        try:
            return build(job, say)
        except PolyportError as error:
            discreet.clean(error, tuple(told.hidden))
            self._record_failure(error, error.run, error.report)
            self._tell_failure(told, error)
            raise
        except BaseException:
            self._tell(told, lineage.aborted(told, self.clock()))
            raise

    def _finished(
        self,
        result: BuildResult,
        say: Callable[[Step], None],
        pushing: Sequence[Pushed],
        told: lineage.Told,
    ) -> BuildResult:
        """What follows a publish: contracts kept, pushes, lineage, the record, expiry."""
        try:
            contracts.keep(self.ledger.journal, self.spec, result.snapshot)
            pushed = self._push(pushing, result, say)
            run = replace(result.run, steps=(*result.run.steps, *pushed))
            run = replace(run, steps=(*run.steps, *self._lineage(told, run, result, say)))
            self._record(run, result.report)
            if run.outcome == "published":
                self.expire()
        except PolyportError as error:
            discreet.clean(error, tuple(told.hidden))
            error.unchanged = "the snapshot is served; what follows a publish was not finished: polyport build goes on"
            self._record_failure(error, replace(result.run, error=str(error)), result.report)
            self._tell_failure(told, error)
            raise
        return replace(result, run=run)

    def _teller(self, job: Job, hidden: Sequence[str]) -> lineage.Told:
        return lineage.Told(
            self.spec,
            job.run,
            self._identify,
            job.seen,
            self._sizes,
            self._engine_version(),
            hidden,
        )

    @property
    def policy(self) -> Policy:
        """Who sees what, as it stands now."""
        return self.control.derived(("policy", self.spec.id), self._policy)

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
        lifecycle.check_served(self.spec, principal, port)
        asked = (principal, port, purpose)
        held = self.store.hold(self.spec.id, ref)
        return self._view(asked, held, self.store.files, keyed=self._keyed, mapping=mapping)

    def _view(
        self,
        asked: tuple[Principal, str, str],
        held: AbstractContextManager[Snapshot],
        files: Callable[[Snapshot, str], Sequence[str]],
        *,
        keyed: Callable[[Snapshot, str], KeyedIndex | None],
        mapping: Mapped | Aside | None,
    ) -> View:
        """A view for whoever asked (principal, port, purpose) of what is held."""
        principal, port, purpose = asked
        rows_limit = self._limited(principal)
        position = self.control.position()
        admissions = self._admissions()
        admission = admissions.admit(principal, port, purpose)
        policy = self.policy
        snapshot = held.__enter__()
        return View(
            snapshot,
            admission.principal,
            port,
            admission.purpose,
            policy,
            self.engine,
            files,
            self.ledger.record_read,
            release=lambda: _leave(held),
            keyed=keyed,
            results=self.results,
            mapping=mapping,
            refusal=self._refusal(principal, admission),
            rows_limit=rows_limit,
            still=Standing(admissions, admission, asked, position, self._unchanged(policy)),
        )

    def desk(self) -> Desk:
        """Where its data sharing agreements are asked for and decided on."""
        return Desk(self.control, self.spec, self.policy.roles)

    def history(self) -> Sequence[Snapshot]:
        """All kept snapshots, oldest first."""
        return self.store.history(self.spec.id)

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
        """Remove the snapshots that the product's retention does not keep."""
        settings = configuration.running_settings(self.control, self.spec)
        before = self.clock() - timedelta(days=settings.keep_days) if settings.keep_days else None
        return self.store.expire(self.spec.id, keep=settings.keep_snapshots, before=before)

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
            [port for port in self.ports() if isinstance(port, Pushed)],
            self.clock,
        )

    def ports(self, identify: Identify = local_owner) -> list[OutputPort]:
        """The output ports of the descriptor, each given what is promised and one way to the rows."""
        made: list[OutputPort] = []
        for spec in self.spec.outputs:
            settings, _ = resolve(
                dict(spec.settings), home=self.spec.home, where=f"ports.{spec.name}"
            )
            context = OutputContext(
                self.spec,
                replace(spec, settings=settings),
                _Open(self, spec.name, spec),
                identify,
                self._scratch(),
            )
            made.append(ports.load("output", spec.type, where=spec.name)(context))
        self.opened += made
        return made

    def served(self, identify: Identify = local_owner) -> list[Served]:
        """The output ports that answer HTTP requests."""
        return [port for port in self.ports(identify) if isinstance(port, Served)]

    def management(self, identify: Identify, outputs: Sequence[OutputPort]) -> list[ManagementPort]:
        """The information and configuration ports."""
        made: list[ManagementPort] = []
        for group in MANAGEMENT:
            for name in ports.types(group):
                context = ManagementContext(
                    self.spec,
                    _Open(self, name),
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
                    made,
                    lambda: self.clock(),  # noqa: PLW0108 - it may be set to another
                )
                made.append(ports.load(group, name)(context))
        return made

    def failing(self, port: str = "library") -> FailingRows:
        """Gives the rows that failed, read through `port`: those set aside, and those that break a rule."""

        def see(principal: Principal, purpose: str, stands_for: Snapshot, parts: Aside) -> View:
            lifecycle.check_served(self.spec, principal, port)
            return self._view(
                (principal, port, purpose),
                nullcontext(stands_for),
                lambda *_: (),
                keyed=lambda *_: None,
                mapping=parts,
            )

        quarantine = self.state / "quarantine" / safe(self.spec.id)
        return FailingRows(self.spec, quarantine, self.engine, self.store, self.ledger, see)

    def speed_up(self) -> None:
        """From now on keep aggregates, and of what is read a keyed index, and hot tables: for a process that serves."""
        if self.keyed is None:
            self.results = Results()
            folder = self.state / "keyed" / quote(self.spec.id, safe="")
            self.keyed = KeyedIndexes(folder, self.engine, self.store.files)
            if isinstance(self.engine, DuckDBEngine):
                self.engine.keep_hot()

    def _policy(self) -> Policy:
        promised = {name: [p.name for p in o.properties] for name, o in self.spec.objects.items()}
        settings = configuration.access_settings(self.control, self.spec)
        return Policy(self.spec.id, settings.roles, self.salt, promised)

    def _admissions(self) -> Admissions:
        return configuration.admissions(self.control, self.spec, self.clock)

    def _refusal(self, principal: Principal, admission: Admission) -> AccessError | None:
        """Why nothing may be read: the product's state, or no agreement."""
        found = lifecycle.refusal(self.spec, principal)
        if found is not None or not admission.refusal:
            return found
        return AccessError(admission.refusal, where=self.spec.id, fix=admission.fix)

    def _limited(self, principal: Principal) -> int:
        """Count a request of `principal`, and give how many rows it may read at once; 0: any number."""
        if principal.owns(self.spec.id) or not principal.needs_agreement:
            return 0
        limits = configuration.running_settings(self.control, self.spec)
        if limits.requests_per_minute:
            self.requests.count(principal.id, limits.requests_per_minute, where=self.spec.id)
        return limits.rows_per_read

    def _limit_engine(self) -> None:
        """Give the engine what the settings say by now."""
        if isinstance(self.engine, DuckDBEngine):
            limits = configuration.running_settings(self.control, self.spec)
            self.engine.limit(memory=limits.memory, threads=limits.threads)

    def _unchanged(self, policy: Policy) -> Callable[[], bool]:
        return lambda: self.policy is policy or self.policy == policy

    def _keyed(self, snapshot: Snapshot, dataset: str) -> KeyedIndex | None:
        if self.keyed is None:
            return None
        promised = self.spec.objects.get(dataset)
        columns = [list(r.columns) for r in promised.relationships] if promised else []
        for port in self.spec.outputs:
            columns += port.settings.get("index", {}).get(dataset, [])
        return self.keyed.get(snapshot, dataset, columns)

    def _taken(self) -> frozenset[str]:
        """What the settings of all ports take from the environment and from files: never to be told."""
        found: set[str] = set()
        for spec in (*self.spec.inputs, *self.spec.outputs):
            found.update(resolve(dict(spec.settings), home=self.spec.home)[1].values())
        return frozenset(found)

    def _input(self, spec: Port) -> InputPort:
        settings, taken = resolve(
            dict(spec.settings), home=self.spec.home, where=f"inputs.{spec.name}"
        )
        context = InputContext(
            replace(spec, settings=settings),
            self.spec.home,
            self.spec.contract(spec),
            self._open_neighbour if self.neighbour else None,
            taken,
            self.spec.id,
            self._scratch(),
        )
        port: InputPort = ports.load("input", spec.type, where=spec.name)(context)
        return port

    def _scratch(self) -> Path:
        folder = self.state / "scratch" / "ports"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _open_neighbour(self, product: str, ref: Ref) -> View:
        """Another product, read as this one: a principal of its own with the role `product:<id>` and `consumer`."""
        if self.neighbour is None:
            raise ConfigurationError(
                f"{product!r} is not in reach", where=self.spec.id, fix="build it in its mesh"
            )
        roles = frozenset({f"product:{self.spec.id}", "consumer"})
        return self.neighbour(product).open(
            Principal(f"product:{self.spec.id}", roles), ref, port="product"
        )

    def _push(
        self, ports: Sequence[Pushed], result: BuildResult, say: Callable[[Step], None]
    ) -> tuple[Step, ...]:
        if result.snapshot is None:
            return ()
        steps = []
        for port in ports:
            started = self.clock()
            written = port.push(result.snapshot, result.previous, self.spec.home)
            if written:
                seconds = (self.clock() - started).total_seconds()
                steps.append(
                    Step("push", port.context.spec.name, f"{len(written)} files", seconds=seconds)
                )
                say(steps[-1])
        return tuple(steps)

    def _lineage(
        self, told: lineage.Told, run: Run, result: BuildResult, say: Callable[[Step], None]
    ) -> tuple[Step, ...]:
        """Tell how the run ended; a step says so where that is sent somewhere."""
        if result.snapshot is None:
            return ()
        started = self.clock()
        event = lineage.ended(told, run, started, snapshot=result.snapshot, report=result.report)
        unsent = self._tell(told, event)
        if self.lineage_target is None:
            return ()
        seconds = (self.clock() - started).total_seconds()
        status: Status = "warn" if unsent else "pass"
        made = Step("lineage", self.spec.id, unsent or "sent", seconds=seconds, status=status)
        say(made)
        return (made,)

    def _tell(self, told: lineage.Told, event: Mapping[str, Any]) -> str:
        erased = self._tombstones()
        said = erased.document(event) if erased else event
        return lineage.keep_and_send(
            self.ledger.journal, self.spec.id, told.run, said, self.lineage_target
        )

    def _tell_failure(self, told: lineage.Told, error: PolyportError) -> None:
        """Tell of a run that ended in `error`; it stays the error to tell where the ledger fails too."""
        try:
            self._tell(told, lineage.failed(told, error, self.clock(), report=error.report))
        except StoreError as second:
            error.add_note(f"nor could its lineage be kept: {second}")

    def _engine_version(self) -> tuple[str, str]:
        return self.engine.dialect, version(self.engine.dialect)

    def _sizes(self, snapshot: Snapshot, dataset: str) -> Sequence[int]:
        """The bytes of each file of a dataset."""
        return [Path(file).stat().st_size for file in self.store.files(snapshot, dataset)]

    def _record_failure(
        self, error: PolyportError, run: Run | None, report: QualityReport | None
    ) -> None:
        """Record what ended in `error`; it stays the error to tell where the ledger fails too."""
        try:
            self._record(run, report)
        except StoreError as second:
            error.add_note(f"nor could the run be recorded: {second}")

    def _record(self, run: Run | None, report: QualityReport | None) -> None:
        erased = self._tombstones()
        if run is not None:
            self.ledger.record_run(erased.run(run) if erased else run)
        if report is not None:
            self.ledger.record_report(erased.report(report) if erased else report)

    def _tombstones(self) -> Tombstones | None:
        return tombstones.load(self.ledger.journal, self.spec.id, self.salt) or None


@dataclass(frozen=True, slots=True)
class _Open:
    """`access.Open` for one port of a product."""

    product: Product
    port: str
    spec: Port | None = None
    """The output port; None for a management port."""

    def __call__(self, principal: Principal, ref: Ref = LATEST, *, purpose: str = "") -> View:
        mapping = None
        if self.spec is not None:
            self._served(self.spec)
            mapping = Mapped(self.spec.mapping) if self.spec.mapping else None
        return self.product.open(principal, ref, port=self.port, purpose=purpose, mapping=mapping)

    def _served(self, spec: Port) -> None:
        if spec.sunset is not None and self.product.clock().date() >= spec.sunset:
            newer = self.product.spec.successor(spec)
            raise RetiredError(
                f"version {spec.version} of the port {spec.name!r} is not served since {spec.sunset}",
                where=self.product.spec.id,
                fix=f"use version {newer.version}" if newer else "ask the product's owner",
            )

    def snapshots(self) -> Sequence[Snapshot]:
        return self.product.history()


def _engine(settings: Settings, folder: Path) -> DuckDBEngine:
    if settings.engine != "duckdb":
        raise ConfigurationError(
            f"no engine {settings.engine!r}", where="polyport.yaml", fix="engine: {type: duckdb}"
        )
    spill = folder / "scratch" / "spill"
    return DuckDBEngine(memory=settings.memory, threads=settings.threads, scratch=spill)


def _leave(held: AbstractContextManager[Snapshot]) -> None:
    held.__exit__(None, None, None)


def _salt(state: Path, product: str) -> str:
    """The product's own secret, made once."""
    path = state / "secrets" / f"{quote(product, safe='')}.salt"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        draft.touch(0o600)
        draft.write_text(secrets.token_hex(32), "ascii")
        with suppress(FileExistsError):  # another process was first: its secret counts
            os.link(draft, path)
        draft.unlink()
    return path.read_text("ascii")


__all__ = ["BuildResult", "Product"]
