"""The documentation is built as a site, warnings are errors; how-tos keep to what is there."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="the extra `docs` is not installed")

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if path.name != "cli.md")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run([*command, str(DOCS), str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def test_every_page_is_built_and_in_the_contents(site: Path) -> None:
    contents = (site / "index.html").read_text("utf-8")
    for page in sorted(DOCS.rglob("*.md")):
        name = page.relative_to(DOCS).with_suffix(".html")
        assert (site / name).is_file(), name
        assert name.stem == "index" or f'href="{name}"' in contents, name


def test_the_interface_is_described(site: Path) -> None:
    page = (site / "api.html").read_text("utf-8")
    names = re.findall(r"auto\w+:: (\S+)", (DOCS / "api.md").read_text("utf-8"))
    assert len(names) > 10
    for name in names:
        assert f'id="{name}"' in page or f'id="module-{name}"' in page, name
    assert 'id="ulmfit.TextClassifier.fit"' in page
    assert 'id="ulmfit.errors.InputError"' in page


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        loaded = re.findall(r'<(?:script|img|link|iframe)[^>]*?(?:src|href)="(https?:[^"]*)', text)
        assert loaded == [], page.name


def test_pictures_are_small_pngs() -> None:
    pictures = sorted((DOCS / "pictures").glob("*.png"))
    assert len(pictures) >= 2
    for picture in pictures:
        data = picture.read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) < 150_000, picture.name


def commands(text: str) -> list[str]:
    shell = re.findall(r"^ *```sh\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(shell).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip().startswith("ulmfit ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_use_verbs_and_options_that_exist(page: Path) -> None:
    reference = dict(
        re.findall(
            r"^## ulmfit (\S+)\n(.*?)(?=^## |\Z)", (DOCS / "cli.md").read_text(), re.M | re.S
        )
    )
    text = page.read_text("utf-8")
    inline = [" ".join(found.split()) for found in re.findall(r"`(ulmfit [a-z][^`]*)`", text)]
    for line in [*commands(text), *inline]:
        verb = line.split()[1]
        if verb == "VERB":
            continue
        assert verb in reference, line
        for option in re.findall(r"(?<=\s)--?[a-z][\w-]*", line):
            assert re.search(rf"(?<![\w-]){option}\b", reference[verb]), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_settings_that_pages_name_exist(page: Path) -> None:
    from ulmfit.presets import load_settings

    pairs = re.findall(r"--set ([\w.]+)=([\w.]+)", page.read_text("utf-8").replace("\n", " "))
    if pairs:
        load_settings("default", overrides=dict(pairs))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_on_pages_parses_and_its_imports_are_there(page: Path) -> None:
    for text in re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module or "")
                assert all(hasattr(module, name.name) for name in node.names), ast.unparse(node)
