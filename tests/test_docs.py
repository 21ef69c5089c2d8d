"""The documents say what is there: file tree, commands, links, log."""

from __future__ import annotations

import re
import shutil
from datetime import date
from functools import cache
from pathlib import Path

import pytest

from docs import generate
from tests.test_structure import LAYERS

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def blocks(text: str, section: str) -> list[str]:
    """The fenced blocks below a heading, without their fences."""
    below = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"^```\w*\n(.*?)^```$", below, re.MULTILINE | re.DOTALL)


@cache
def files() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout: what belongs to it is not known")
    return generate.repository_files()


def test_readme_tree_is_the_real_one() -> None:
    text = read("README.md")
    assert "src/ulmfit/stages/" in blocks(text, "Layout")[0]
    assert text == generate.with_tree(text, generate.tree(files())), "run `make docs`"


def test_tree_shows_every_module_once() -> None:
    drawn = [
        Path(name) for name in ("a.md", "src/ulmfit/a.py", "src/ulmfit/data/b.py", "tests/c.py")
    ]
    assert generate.tree(drawn).splitlines()[0] == "a.md"
    assert "src/ulmfit/             L0  a\n" in generate.tree(drawn)
    assert "src/ulmfit/data/        L1  b\n" in generate.tree(drawn)


def test_every_package_and_layer_is_drawn() -> None:
    packages = {path.parts[2] for path in files() if path.match("src/ulmfit/*/*.py")}
    assert packages == set(generate.PACKAGES)
    assert all(LAYERS[name] == layer for name, layer in generate.LAYER.items() if name)


def test_accuracy_is_that_of_the_committed_results() -> None:
    readme = read("README.md")
    assert readme == generate.with_accuracy(readme, generate.accuracy()), "run `make docs`"
    rows = generate.accuracy().splitlines()
    assert rows[0] in readme
    assert len(rows) == 2 + len(generate.ACCURACY)


def test_command_reference_is_up_to_date() -> None:
    assert read("docs/cli.md") == generate.cli_reference(), "run `make docs`"


def test_results_page_is_up_to_date() -> None:
    assert read("docs/results.md") == generate.results_page(), "run `make docs`"


def test_counts_are_those_of_the_results_file() -> None:
    page = read("docs/reliability.md")
    assert page == generate.with_counts(page), "run `make docs`"
    assert "kills: pretrain" in page


def test_loads_are_those_of_the_results_file() -> None:
    page = read("docs/reliability.md")
    assert page == generate.with_load(page), "run `make docs`"
    assert generate.load_table(generate.loads()) in page
    assert generate.surroundings(generate.loads()) in page
    assert list(generate.loads()) == list(generate.LOADS), "measure all, on one machine"


def test_a_fault_under_load_is_not_hidden() -> None:
    found = {"soak": {**generate.loads()["soak"], "faults": ["memory grew"]}}
    assert "\n            FAULT: memory grew\n" in generate.load_table(found)


def test_figures_show_the_committed_results() -> None:
    from ulmfit.experiments import figures, results

    panels = figures.all_panels(results.shipped_results())
    for name, lines in panels.items():
        drawn = read(f"docs/{generate.FIGURES}/{name}.svg")
        assert figures.stamp(lines) in drawn, f"{name} is out of date: run `make docs`"
        assert (ROOT / "docs" / generate.FIGURES / f"{name}.png").exists()


def test_readme_and_makefile_use_verbs_and_options_that_exist() -> None:
    reference = dict(
        re.findall(r"^## ulmfit (\S+)\n(.*?)(?=^## |\Z)", read("docs/cli.md"), re.M | re.S)
    )
    lines = blocks(read("README.md"), "On your own data")[0].splitlines()
    lines += re.findall(r"^\t\$\(ULMFIT\) (.*)$", read("Makefile"), re.MULTILINE)
    assert len(lines) > 8
    for line in lines:
        verb = line.removeprefix("ulmfit ").split()[0]
        assert verb in reference, line
        for option in re.findall(r"(?<=\s)--?[a-z][\w-]*", line.split("   ")[0]):
            assert re.search(rf"(?<![\w-]){option}\b", reference[verb]), line


def test_readme_commands_are_what_continuous_integration_runs() -> None:
    commands = blocks(read("README.md"), "Two commands")[0].split("\n")[:-1]
    assert commands == ["make test", "make demo"]
    loop = re.search(r"^for command in (.*); do$", read(".ci/run"), re.MULTILINE)
    assert loop is not None
    assert re.findall(r'"([^"]*)"', loop[1]) == commands


def test_make_help_names_every_target() -> None:
    text = read("Makefile")
    described = set(re.findall(r"\bmake ([a-z]+)", text.split("\nSHELL")[0]))
    rules = set(re.findall(r"^([a-z]+):", text, re.MULTILINE)) - {"help"}
    assert described == rules
    assert {"install", "demo", "test", "check", "docs", "bench"} <= rules


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", document.read_text("utf-8")):
        target, _, anchor = link.partition("#")
        assert "://" not in target, f"{link}: what matters stands in the repository"
        found = (document.parent / target).resolve() if target else document
        assert found.exists(), link
        assert not anchor or anchor in anchors(found), link


def test_concepts_name_files_that_exist() -> None:
    named = set(re.findall(r"`((?:src|tests)/[^`]+)`", read("docs/concepts.md")))
    assert named
    missing = sorted(name for name in named if not (ROOT / name).exists())
    assert not missing, missing


def test_every_concept_of_model_and_optim_is_in_the_table() -> None:
    table = read("docs/concepts.md")
    for path in files():
        if path.match("src/ulmfit/model/*.py") or path.match("src/ulmfit/optim/*.py"):
            assert path.stem == "__init__" or f"`{path}`" in table, path


def test_log_entries_are_dated_and_complete() -> None:
    entries = re.split(r"^## ", read("docs/log.md").split("```")[2], flags=re.MULTILINE)[1:]
    days = [date.fromisoformat(entry.split(":")[0]) for entry in entries]
    assert days == sorted(days, reverse=True), "newest first"
    for entry in entries:
        assert entry.splitlines()[0].endswith("?"), "an entry asks a question"
        parts = re.findall(r"^\*\*(\w+)\.\*\*", entry, re.MULTILINE)
        assert parts == ["Measured", "Result", "Decision"], entry.splitlines()[0]


def references(text: str) -> list[str]:
    """Titles of entries that follow the name of the log, across line ends and comment marks."""
    flat = re.sub(r"\s*\n[\s#]*", " ", text)
    return re.findall(r"docs/log\.md(?:, \"([^\"]+)\"|)", flat)


@pytest.mark.parametrize("folder", ["src", "reproduce"])
def test_references_to_the_log_name_an_entry(folder: str) -> None:
    titles = set(re.findall(r"^## [\d-]+: (.+)$", read("docs/log.md"), re.MULTILINE))
    paths = [
        path for path in files() if path.parts[0] == folder and path.suffix in (".py", ".toml")
    ]
    named = {path: references(read(str(path)).replace('\\"', '"')) for path in paths}
    assert any(named.values())
    wrong = {
        str(path): name for path, found in named.items() for name in found if name not in titles
    }
    assert not wrong, 'name the entry: docs/log.md, "...?"'


def test_changelog_starts_with_what_comes_next() -> None:
    versions = re.findall(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert versions[0] == "Unreleased"
