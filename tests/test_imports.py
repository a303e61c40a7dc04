"""Imports point down only: cli -> install -> inits -> plan -> settings, and cli -> run -> plan -> settings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "initkit"
#: part of the package -> the parts that it may import, besides itself and the modules at the top
MAY = {
    "cli": {"install", "inits", "run", "plan", "settings"},
    "daemon": {"run", "plan", "settings"},
    "install": {"inits", "plan", "settings"},
    "inits": {"plan", "settings"},
    "run": {"plan", "settings"},
    "plan": {"settings"},
    "settings": set[str](),
}
#: modules that the part must not import, wherever in a function
NEVER = {
    "run": {"jinja2", "re", "typing", "dataclasses", "enum", "signal", "subprocess", "socket", "asyncio", "logging",
            "contextlib", "functools", "pathlib", "shutil"},
    "plan": {"jinja2", "asyncio", "logging"},
    "settings": {"jinja2", "asyncio", "logging"},
}  # fmt: skip
#: modules that cost too much to be imported with the module that uses them
LATE = {"re", "typing", "dataclasses", "enum", "signal", "subprocess", "socket", "ctypes", "contextlib", "functools",
        "pathlib", "argparse", "tomllib", "json"}  # fmt: skip
#: modules that are imported late themselves
LATER = ("libc.py", "follow.py", "toml.py")


def imports(path: Path, *, top: bool = False) -> Iterator[str]:
    """What a module imports at run time; with `top` only what it does as soon as it is imported itself."""
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
        elif not (top and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            waiting += ast.iter_child_nodes(node)


def modules(part: str) -> list[Path]:
    return sorted((PACKAGE / part).rglob("*.py"))


@pytest.mark.parametrize("part", [part for part in MAY if (PACKAGE / part).is_dir()])
def test_imports_point_down(part: str) -> None:
    for path in modules(part):
        for name in imports(path):
            first, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if first == "initkit" and other in MAY and other != part:
                assert other in MAY[part], f"{path} imports {name}"


@pytest.mark.parametrize("part", NEVER)
def test_what_is_too_heavy(part: str) -> None:
    for path in modules(part):
        found = {name.partition(".")[0] for name in imports(path)}
        assert not found & NEVER[part], path


@pytest.mark.parametrize("part", ["run", "plan", "settings"])
def test_what_is_imported_late(part: str) -> None:
    for path in modules(part):
        if path.name in LATER:
            continue
        found = {name.partition(".")[0] for name in imports(path, top=True)}
        assert not found & LATE, path


def test_importing_the_package_costs_nothing() -> None:
    assert set(imports(PACKAGE / "__init__.py", top=True)) == {"__future__.annotations"}


def test_there_is_no_shadow_of_packaging() -> None:
    assert not (PACKAGE.parent / "packaging" / "__init__.py").exists()
    assert not list(PACKAGE.rglob("utils.py"))
