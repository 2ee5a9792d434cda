"""The arrows of the design: an import may only point down, and the sandbox stands alone."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import billing

PACKAGE = Path(billing.__file__).parent
TESTS = Path(__file__).parent
BASE = ("__init__", "errors")
# What each part may import besides itself. (`billing/__init__.py` holds the version alone.)
BELOW: dict[str, tuple[str, ...]] = {
    "__init__": (),
    "errors": (),
    "core": BASE,
    "config": (*BASE, "core"),
    "store": (*BASE, "core", "config"),
    "gateway": (*BASE, "core", "config"),
    "mail": (*BASE, "core", "config"),
    "lifecycle": (*BASE, "core", "store"),
    "cycle": (*BASE, "core", "config", "store", "lifecycle"),
    "app": (*BASE, "core", "config", "store", "gateway", "mail", "lifecycle", "cycle"),
    "sandbox": (),
}
ABOVE = ("cli", "daemon", "web")
BELOW |= dict.fromkeys(ABOVE, (*BELOW["app"], "app"))
# Layer 6 is one layer: the command line starts the daemon, and the daemon serves the web pages.
BELOW["cli"] += ("daemon", "web")
BELOW["daemon"] += ("web",)
BELOW["__main__"] = ("cli",)

SANDBOX_USERS = {"app/sandbox_host.py", "cli/sandbox.py"}
LONGEST = 400
CLOCKLESS = ("core", "store", "lifecycle", "cycle")
CLOCKS = {"now", "today", "utcnow", "time", "time_ns", "monotonic", "perf_counter"}
# Time that only spaces requests out, and decides nothing.
CLOCKS_ALLOWED = {"cycle/pace.py": "get_running_loop().time"}


@dataclass(frozen=True)
class Import:
    """One import of a part of this program."""

    path: str
    line: int
    part: str
    lazy: bool

    @property
    def importer(self) -> str:
        return part_of(self.path)

    def __str__(self) -> str:
        return f"billing/{self.path}:{self.line} imports billing.{self.part}"


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: str) -> str:
    return path.split("/")[0].removesuffix(".py")


def names_of(node: ast.AST, package: list[str]) -> Iterator[str]:
    """The modules that an import statement may load, in full."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        start = package[: len(package) - node.level + 1] if node.level else []
        module = ".".join([*start, *([node.module] if node.module else [])])
        yield from (f"{module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("__import__", "importlib.import_module"):
        values = (argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant))
        yield from (value for value in values if isinstance(value, str))


def part_named(rest: str) -> str:
    """The part that a name below `billing` belongs to; what is none is in the package itself."""
    part = rest.split(".")[0]
    exists = part and ((PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").exists())
    return part if exists else "__init__"


def imports_of(path: Path) -> Iterator[Import]:
    place = path.relative_to(PACKAGE).as_posix()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ["billing", *Path(place).parent.parts]
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        for name in names_of(node, package):
            root, _, rest = name.partition(".")
            if root == "billing":
                assert isinstance(node, ast.stmt | ast.expr)
                yield Import(place, node.lineno, part_named(rest), id(node) in inside)


IMPORTS = [found for path in files() for found in imports_of(path)]


def test_every_part_of_the_program_has_its_layer() -> None:
    parts = {part_of(path.relative_to(PACKAGE).as_posix()) for path in files()}
    assert sorted(parts - set(BELOW)) == []
    assert {found.importer for found in IMPORTS} >= {
        "core",
        "config",
        "store",
        "gateway",
        "mail",
        "lifecycle",
        "cycle",
        "app",
    }


def test_an_import_points_down() -> None:
    wrong = [
        str(found)
        for found in IMPORTS
        if found.part not in (found.importer, *BELOW[found.importer]) and found.part != "sandbox"
    ]
    assert not wrong, "\n".join(wrong)


def test_only_two_modules_know_the_sandbox_and_load_it_when_they_need_it() -> None:
    users = [found for found in IMPORTS if found.part == "sandbox" and found.importer != "sandbox"]
    wrong = [str(found) for found in users if found.path not in SANDBOX_USERS or not found.lazy]
    assert not wrong, "\n".join(wrong)
    assert {found.path for found in users} == SANDBOX_USERS


def test_the_sandbox_knows_nothing_of_the_rest() -> None:
    wrong = [str(found) for found in IMPORTS if found.importer == "sandbox" and found.part != "sandbox"]
    assert not wrong, "\n".join(wrong)


def test_below_the_edge_nobody_reads_a_clock() -> None:
    wrong = []
    for path in files():
        place = path.relative_to(PACKAGE).as_posix()
        if part_of(place) not in CLOCKLESS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in CLOCKS
            ):
                call = ast.unparse(node.func)
                if CLOCKS_ALLOWED.get(place, "\n") not in call:
                    wrong.append(f"billing/{place}:{node.lineno} calls {call}()")
    assert not wrong, "\n".join(wrong)


def length_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("folder", [PACKAGE, TESTS], ids=["billing", "tests"])
def test_no_file_is_longer_than_can_be_read_at_a_sitting(folder: Path) -> None:
    lengths = {path.relative_to(folder.parent).as_posix(): length_of(path) for path in folder.rglob("*.py")}
    assert lengths
    wrong = [f"{place}: {length} lines" for place, length in lengths.items() if length > LONGEST]
    assert not wrong, "\n".join(sorted(wrong))


TESTED_BY_NAME = ("cycle", "lifecycle", "store", "gateway", "mail", "app")


@pytest.mark.parametrize("layer", TESTED_BY_NAME)
def test_every_module_has_the_tests_that_bear_its_name(layer: str) -> None:
    """So whoever edits a module knows which file to run first; more of its tests may stand beside it."""
    modules = {path.stem for path in (PACKAGE / layer).glob("*.py")} - {"__init__"}
    assert modules
    named = {path.stem.removeprefix("test_") for path in (TESTS / layer).glob("test_*.py")}
    wrong = [f"billing/{layer}/{each}.py has no tests/{layer}/test_{each}.py" for each in modules - named]
    assert not wrong, "\n".join(sorted(wrong))


DATABASE_PACKAGES = {"sqlalchemy", "sqlmodel", "alembic", "psycopg", "sqlite3"}
KNOWS_SQL = ("store", "lifecycle")
# A driver's own backup, and versions that are told: no SQL of ours.
DRIVERS_ALLOWED = {"app/backup.py": {"sqlite3"}, "app/doctor.py": {"sqlite3"}}


def roots_of(path: Path) -> set[str]:
    """The packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_sql_stands_in_the_store_and_the_lifecycle_alone() -> None:
    wrong = []
    for path in files():
        place = path.relative_to(PACKAGE).as_posix()
        known = roots_of(path) & DATABASE_PACKAGES - DRIVERS_ALLOWED.get(place, set())
        if known and part_of(place) not in KNOWS_SQL:
            wrong.append(f"billing/{place} imports {', '.join(sorted(known))}")
    assert not wrong, "\n".join(wrong)


def test_the_command_line_asks_the_app_and_never_the_store() -> None:
    wrong = [
        str(found) for found in IMPORTS if found.importer == "cli" and found.part in ("store", "lifecycle")
    ]
    assert not wrong, "\n".join(wrong)


def writes_a_state(node: ast.AST) -> bool:
    """`state=PaymentState…` in a call, or `"state": PaymentState…` in a row that is written."""
    if isinstance(node, ast.keyword):
        return node.arg == "state" and "PaymentState." in ast.unparse(node.value)
    return isinstance(node, ast.Dict) and any(
        isinstance(key, ast.Constant) and key.value == "state" and "PaymentState." in ast.unparse(value)
        for key, value in zip(node.keys, node.values, strict=True)
    )


def test_a_payments_state_is_written_by_the_lifecycle_alone() -> None:
    places = {
        place
        for path in files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if writes_a_state(node)
        and not (place := path.relative_to(PACKAGE).as_posix()).startswith("lifecycle/")
    }
    assert places == {"store/remote_checks.py"}  # as the WHERE of a note


TYPED = ("core", "lifecycle", "cycle", "store")
UNTYPED = ("Row[", "dict[str, Any]", "Mapping[str, Any]")
# A JSON document has no columns; a query that is put together has no rows yet.
UNTYPED_ALLOWED = {"to_json"}


def borders(path: Path) -> Iterator[tuple[str, int, str]]:
    """(name, line, annotation) of every parameter and answer that other modules may see."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        given = [*node.args.args, *node.args.kwonlyargs, *filter(None, [node.args.vararg, node.args.kwarg])]
        annotations = [argument.annotation for argument in given] + [node.returns]
        for annotation in filter(None, annotations):
            yield node.name, node.lineno, ast.unparse(annotation)


def test_no_row_without_named_fields_crosses_a_module_border() -> None:
    wrong = [
        f"billing/{path.relative_to(PACKAGE).as_posix()}:{line} {name}: {annotation}"
        for path in files()
        if part_of(path.relative_to(PACKAGE).as_posix()) in TYPED and "migrations" not in path.parts
        for name, line, annotation in borders(path)
        if name not in UNTYPED_ALLOWED
        and (annotation == "Any" or any(each in annotation for each in UNTYPED))
    ]
    assert not wrong, "\n".join(wrong)


WITHOUT_SANDBOX = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "aiohttp" or name.startswith("billing.sandbox"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import billing
for module in pkgutil.walk_packages(billing.__path__, "billing.", onerror=lambda name: None):
    runs_at_once = module.name.endswith("__main__") or ".migrations" in module.name
    if not runs_at_once and not module.name.startswith("billing.sandbox"):
        importlib.import_module(module.name)
print("all loaded")
"""


def test_everything_but_the_sandbox_loads_without_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SANDBOX], capture_output=True, text=True, check=False
    )
    assert done.stdout == "all loaded\n", done.stderr


@pytest.mark.parametrize(
    ("source", "part", "lazy"),
    [
        ("import billing.store.models", "store", False),
        ("from billing.store import models", "store", False),
        ("from billing import store", "store", False),
        ("from billing import __version__", "__init__", False),
        ("import billing", "__init__", False),
        ("from ..store import models", "store", False),
        ("from .. import store", "store", False),
        ("from . import plan", "cycle", False),
        ("def f():\n    from billing.sandbox import x", "sandbox", True),
        ("async def f():\n    import billing.sandbox", "sandbox", True),
        ("class C:\n    import billing.sandbox", "sandbox", False),
        ("if TYPE_CHECKING:\n    from billing.mail import x", "mail", False),
        ("import importlib\nimportlib.import_module('billing.mail.smtp')", "mail", False),
    ],
)
def test_this_test_sees_every_kind_of_import(source: str, part: str, lazy: bool) -> None:
    tree = ast.parse(source)
    inside = any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in tree.body)
    found = [name for node in ast.walk(tree) for name in names_of(node, ["billing", "cycle"])]
    parts = [part_named(name.partition(".")[2]) for name in found if name.startswith("billing")]
    assert (parts[-1], inside) == (part, lazy)
