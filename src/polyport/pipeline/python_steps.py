"""Python steps: one function a file. Its parameters are tables; its annotations say in which form they come and go."""

from __future__ import annotations

import ast
import itertools
import sys
import threading
import traceback
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeAlias

import pyarrow as pa

from polyport.errors import MissingExtraError, PolyportError, TransformError
from polyport.expression import quote
from polyport.model import Query, Relation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import ModuleType

    from polyport.engine import Engine

Form: TypeAlias = Literal["table", "reader", "batches", "ibis"]

_FORMS: dict[str, Form] = {
    "pyarrow.Table": "table",
    "pyarrow.lib.Table": "table",
    "pyarrow.RecordBatchReader": "reader",
    "pyarrow.lib.RecordBatchReader": "reader",
    "pyarrow.ipc.RecordBatchReader": "reader",
    "ibis.Table": "ibis",
    "ibis.expr.types.Table": "ibis",
    "ibis.expr.types.relations.Table": "ibis",
}
_ITERATORS = {
    f"{m}.{n}" for m in ("collections.abc", "typing") for n in ("Iterator", "Iterable", "Generator")
}
_BATCH = {"pyarrow.RecordBatch", "pyarrow.lib.RecordBatch"}
_TAKES = "pa.Table, pa.RecordBatchReader or ibis.Table"
_GIVES = "pa.Table, pa.RecordBatchReader, Iterator[pa.RecordBatch] or ibis.Table"
_loading = threading.Lock()
_number = itertools.count()


@dataclass(frozen=True, slots=True)
class PythonCode:
    """A Python step, read but not yet run."""

    path: Path
    name: str
    where: str
    takes: Mapping[str, Form]
    """Parameter -> form, in order."""
    gives: Form


def read_python(path: Path, text: str, where: str) -> PythonCode:
    """The step in `path`, told from its `text` alone: nothing of it is run.

    Raises:
        TransformError: It has no function of its own name, or the function does not say what it takes and gives.
    """
    tree = ast.parse(text, str(path))
    function = _function(tree, path.stem, where)
    names = _imports(tree)
    parameters = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    takes = {p.arg: _taken(p, names, where) for p in parameters}
    gives = _given(function, names, where)
    if "ibis" in {gives, *takes.values()} and {gives, *takes.values()} != {"ibis"}:
        raise TransformError(
            f"{path.stem}() mixes ibis and Arrow: an ibis expression is not rows yet",
            where=_at(where, function),
            fix="annotate every parameter and the result as ibis.Table, or none",
        )
    return PythonCode(path, path.stem, where, takes, gives)


def _function(tree: ast.Module, name: str, where: str) -> ast.FunctionDef:
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = next((f for f in functions if f.name == name), None)
    if found is None:
        there = ", ".join(f.name for f in functions) or "none"
        raise TransformError(
            f"no function {name!r}", where=where, fix=f"define {name}(); functions here: {there}"
        )
    if isinstance(found, ast.AsyncFunctionDef):
        raise TransformError(f"{name}() is async", where=_at(where, found), fix=f"def {name}(...)")
    if found.args.vararg or found.args.kwarg:
        raise TransformError(
            f"{name}() takes *args or **kwargs, so its tables are unknown",
            where=_at(where, found),
            fix="name each table as a parameter",
        )
    return found


def _imports(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for, also under `if TYPE_CHECKING:`."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name if alias.asname else alias.name.split(".")[0]
                names[alias.asname or top] = top
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return names


def _taken(parameter: ast.arg, names: Mapping[str, str], where: str) -> Form:
    form = _form(parameter.annotation, names)
    if form is None or form == "batches":
        raise _unknown(
            f"parameter {parameter.arg!r}", parameter.annotation, _at(where, parameter), _TAKES
        )
    return form


def _given(function: ast.FunctionDef, names: Mapping[str, str], where: str) -> Form:
    form = _form(function.returns, names)
    if form is None:
        place = _at(where, function.returns or function)
        raise _unknown(f"the result of {function.name}()", function.returns, place, _GIVES)
    return form


def _unknown(what: str, annotation: ast.expr | None, where: str, allowed: str) -> TransformError:
    if annotation is None:
        return TransformError(f"{what} has no annotation", where=where, fix=f"one of: {allowed}")
    said = ast.unparse(annotation)
    return TransformError(f"{what} is annotated {said}", where=where, fix=f"one of: {allowed}")


def _form(annotation: ast.expr | None, names: Mapping[str, str]) -> Form | None:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except SyntaxError:
            return None
    if isinstance(annotation, ast.Subscript) and _dotted(annotation.value, names) in _ITERATORS:
        inner = annotation.slice
        first = inner.elts[0] if isinstance(inner, ast.Tuple) else inner
        return "batches" if _dotted(first, names) in _BATCH else None
    return _FORMS.get(_dotted(annotation, names))


def _dotted(node: ast.expr | None, names: Mapping[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (head := _dotted(node.value, names)):
        return f"{head}.{node.attr}"
    return ""


def _at(where: str, node: ast.expr | ast.arg | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return f"{where}:{node.lineno}:{node.col_offset + 1}"


def run_arrow(
    code: PythonCode,
    relations: Mapping[str, Relation],
    *,
    engine: Engine,
    home: Path,
    save: Callable[[pa.RecordBatchReader], None],
) -> None:
    """Call the step and hand its rows to `save`, as they come.

    Raises:
        TransformError: The step's own code failed, or gave something else than it says.
    """
    with _loaded(code, home) as function, ExitStack() as stack:
        tables = {
            name: _table(
                stack.enter_context(engine.query(f"SELECT * FROM {quote(name)}", {name: r})), form
            )
            for (name, r), form in ((one, code.takes[one[0]]) for one in relations.items())
        }
        failure: list[PolyportError] = []
        with _user_code(code, home), _talking():
            result = _call(function, tables)
        reader = _reader(code, result, home, failure)
        with reader:
            try:
                save(reader)
            finally:
                # An engine may make an error of its own of what a generator raised: the first cause is the answer.
                if failure:
                    raise failure[0]


def run_ibis(
    code: PythonCode, relations: Mapping[str, Relation], *, engine: Engine, home: Path
) -> Relation:
    """The step's expression as a relation that is not computed yet.

    Raises:
        MissingExtraError: ibis is not installed.
        TransformError: The step's own code failed, or gave something else than it says.
    """
    try:
        import ibis  # noqa: PLC0415 - optional and heavy
        import ibis.formats.pyarrow  # noqa: PLC0415 - needs a package that ibis alone does not bring
    except ImportError as error:
        raise MissingExtraError(
            "ibis is not installed", where=code.where, fix="pip install 'polyport[ibis]'"
        ) from error
    with _loaded(code, home) as function:
        tables = {
            name: ibis.table(
                ibis.Schema.from_pyarrow(engine.schema(f"SELECT * FROM {quote(name)}", {name: r})),
                name=name,
            )
            for name, r in relations.items()
        }
        with _user_code(code, home), _talking():
            result = _call(function, tables)
        if not isinstance(result, ibis.expr.types.Table):
            raise _wrong_result(code, result)
        with _user_code(code, home):
            sql = str(ibis.to_sql(result, dialect=engine.dialect))
    return Relation(Query(sql, dict(relations)))


def _call(function: Callable[..., Any], tables: Mapping[str, Any]) -> Any:
    places = function.__code__.co_posonlyargcount
    names = list(tables)
    return function(*(tables[n] for n in names[:places]), **{n: tables[n] for n in names[places:]})


def _table(reader: pa.RecordBatchReader, form: Form) -> pa.Table | pa.RecordBatchReader:
    return reader.read_all() if form == "table" else reader


def _reader(
    code: PythonCode, result: Any, home: Path, failure: list[PolyportError]
) -> pa.RecordBatchReader:
    if code.gives == "table" and isinstance(result, pa.Table):
        return result.to_reader()
    if code.gives == "reader" and isinstance(result, pa.RecordBatchReader):
        return pa.RecordBatchReader.from_batches(
            result.schema, _guarded(code, result, home, failure)
        )
    if code.gives == "batches" and hasattr(result, "__iter__"):
        batches = _guarded(code, result, home, failure)
        first = next(batches, None)
        if first is None:
            raise TransformError(
                f"{code.name}() gave no batch, so its columns are unknown",
                where=code.where,
                fix="give an empty batch, or return a pa.RecordBatchReader",
            )
        return pa.RecordBatchReader.from_batches(first.schema, itertools.chain([first], batches))
    raise _wrong_result(code, result)


def _guarded(
    code: PythonCode, batches: Any, home: Path, failure: list[PolyportError]
) -> Iterator[pa.RecordBatch]:
    try:
        with _user_code(code, home):
            schema = None
            for batch in _each(batches):
                if not isinstance(batch, pa.RecordBatch):
                    raise _wrong_result(code, batch)
                schema = schema or batch.schema
                if batch.schema != schema:
                    raise TransformError(
                        f"{code.name}() gave batches of different columns: {batch.schema.names} "
                        f"after {schema.names}",
                        where=code.where,
                    )
                yield batch
    except PolyportError as error:
        failure.append(error)
        raise


def _each(batches: Iterable[Any]) -> Iterator[Any]:
    """The batches, their code held to stderr; between two of them, what others print goes where it went."""
    iterator = iter(batches)
    end = object()
    while True:
        with _talking():
            batch = next(iterator, end)
        if batch is end:
            return
        yield batch


def _talking() -> redirect_stdout[TextIO]:
    """While it lasts, what the product's own code prints is talk: stdout is for data."""
    return redirect_stdout(sys.stderr)


def _wrong_result(code: PythonCode, result: object) -> TransformError:
    said = {"table": "a pa.Table", "reader": "a pa.RecordBatchReader", "ibis": "an ibis.Table"}
    expected = said.get(code.gives, "an iterator of pa.RecordBatch")
    return TransformError(
        f"{code.name}() gave a {type(result).__name__} where it says {expected}", where=code.where
    )


@contextmanager
def _user_code(code: PythonCode, home: Path) -> Iterator[None]:
    """The one boundary around the product's own Python."""
    try:
        yield
    except PolyportError:
        raise
    except (Exception, SystemExit) as error:
        where = _frame(error, code, home)
        raise TransformError(f"{type(error).__name__}: {error}", where=where) from error


def _frame(error: BaseException, code: PythonCode, home: Path) -> str:
    """The innermost line of the product's own code."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path == code.path:
            return f"{code.where}:{frame.lineno}"
        if _is_ours(path, home):
            return f"{path.absolute().relative_to(home.absolute()).as_posix()}:{frame.lineno}"
    return code.where


class _Loader(SourceFileLoader):
    """Leaves no bytecode in the product's folder."""

    def set_data(self, path: object, data: object, *, _mode: int = 0) -> None:
        """Keep nothing."""


@contextmanager
def _loaded(code: PythonCode, home: Path) -> Iterator[Callable[..., Any]]:
    """The step's function; its module, and the product's own modules that it imports, are forgotten afterwards."""
    name = f"_polyport_step_{next(_number)}_{code.name}"
    loader = _Loader(name, str(code.path))
    spec = spec_from_loader(name, loader)
    before = set(sys.modules)
    try:
        with _user_code(code, home), _importing(home), _talking():
            module = _executed(spec, loader)
        yield getattr(module, code.name)
    finally:
        for other in set(sys.modules) - before:
            if _lies_in(sys.modules[other], home):
                del sys.modules[other]


def _executed(spec: ModuleSpec | None, loader: _Loader) -> ModuleType:
    if spec is None:
        raise ImportError(f"cannot load {loader.path}")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    loader.exec_module(module)
    return module


def _lies_in(module: ModuleType, home: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and _is_ours(Path(file), home)


def _is_ours(path: Path, home: Path) -> bool:
    ours = path.absolute().is_relative_to(home.absolute())
    return ours and "site-packages" not in path.parts


@contextmanager
def _importing(home: Path) -> Iterator[None]:
    """While it lasts, modules of the product's folder can be imported; no bytecode is written."""
    with _loading:
        bytecode, path = sys.dont_write_bytecode, list(sys.path)
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(home.absolute()))
        try:
            yield
        finally:
            sys.path[:] = path
            sys.dont_write_bytecode = bytecode
