"""What the shape of the code promises, beyond what the import contracts can say."""

import ast
import graphlib
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

import kew

PACKAGE = Path(kew.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

VALUES = {"attr", "attrs", "collections", "dataclasses", "datetime", "decimal", "enum", "fractions"}
FUNCTIONS = {
    "bisect",
    "difflib",
    "functools",
    "heapq",
    "itertools",
    "math",
    "operator",
    "re",
    "string",
    "zlib",
}
TYPES = {"__future__", "abc", "numbers", "types", "typing"}
PURE = VALUES | FUNCTIONS | TYPES | {"kew"}
"""What the domain may import."""

INSTALLED = {"attr", "attrs", "hiredis", "kew", "msgspec", "redis"}
"""What `pip install kew` brings."""

EXTRAS = {
    "adapters/codecs": {"cloudpickle"},
    "app/injection.py": {"uncalled_for"},
    "app/scheduling": {"cronsim"},
    "cli": {"click", "rich"},
    "metrics": {"prometheus_client"},
    "simulation/lua": {"fakeredis"},
    "testing/plugin.py": {"pytest"},
    "tracing": {"opentelemetry"},
    "web": {"fastapi", "pydantic", "starlette"},
    "cli/web.py": {"uvicorn"},
}
"""What a part of kew may import besides, since an extra brings it, or who loads it has it."""

LONGEST_FILE = 400
LONGEST_FUNCTION = 40
LONGEST_CLASS = 250
MOST_METHODS = 20


@attrs.frozen
class Import:
    module: str
    line: int

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


def path_in_package(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports_of(node: ast.AST) -> Iterator[Import]:
    """Every import below this node, but for those that only the type checker sees."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                for other in child.orelse:
                    yield from imports_of(other)
            case ast.Import(names=names):
                yield from (Import(name.name, child.lineno) for name in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield Import(module, child.lineno)
            case _:
                yield from imports_of(child)


def imports_outside(path: Path, allowed: set[str]) -> list[str]:
    found = imports_of(ast.parse(path.read_text()))
    where = path_in_package(path)
    return [f"{where}:{one.line}: {one.module}" for one in found if one.package not in allowed]


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, its docstring not counted."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        assert first.end_lineno is not None
        lines -= first.end_lineno - first.lineno + 1
    return lines


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def has_a_reason(one: Definition, path: Path, word: str = "Long") -> bool:
    """Whether a comment that begins with `# Long:` stands right above the definition."""
    start = min([one.lineno, *(each.lineno for each in one.decorator_list)])
    above = reversed(path.read_text().splitlines()[: start - 1])
    for line in above:
        if not line.strip().startswith("#"):
            return False
        if line.strip().startswith(f"# {word}:"):
            return True
    return False


def classes_of(path: Path) -> Iterator[ast.ClassDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            yield node


def methods_of(one: ast.ClassDef) -> int:
    return sum(isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) for each in one.body)


def name_of(path: Path) -> str:
    name = path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".")
    return name.removesuffix(".__init__")


def modules_imported_by(path: Path, known: set[str]) -> set[str]:
    """Those that this one imports as it is loaded, or that the type checker sees it import."""
    found: set[str] = set()
    for node in _loaded_with(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                found.update(name.name for name in names)
            case ast.ImportFrom(module=str(module), names=names):
                for name in names:
                    inner = f"{module}.{name.name}"
                    found.add(inner if inner in known else module)
            case _:
                pass
    return found & known - {name_of(path)}


def _loaded_with(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _loaded_with(child)


def test_the_domain_imports_the_pure_part_of_the_standard_library_and_attrs():
    impure = [
        line
        for path in sorted((PACKAGE / "domain").rglob("*.py"))
        for line in imports_outside(path, PURE)
    ]
    assert impure == []


def test_kew_imports_only_what_installing_it_brings():
    surprising = []
    for path in MODULES:
        part = path_in_package(path)
        extras = [names for folder, names in EXTRAS.items() if part.startswith(folder)]
        surprising += imports_outside(path, INSTALLED.union(sys.stdlib_module_names, *extras))
    assert surprising == []


def test_no_modules_import_each_other_in_a_circle_not_even_for_their_types():
    known = {name_of(path) for path in MODULES}
    graph = {name_of(path): modules_imported_by(path, known) for path in MODULES}
    circles = graphlib.TopologicalSorter(graph)
    circles.prepare()  # raises CycleError


def test_no_file_is_too_long_to_hold_in_the_head():
    lengths = {
        path_in_package(path): len(path.read_text().splitlines())
        for path in (*MODULES, *PACKAGE.rglob("*.lua"))
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_a_long_function_gives_its_reason_in_a_comment_that_begins_with_long():
    too_long = [
        f"{path_in_package(path)}:{one.lineno}: {one.name} has {length(one)} lines"
        for path in MODULES
        for one in functions_of(path)
        if length(one) > LONGEST_FUNCTION and not has_a_reason(one, path)
    ]
    assert too_long == []


def test_type_checkers_of_users_see_the_types():
    assert (PACKAGE / "py.typed").exists()


def test_a_long_class_gives_its_reason_in_a_comment_that_begins_with_long():
    too_long = [
        f"{path_in_package(path)}:{one.lineno}: {one.name} has {one.end_lineno - one.lineno + 1} lines"
        for path in MODULES
        for one in classes_of(path)
        if one.end_lineno is not None
        and one.end_lineno - one.lineno >= LONGEST_CLASS
        and not has_a_reason(one, path)
    ]
    assert too_long == []


def test_a_class_with_many_methods_gives_its_reason_in_a_comment_that_begins_with_wide():
    too_wide = [
        f"{path_in_package(path)}:{one.lineno}: {one.name} has {methods_of(one)} methods"
        for path in MODULES
        for one in classes_of(path)
        if methods_of(one) > MOST_METHODS and not has_a_reason(one, path, "Wide")
    ]
    assert too_wide == []
