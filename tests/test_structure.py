"""The rules that keep the code readable in an hour: layers, sizes, names, dependencies."""

from __future__ import annotations

import ast
import re
import statistics
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "ulmfit"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# Imports point down only, and packages of the same layer never import one another.
LAYERS: dict[str, int] = {
    **dict.fromkeys(
        (
            *("artifacts", "config", "errors", "locks", "presets", "ranks", "runtime"),
            *("settings", "storage"),
        ),
        0,
    ),
    **dict.fromkeys(("data", "model", "optim"), 1),
    "train": 2,
    "stages": 3,
    **dict.fromkeys(("apps", "experiments"), 4),
    "cli": 5,
    **dict.fromkeys(("__init__", "__main__"), 6),
}
FOUNDATION = {name for name, layer in LAYERS.items() if layer == 0}

# Importing these takes from a tenth of a second to several; who starts the command pays for it.
HEAVY = {"accelerate", "matplotlib", "pandas", "pyarrow", "scipy", "sklearn", "torch"}

# Tests of something that no single module does, by folder.
ACROSS: dict[str, set[str]] = {
    ".": {"structure", "docs", "docs_blocks", "package", "end_to_end", "site", "kills", "fuzz"},
    "apps": set(),
    "cli": {"startup", "bad_input"},
    "data": set(),
    "experiments": set(),
    "model": {"fastai_parity", "lstm_reference"},
    "optim": {"optimizers_reference"},
    "stages": set(),
    "train": set(),
}

# Extras that the tests install (as ulmfit[...] in the dev extra).
TESTED_EXTRAS = ("docs", "hub", "onnx", "serve")

MAX_FILE_LINES, MAX_FUNCTION_LINES, MEDIAN_FUNCTION_LINES = 400, 60, 15


def name_of(path: Path) -> str:
    """The dotted name of a module inside the package, such as ``data.splits``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in (
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    )


def imports(node: ast.AST, *, lazy: bool = True, typing: bool = True) -> Iterator[str]:
    """Dotted names that a piece of code imports; on request also in functions and for types."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif is_typing_only(child):
            assert isinstance(child, ast.If)
            for part in [*child.body] if typing else [*child.orelse]:
                yield from imports(ast.Module([part], []), lazy=lazy, typing=typing)
        elif lazy or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports(child, lazy=lazy, typing=typing)


def inner_imports(path: Path, *, typing: bool = True) -> set[str]:
    """Modules of the package that a module imports."""
    known = {name_of(module) for module in MODULES}
    found = set()
    for dotted in imports(parse(path), typing=typing):
        if dotted.split(".")[0] == "ulmfit" and dotted != "ulmfit.__version__":
            inside = dotted.removeprefix("ulmfit").removeprefix(".")
            while inside and inside not in known:
                inside = inside.rpartition(".")[0]
            found.add(inside or "__init__")
    return found


def roots(path: Path, *, lazy: bool) -> set[str]:
    """Top-level packages that a module imports when it runs: at once, or sooner or later."""
    return {dotted.split(".")[0] for dotted in imports(parse(path), lazy=lazy, typing=False)}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def report(faults: Iterable[str]) -> None:
    """Fail with all faults at once."""
    found = list(faults)
    assert not found, "\n" + "\n".join(found)


def test_imports_point_down() -> None:
    known = {name_of(path).split(".")[0] for path in MODULES}
    assert known <= LAYERS.keys(), "give it a layer here, in README.md and in docs/concepts.md"

    def allowed(own: str, other: str) -> bool:
        return other == own or LAYERS[other] < LAYERS[own] or {own, other} <= FOUNDATION

    report(
        f"{shown(path)} imports {target}"
        for path in MODULES
        for target in inner_imports(path)
        if not allowed(name_of(path).split(".")[0], target.split(".")[0])
    )


def test_no_module_imports_itself_through_others() -> None:
    graph = {name_of(path): inner_imports(path, typing=False) for path in MODULES}
    graph.pop("__init__")  # it names TextClassifier, lazily
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    light = FOUNDATION | {"cli", "__init__", "__main__"}
    for path in MODULES:
        own = name_of(path).split(".")[0]
        first, all_ = roots(path, lazy=False), roots(path, lazy=True)
        if own in light:
            assert not first & HEAVY, shown(path)
        if own == "data":
            assert "torch" not in all_, shown(path)
            assert not first & (HEAVY - {"pyarrow"}), shown(path)


def test_no_pickle_and_no_library_that_is_never_required() -> None:
    modules = {"pickle", "dill", "joblib", "cloudpickle", "pandas", "datasets", "requests"}
    modules |= {"marshal", "shelve", "_pickle", "yaml"}
    called = {"torch.save", "torch.load", "eval", "exec", "compile", "__import__", "os.system"}
    called |= {"tarfile.extractall", "shutil.unpack_archive", "torch.hub.load"}
    for path in MODULES:
        assert not roots(path, lazy=True) & modules, shown(path)
        calls = [node for node in ast.walk(parse(path)) if isinstance(node, ast.Call)]
        assert not {ast.unparse(call.func) for call in calls} & called, shown(path)
        for call in calls:
            flags = {key.arg: ast.unparse(key.value) for key in call.keywords}
            assert flags.get("allow_pickle", "False") == "False", shown(path)
            assert flags.get("shell", "False") == "False", shown(path)


def test_files_and_functions_are_short() -> None:
    sizes = {path: len(path.read_text("utf-8").splitlines()) for path in [*MODULES, *TESTS]}
    report(f"{shown(path)}: {n} lines" for path, n in sizes.items() if n > MAX_FILE_LINES)
    report(
        f"{shown(path)}: {function.name} has {length(function)} lines"
        for path in sizes
        for function in functions(path)
        if length(function) > MAX_FUNCTION_LINES
    )
    lengths = [length(function) for path in MODULES for function in functions(path)]
    assert statistics.median(lengths) < MEDIAN_FUNCTION_LINES


def test_names_say_what_things_are() -> None:
    vague = {"common", "helper", "helpers", "misc", "util", "utils"}
    report(shown(path) for path in [*MODULES, *TESTS] if vague & set(path.stem.split("_")))
    report(
        f"{shown(path)}: {node.name}"
        for path in MODULES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Mixin", "Registry", "Helper"))
    )


def test_arguments_are_spelled_out() -> None:
    report(
        f"{shown(path)}: {function.name} passes **{function.args.kwarg.arg} on"
        for path in MODULES
        for function in functions(path)
        if function.args.kwarg is not None
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg is None and ast.unparse(keyword.value) == function.args.kwarg.arg
    )


def test_errors_come_from_the_one_tree() -> None:
    unnamed = ("Exception", "BaseException", "UlmfitError")
    report(
        f"{shown(path)}:{node.lineno} raises {ast.unparse(node.exc.func)}"
        for path in MODULES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and ast.unparse(node.exc.func) in unnamed
    )


def test_every_error_class_is_raised_and_tested() -> None:
    tree = parse(PACKAGE / "errors.py")
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef)} - {"UlmfitError"}
    sources = [path.read_text("utf-8") for path in MODULES if path.name != "errors.py"]
    tests = [path.read_text("utf-8") for path in TESTS]
    for texts, verb in ((sources, "raised"), (tests, "tested")):
        report(
            f"{name} is never {verb}"
            for name in names
            if not any(re.search(rf"\b{name}\b", text) for text in texts)
        )


def test_tests_mirror_the_package() -> None:
    strays = []
    for path in TESTS:
        folder = path.parent.relative_to(ROOT / "tests")
        if path.name.startswith("test_") and (PACKAGE / folder).is_dir():
            stems = {module.stem for module in (PACKAGE / folder).glob("*.py")}
            subject = path.stem.removeprefix("test_")
            fits = any(subject == stem or subject.startswith(f"{stem}_") for stem in stems)
            if not fits and subject not in ACROSS[str(folder)]:
                strays.append(shown(path))
    report(strays)


def test_every_module_has_its_tests() -> None:
    def tests_of(path: Path) -> list[Path]:
        folder = ROOT / "tests" / path.parent.relative_to(PACKAGE)
        return [*folder.glob(f"test_{path.stem}.py"), *folder.glob(f"test_{path.stem}_*.py")]

    trivial = {"__init__", "__main__"}
    report(shown(path) for path in MODULES if path.stem not in trivial and not tests_of(path))


def project() -> dict[str, object]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        found = tomllib.load(file)["project"]
    assert isinstance(found, dict)
    return found


def bare(requirement: str) -> str:
    """The import name of a requirement such as ``scikit-learn>=1.5``."""
    name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()
    return {"scikit-learn": "sklearn"}.get(name, name.replace("-", "_"))


def test_every_import_is_a_declared_dependency() -> None:
    table = project()
    required, extras = table["dependencies"], table["optional-dependencies"]
    assert isinstance(required, list)
    assert isinstance(extras, dict)
    always = {bare(item) for item in required}
    optional = {bare(item) for name in extras for item in extras[name] if name != "dev"}
    known = sys.stdlib_module_names | {"ulmfit", "pydantic_core"} | always  # a part of pydantic
    for path in MODULES:
        at_import = roots(path, lazy=False)
        anywhere = {name.split(".")[0] for name in imports(parse(path))}
        assert at_import <= known, f"{shown(path)}: {at_import - known}"
        assert anywhere <= known | optional, f"{shown(path)}: {anywhere - known - optional}"


def test_constraints_pin_every_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins[0] == "torch==2.13.0"
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins), "exact and for any platform"
    table = project()
    required, extras = table["dependencies"], table["optional-dependencies"]
    assert isinstance(required, list)
    assert isinstance(extras, dict)
    pinned = {bare(pin) for pin in pins}
    tested = [*extras["dev"], *(item for name in TESTED_EXTRAS for item in extras[name])]
    assert {bare(item) for item in [*required, *tested]} - {"ulmfit"} <= pinned
