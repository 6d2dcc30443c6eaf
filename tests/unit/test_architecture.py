"""The import table of docs/architecture.md, kept true."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP = {
    "config", "errors", "runtime", "schemas", "service", "datasets",
    "models", "training", "serving", "consumers", "db", "notify", "deploy", "fleet", "benchmarks",
    "tests",
}  # fmt: skip

BASE = {"errors"}
ALLOWED = {
    "errors": set(),
    "config": {"config", "schemas"},
    "schemas": set(),
    "runtime": set(),
    "datasets": {"datasets", "schemas", "runtime"},
    "models": {"models"},
    "training": {"training", "config", "schemas", "datasets", "models", "db", "runtime"},
    "service": {"config", "schemas", "serving", "runtime"},
    "serving": {"serving", "config", "schemas", "models", "db", "runtime"},
    "consumers": {"consumers", "config", "schemas", "datasets", "db", "runtime"},
    "db": {"db", "config", "schemas", "runtime"},
    "notify": {"notify", "config", "schemas", "db", "runtime"},
    "deploy": {"deploy", "config", "schemas", "datasets", "db", "runtime"},
    "fleet": {"fleet", "config", "schemas", "datasets", "models", "db", "training", "runtime"},
}
#: Files of a package that may import more than its row says.
ALSO = {
    "models/scoring/alarms/stream_events.py": {"schemas"},
    "models/registry/pyfunc.py": {"schemas"},
}


def sources() -> Iterator[Path]:
    for name in sorted(ALLOWED):
        path = ROOT / f"{name}.py"
        yield from [path] if path.exists() else sorted((ROOT / name).rglob("*.py"))


def nodes(tree: ast.AST) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes, and whether they stand under ``if TYPE_CHECKING:``, which never runs."""
    todo = [(tree, False)]
    while todo:
        above, for_types = todo.pop()
        for node in ast.iter_child_nodes(above):
            typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            todo.append((node, for_types or typing))
            yield todo[-1]


@cache
def imports(path: Path) -> frozenset[tuple[str, bool]]:
    """The project's own modules that ``path`` imports anywhere, and whether for types only."""
    names: set[tuple[str, bool]] = set()
    for node, for_types in nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {(alias.name, for_types) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {(f"{node.module}.{alias.name}", for_types) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(("." * node.level, for_types))
    return frozenset(one for one in names if one[0].split(".")[0] in {*TOP, ""})


def imported(path: Path, *, with_types: bool = True) -> set[str]:
    """Dotted names of the project's own modules that ``path`` imports, anywhere in it."""
    return {name for name, for_types in imports(path) if with_types or not for_types}


@pytest.mark.parametrize("path", list(sources()), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_only_what_the_table_allows(path: Path) -> None:
    relative = path.relative_to(ROOT)
    package = relative.parts[0].removesuffix(".py")
    allowed = ALLOWED[package] | BASE | ALSO.get(str(relative), set())
    wrong = {name for name in imported(path) if name.split(".")[0] not in allowed}
    assert not wrong, f"{relative} imports {sorted(wrong)}"


def test_every_exception_is_needed() -> None:
    for path, packages in ALSO.items():
        assert packages <= {name.split(".")[0] for name in imported(ROOT / path)}, path


def module_graph() -> dict[str, set[str]]:
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in sources()
        if path.name != "__init__.py"
    }
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        names = {
            name.rsplit(".", cut)[0]
            for name in imported(path, with_types=False)
            for cut in range(name.count(".") + 1)
        }
        graph[module] = names & files.keys() - {module}
    return graph


def test_no_import_cycles() -> None:
    """Of what is executed; a type may name a module above its own."""
    graph = module_graph()
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module in done:
            return
        for other in sorted(graph[module]):
            visit(other, (*trail, module))
        done.add(module)

    for module in sorted(graph):
        visit(module, ())


#: The rooms of each package, the lowest first: a room imports rooms below it, never above. Files
#: of the package itself belong to no room; what they may do is held by the cycle test.
ROOMS = {
    "datasets": [
        "values",
        "times",
        "columns",
        "text_files",
        "json_files",
        "workbooks",
        "channels",
        "file_sets",
    ],
    "consumers": ["records", "broker", "processing", "polling"],
    "models": ["detectors", "scoring", "fitting", "bundles", "registry"],
    "models/scoring": ["maintenance", "features", "magnitudes", "alarms", "readings"],
    "models/fitting": ["calibration", "trials", "garbage", "operation", "faults"],
    "serving": ["requests", "responses", "bundles", "detection", "http", "page"],
    "training": ["cli", "data", "evaluation", "fitting", "publishing", "reports"],
    "db": ["queries"],
}


@pytest.mark.parametrize("package", sorted(ROOMS))
def test_rooms_import_only_rooms_below_them(package: str) -> None:
    order = {room: height for height, room in enumerate(ROOMS[package])}
    start = package.replace("/", ".") + "."
    wrong = []
    for path in sorted((ROOT / package).rglob("*.py")):
        room = path.relative_to(ROOT / package).parts[0]
        if room not in order:
            continue
        for name in imported(path, with_types=False):
            other = name.removeprefix(start).split(".")[0]
            if name.startswith(start) and order.get(other, -1) > order[room]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, wrong


def test_every_folder_of_a_package_is_a_known_room() -> None:
    others = {"db": {"migrations"}}
    for package, rooms in ROOMS.items():
        found = {
            path.parent.relative_to(ROOT / package).parts[0]
            for path in (ROOT / package).rglob("*.py")
            if path.parent != ROOT / package
        }
        assert found <= {*rooms, *others.get(package, ())}, package


#: The only module names in more than one folder, and where; docs/architecture.md says why.
SAME_NAME = {
    "app": {"consumers", "serving"},
    "backtest": {"training", "fleet"},
    "base": {"models/detectors", "models/registry"},
    "fit": {"training", "fleet"},
    "metrics": {"consumers", "notify", "serving"},
    "pyfunc": {"models", "models/registry"},
}


def test_a_module_name_means_one_thing() -> None:
    """The same file name twice is two words for one role, or one word for two things."""
    folders: dict[str, set[str]] = {}
    for path in sources():
        if "migrations" not in path.parts and path.name != "__init__.py":
            folders.setdefault(path.stem, set()).add(path.relative_to(ROOT).parent.as_posix())
    assert {stem: found for stem, found in folders.items() if len(found) > 1} == SAME_NAME
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text.split("## Who may import whom")[0].split("| module name |")[1]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(SAME_NAME)


def test_only_entry_points_read_settings() -> None:
    entry_points = {
        "service.py", "training/fit.py", "training/backtest.py", "training/promote.py",
        "training/drift.py", "training/cli/common.py", "consumers/bridge.py", "consumers/replay.py",
        "db/migrate.py", "db/maintain.py", "db/assets.py", "db/forget.py", "db/streams.py",
        "deploy/local.py", "notify/sender.py", "notify/test.py",
        "deploy/exporter.py", "config/loading.py", "serving/bundles/follower.py",
    }  # fmt: skip
    wrong = [
        str(path.relative_to(ROOT))
        for path in sources()
        if "load_settings(" in path.read_text() and str(path.relative_to(ROOT)) not in entry_points
    ]
    assert not wrong, f"only entry points read settings: {wrong}"


SQL = re.compile(r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s.+\sSET|DELETE\s+FROM)\b", re.I | re.S)
#: What code outside db/ may take from SQLAlchemy: types to hand on, nothing to write SQL with.
HANDED_ON = {"Connection", "Engine", "URL"}


def docstrings(tree: ast.AST) -> set[ast.AST]:
    """The string nodes that are documentation."""
    bodies = (getattr(node, "body", None) for node in ast.walk(tree))
    firsts = (body[0] for body in bodies if isinstance(body, list) and body)
    return {node.value for node in firsts if isinstance(node, ast.Expr)}


def test_only_db_speaks_sql() -> None:
    wrong = []
    for path in sources():
        relative = path.relative_to(ROOT)
        if relative.parts[0] == "db":
            continue
        text = path.read_text()
        if not (re.search("sqlalchemy|sqlmodel|psycopg2", text) or SQL.search(text)):
            continue
        tree = ast.parse(text)
        prose = docstrings(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                taken = {alias.name.split(".")[0] for alias in node.names}
                bad = bool(taken & {"sqlalchemy", "sqlmodel", "psycopg2"})
            elif isinstance(node, ast.ImportFrom):
                package = (node.module or "").split(".")[0]
                names = {alias.name for alias in node.names}
                bad = package in {"sqlmodel", "psycopg2"} or (
                    package == "sqlalchemy" and not names <= HANDED_ON
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                bad = node not in prose and SQL.search(node.value) is not None
            else:
                continue
            if bad:
                wrong.append(f"{relative}:{node.lineno}")
    assert not wrong, f"SQL outside db/: {wrong}"


def test_the_customers_top_level_stands() -> None:
    for name in (
        "service.py", "bentofile.yaml", "models", "training", "consumers", "db", "tests",
        "pyproject.toml", "README.md",
    ):  # fmt: skip
        assert (ROOT / name).exists(), f"{name} is missing"


def test_the_customers_packages_are_declared_and_used() -> None:
    declared = (ROOT / "pyproject.toml").read_text()
    code = "\n".join(path.read_text() for path in sources())
    for package, module in {
        "bentoml": "bentoml", "pyod": "pyod", "torch": "torch", "mlflow": "mlflow",
        "kafka-python": "kafka", "sqlmodel": "sqlmodel", "pydantic": "pydantic",
    }.items():  # fmt: skip
        assert f'"{package}' in declared, f"{package} is not declared"
        assert f"import {module}" in code or f"from {module}" in code, f"{module} is not used"
    assert '"psycopg2-binary' in declared
    assert "postgresql+psycopg2" in code


#: Where every public function of three or more parameters has a Parameters section.
DOCUMENTED = [
    "config", "errors", "runtime", "schemas", "service", "consumers", "datasets", "db", "deploy",
    "models", "notify", "serving", "training",
]  # fmt: skip


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Public functions and methods of public classes, by their names."""
    todo: list[tuple[str, ast.AST]] = [("", ast.parse(path.read_text()))]
    while todo:
        within, node = todo.pop()
        for one in ast.iter_child_nodes(node):
            if isinstance(one, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                if one.name.startswith("_"):
                    continue
                if isinstance(one, ast.ClassDef):
                    todo.append((f"{one.name}.", one))
                else:
                    yield within + one.name, one


@pytest.mark.parametrize("package", DOCUMENTED)
def test_functions_of_three_parameters_say_what_they_are(package: str) -> None:
    """A numpydoc section from three parameters on: shapes, units, what None means."""
    silent = []
    for path in [*ROOT.glob(f"{package}.py"), *sorted((ROOT / package).rglob("*.py"))]:
        for name, function in functions(path):
            of = function.args
            given = [*of.posonlyargs, *of.args, *of.kwonlyargs]
            count = sum(one.arg not in ("self", "cls") for one in given)
            described = "Parameters\n-----" in (ast.get_docstring(function) or "")
            if count >= 3 and not described:
                silent.append(f"{path.relative_to(ROOT)}: {name}")
    assert silent == []


@pytest.mark.parametrize("package", DOCUMENTED)
def test_documented_parameters_exist(package: str) -> None:
    """A renamed parameter is renamed in the docstring, too."""
    wrong = []
    for path in [*ROOT.glob(f"{package}.py"), *sorted((ROOT / package).rglob("*.py"))]:
        for name, function in functions(path):
            documented = ast.get_docstring(function) or ""
            section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n-+$|\Z)", documented, re.M | re.S)
            heads = re.findall(r"^(\S.*?)(?: : |$)", section[1], re.M) if section else []
            named = {one.strip(" *") for head in heads for one in head.split(",")}
            unknown = named - {
                one.arg for one in ast.walk(function.args) if isinstance(one, ast.arg)
            }
            if unknown:
                wrong.append(f"{path.relative_to(ROOT)}: {name}: {sorted(unknown)}")
    assert wrong == []


@pytest.mark.parametrize("path", sorted((ROOT / "models").rglob("*.py")), ids=lambda p: p.stem)
def test_compiled_functions_use_only_those_and_constants_of_their_own_file(path: Path) -> None:
    """Numba's cache sees changes of a function's own file only, and would go on with old ones."""
    tree = ast.parse(path.read_text())
    foreign = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("models")
        for alias in node.names
    }
    used = {
        node.id
        for function in tree.body
        if isinstance(function, ast.FunctionDef)
        and {"compiled", "exact"} & {ast.unparse(each) for each in function.decorator_list}
        for statement in function.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Name)
    }
    assert not used & foreign
