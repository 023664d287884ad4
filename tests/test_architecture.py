"""The layers of the design as a table, held against the imports of the package; and a few rules of the house."""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "webhook_svc"
ROOT = Path(__file__).parents[1] / PACKAGE

GROUND = frozenset({"signing", "http", "files", "crypto"})
OUTSIDE = frozenset({"providers", "sinks", "store", "vault", "download", "simulators"})
BELOW_WIRING = (
    frozenset({"core", "profiles", "pipeline", "web", "worker", "console", "config", "log"}) | GROUND | OUTSIDE
)
MAY_IMPORT: dict[str, frozenset[str]] = {
    "": frozenset(),
    "core": frozenset(),
    **dict.fromkeys(GROUND, frozenset({"core"})),
    "profiles": frozenset({"core", "signing"}),
    **dict.fromkeys(OUTSIDE, GROUND | {"core"}),
    **dict.fromkeys(("providers", "simulators"), GROUND | {"core", "profiles"}),
    "pipeline": frozenset({"core"}),
    **dict.fromkeys(("web", "worker", "console"), frozenset({"core", "pipeline"})),
    **dict.fromkeys(("config", "log"), frozenset({"core"})),
    "wiring": BELOW_WIRING,
    "up": BELOW_WIRING | {"wiring"},
    "stage": BELOW_WIRING,
    **dict.fromkeys(("demo", "prove"), BELOW_WIRING | {"wiring", "stage"}),
    "cli": frozenset({"core", "config", "wiring", "demo", "prove", "up"}),
    "__main__": frozenset({"core", "config", "wiring", "demo", "prove", "cli", "up"}),
}
"""Room → rooms it may import besides itself. The words (core) and the version are for everybody."""

PLUGIN_ROOMS = {
    "providers": ("Provider", "Described"),
    "sinks": ("Sink",),
    "simulators": ("Simulator",),
}
"""Room → the bases of its plugins."""

SENDERS = ("http", "sinks", "simulators", "stage", "prove")
ONLY_IN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("flask", "werkzeug", "jinja2"), ("web", "console", "simulators")),
    **dict.fromkeys(("sqlalchemy", "sqlite3", "psycopg", "alembic"), ("store",)),
    "socket": (*SENDERS, "web"),  # web shuts the server's own connection at a body's deadline, and opens none
    **dict.fromkeys(("http.client", "urllib.request"), SENDERS),
    **dict.fromkeys(("ssl", "urllib3", "smtplib", "httpx", "aiohttp", "ftplib", "paramiko"), ("http", "sinks")),
    "imaplib": ("sinks",),
    "requests": (*SENDERS, "signing"),  # signing prepares requests for a library that signs them, and sends none
    **dict.fromkeys(("socketserver", "http.server", "wsgiref", "aiosmtpd"), ("simulators",)),
}
"""Library → rooms that may import it; the longest name that fits decides."""

ENVIRONMENT = frozenset({"environ", "environb", "getenv", "putenv", "unsetenv"})
LONGEST_FUNCTION = 60
LONGEST_PROVIDER = 220
LONGEST_PROFILE = 60
FORBIDDEN_NAMES = re.compile(r"Manager|Helper|Util(?![a-z])|Utils|Handler")


@dataclass(frozen=True)
class Import:
    """`source` and `target` are dotted names; `early` is true where the import runs when the module is loaded."""

    source: str
    target: str
    early: bool


class Tree:
    """A package on disk, parsed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = {self._dotted(path): path for path in sorted(root.rglob("*.py"))}
        self.parsed = {name: ast.parse(path.read_text()) for name, path in self.files.items()}
        self.imports = [found for name in self.files for found in self._imports(name)]

    def shown(self, module: str) -> str:
        return self.files[module].relative_to(self.root).as_posix()

    def walk(self) -> Iterator[tuple[str, ast.AST]]:
        for module, tree in self.parsed.items():
            for node in ast.walk(tree):
                yield self.shown(module), node

    def _dotted(self, path: Path) -> str:
        parts = path.relative_to(self.root.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def _imports(self, module: str) -> Iterator[Import]:
        early = set(map(id, early_nodes(self.parsed[module])))
        for node in ast.walk(self.parsed[module]):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                targets = self._from(module, node)
            else:
                continue
            yield from (Import(module, target, id(node) in early) for target in targets)

    def _from(self, module: str, node: ast.ImportFrom) -> list[str]:
        base = node.module or ""
        if node.level:
            package = module.split(".") if self.files[module].stem == "__init__" else module.split(".")[:-1]
            base = ".".join(package[: len(package) - node.level + 1] + ([base] if base else []))
        inner = [f"{base}.{alias.name}" for alias in node.names]
        return [name if name in self.files or not base.startswith(PACKAGE) else base for name in inner]


def early_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement that runs at import: not inside a function, not under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        yield from early_nodes(node)


def room_of(module: str) -> str:
    """`webhook_svc.sinks.folder` → `sinks`; the package itself is the room without a name."""
    return module.split(".")[1] if "." in module else ""


# --- the rules: each gives the sentences of what is wrong ---------------------------------------------------------


def wrong_rooms(tree: Tree) -> Iterator[str]:
    rooms = sorted({room_of(module) for module in tree.files})
    yield from (f"the room {room!r} stands in no layer of the table" for room in rooms if room not in MAY_IMPORT)
    for found in tree.imports:
        source, target = room_of(found.source), room_of(found.target)
        if found.target.split(".")[0] == PACKAGE and target not in {source, ""} | MAY_IMPORT.get(source, frozenset()):
            yield f"{tree.shown(found.source)} may not import {target}"


def sibling_plugins(tree: Tree) -> Iterator[str]:
    plugins = {module for module in tree.files if plugin_classes(tree, module)}
    for found in tree.imports:
        if found.source != found.target in plugins and room_of(found.source) == room_of(found.target):
            yield f"{tree.shown(found.source)} may not import its sibling plugin {found.target.rsplit('.', 1)[1]}"


def cycles(tree: Tree) -> Iterator[str]:
    graph = {
        module: sorted({i.target for i in tree.imports if i.early and i.source == module}) for module in tree.files
    }
    done: set[str] = set()

    def follow(module: str, way: list[str]) -> Iterator[str]:
        if module in way:
            yield "import cycle: " + " → ".join([*way[way.index(module) :], module])
        elif module not in done:
            for target in graph.get(module, []):
                yield from follow(target, [*way, module])
            done.add(module)

    for module in graph:
        yield from follow(module, [])


def wrong_libraries(tree: Tree) -> Iterator[str]:
    for found in tree.imports:
        rooms = rooms_for(found.target)
        if rooms is not None and room_of(found.source) not in rooms:
            yield f"{tree.shown(found.source)} may not import {found.target}: only {', '.join(rooms)} may"


def rooms_for(library: str) -> tuple[str, ...] | None:
    parts = library.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((ONLY_IN[name] for name in names if name in ONLY_IN), None)


def foreign_core(tree: Tree) -> Iterator[str]:
    for found in tree.imports:
        top = found.target.split(".")[0]
        if room_of(found.source) == "core" and top != PACKAGE and top not in sys.stdlib_module_names:
            yield f"{tree.shown(found.source)} may not import {top}: core is standard library only"


def environment_readers(tree: Tree) -> Iterator[str]:
    for file, node in tree.walk():
        named = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) and node.module == "os" else []
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            named.append(node.attr)
        if file != "config.py" and ENVIRONMENT.intersection(named):
            yield f"{file} may not read the environment: only config.py does"


def long_functions(tree: Tree) -> Iterator[str]:
    for file, node in tree.walk():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                yield f"{file}: {node.name} has {lines} lines, {LONGEST_FUNCTION} are the most"


def long_providers(tree: Tree) -> Iterator[str]:
    """One sender's settings, events, errors and steps fit a mind; what grows beyond is not one sender's own."""
    for module, parsed in tree.parsed.items():
        if room_of(module) == "providers" and (lines := len(code_lines(tree, module, parsed))) > LONGEST_PROVIDER:
            yield f"{tree.shown(module)} has {lines} lines of code, {LONGEST_PROVIDER} are the most"


def code_lines(tree: Tree, module: str, parsed: ast.Module) -> set[int]:
    """The numbers of the lines that are neither blank nor comment, docstring or import, nor what it says of itself."""
    text = tree.files[module].read_text().splitlines()
    lines = {number for number, line in enumerate(text, 1) if line.strip() and not line.strip().startswith("#")}
    for node in ast.walk(parsed):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_traits = isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "traits"
        if isinstance(node, ast.stmt) and (is_text or is_traits or isinstance(node, ast.Import | ast.ImportFrom)):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def empty_names(tree: Tree) -> Iterator[str]:
    for file, node in tree.walk():
        if isinstance(node, ast.ClassDef) and FORBIDDEN_NAMES.search(node.name):
            yield f"{file}: {node.name} says nothing about what it is"


def crowded_plugins(tree: Tree) -> Iterator[str]:
    """One plugin a file, and none that the registry does not know."""
    registered = {(room, module): name for room, module, name in registered_plugins(tree)}
    for module in tree.files:
        room, classes = room_of(module), plugin_classes(tree, module)
        known = registered.get((room, module.rsplit(".", 1)[-1]))
        if not classes:
            continue
        if len(classes) > 1:
            yield f"{tree.shown(module)} holds {len(classes)} plugins: {', '.join(classes)}"
        elif known is None:
            yield f"{tree.shown(module)} holds {classes[0]}, which {room}/__init__.py does not name"
        elif known != classes[0] and not known.islower():
            yield f"{tree.shown(module)} holds {classes[0]}, {room}/__init__.py says {known}"


def missing_plugins(tree: Tree) -> Iterator[str]:
    for room, module, name in registered_plugins(tree):
        if not plugin_classes(tree, f"{PACKAGE}.{room}.{module}"):
            yield f"{room}/{module}.py, where {name} should be, holds no {PLUGIN_ROOMS[room][0]}"


def registered_plugins(tree: Tree) -> Iterator[tuple[str, str, str]]:
    """(room, module, class) of each `Entry(target="webhook_svc.room.module:Class")`, or the function that makes one."""
    for room in PLUGIN_ROOMS:
        for node in ast.walk(tree.parsed.get(f"{PACKAGE}.{room}", ast.Module([], []))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = re.fullmatch(rf"{PACKAGE}\.{room}\.(\w+):(\w+)", node.value)
                if found:
                    yield room, found[1], found[2]


def plugin_classes(tree: Tree, module: str) -> list[str]:
    """The classes of a module that are a plugin of its room, by the name of their base."""
    bases = PLUGIN_ROOMS.get(room_of(module), ())
    parsed = tree.parsed.get(module)
    classes = [node for node in parsed.body if isinstance(node, ast.ClassDef)] if parsed and bases else []
    return [node.name for node in classes if {ast.unparse(each).rsplit(".", 1)[-1] for each in node.bases} & {*bases}]


RULES = [wrong_rooms, sibling_plugins, cycles, wrong_libraries, foreign_core, environment_readers]
RULES += [long_functions, long_providers, empty_names, crowded_plugins, missing_plugins]


# --- the tests ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def package() -> Tree:
    return Tree(ROOT)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: object, package: Tree) -> None:
    assert callable(rule)
    assert [] == sorted(set(rule(package)))


@pytest.mark.parametrize("profile", sorted(path.name for path in (ROOT / "providers").glob("*.toml")))
def test_a_profile_is_short(profile: str) -> None:
    assert LONGEST_PROFILE >= len((ROOT / "providers" / profile).read_text().splitlines())


def test_every_name_of_a_registry_is_the_name_of_its_file(package: Tree) -> None:
    from webhook_svc.providers import PROVIDERS
    from webhook_svc.simulators import SIMULATORS
    from webhook_svc.sinks import SINKS

    for room, registry in (("providers", PROVIDERS), ("simulators", SIMULATORS), ("sinks", SINKS)):
        named = registered_plugins(package)
        modules = {module for each, module, name in named if each == room and not name.islower()}
        assert modules <= {name.replace("-", "_") for name in registry.names()}


WRONG_TREE = {
    "__init__.py": "",
    "core/__init__.py": "",
    "core/types.py": "import requests\nfrom ..http import Client\n",
    "http.py": "import socket, requests\n",
    "sinks/__init__.py": "A = 'webhook_svc.sinks.y:Y', 'webhook_svc.sinks.gone:Gone', 'webhook_svc.sinks.z:Other'\n",
    "sinks/x.py": "def f():\n    from webhook_svc import providers\nclass X(Sink): ...\nclass Xx(ports.Sink): ...\n",
    "sinks/y.py": "from . import x\nimport sqlite3\nclass Y(Sink): ...\n",
    "sinks/z.py": "class Z(Sink): ...\n",
    "sinks/unknown.py": "class Unknown(Sink): ...\n",
    "providers/__init__.py": "",
    "providers/p.py": "import os\nfrom ..store import tables\nkey = os.environ['KEY']\n",
    "store/__init__.py": "from . import tables\n",
    "store/tables.py": "from .queries import q\nimport flask\n",
    "store/queries.py": "from typing import TYPE_CHECKING\nfrom . import claim\nclass RowManager: ...\n",
    "store/claim.py": "import webhook_svc.store.tables\ndef long():\n" + "    pass\n" * 60,
    "pipeline.py": "from os import getenv\nimport requests.auth\n",
    "providers/long.py": '"""Text."""\n\nimport os\n# why\n' + "a = 1\n" * 221,
    "attic.py": "",
}
SENTENCES = {
    wrong_rooms: [
        "core/types.py may not import http",
        "providers/p.py may not import store",
        "sinks/x.py may not import providers",
        "the room 'attic' stands in no layer of the table",
    ],
    sibling_plugins: ["sinks/y.py may not import its sibling plugin x"],
    cycles: [
        "import cycle: webhook_svc.store.tables → webhook_svc.store.queries → webhook_svc.store.claim"
        " → webhook_svc.store.tables"
    ],
    wrong_libraries: [
        "core/types.py may not import requests: only http, sinks, simulators, stage, prove, signing may",
        "pipeline.py may not import requests.auth: only http, sinks, simulators, stage, prove, signing may",
        "sinks/y.py may not import sqlite3: only store may",
        "store/tables.py may not import flask: only web, console, simulators may",
    ],
    foreign_core: ["core/types.py may not import requests: core is standard library only"],
    environment_readers: [
        "pipeline.py may not read the environment: only config.py does",
        "providers/p.py may not read the environment: only config.py does",
    ],
    long_functions: ["store/claim.py: long has 61 lines, 60 are the most"],
    long_providers: ["providers/long.py has 221 lines of code, 220 are the most"],
    empty_names: ["store/queries.py: RowManager says nothing about what it is"],
    crowded_plugins: [
        "sinks/unknown.py holds Unknown, which sinks/__init__.py does not name",
        "sinks/x.py holds 2 plugins: X, Xx",
        "sinks/z.py holds Z, sinks/__init__.py says Other",
    ],
    missing_plugins: ["sinks/gone.py, where Gone should be, holds no Sink"],
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_finds_what_is_wrong_in_a_wrong_tree(rule: object, tmp_path: Path) -> None:
    for name, text in WRONG_TREE.items():
        path = tmp_path / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert callable(rule)
    assert SENTENCES[rule] == sorted(set(rule(Tree(tmp_path / PACKAGE))))


def test_an_import_that_only_a_type_checker_or_a_call_runs_makes_no_cycle(tmp_path: Path) -> None:
    root = tmp_path / PACKAGE
    root.mkdir()
    (root / "a.py").write_text("from .b import x\n")
    (root / "b.py").write_text("if TYPE_CHECKING:\n    from .a import y\ndef f():\n    from . import a\n")
    assert [] == list(cycles(Tree(root)))
