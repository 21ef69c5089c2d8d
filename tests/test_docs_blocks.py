"""The blocks of the README and of the tutorial are run as they are printed.

What is different from what a reader does, so that it takes seconds:

- `ulmfit train` gets `--config docs/quick.toml --limit 120 --lm LM` behind what the page says, with
  a language model that was pretrained on TREC-6 for a moment; the `slow` tests take the one that
  comes along instead.
- The service is given a free port, and the blocks that ask port 8000 ask that one.
- The README's files (`reviews.csv`, ...) and its Python's `texts` and `labels` are of TREC-6, and
  its `TextClassifier(seed=0)` is given the same language model and settings.
- `make test` and `make demo` are run dry here; `.ci/run` runs them.
"""

from __future__ import annotations

import csv
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ulmfit.data.datasets import load_dataset

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
TINY = ("emb_size=12", "hidden_size=16", "n_layers=2", "max_tokens=20000", "text.vocab_size=1000")

pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None or shutil.which("curl") is None, reason="needs bash and curl"
)


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = BLOCK.findall(page.read_text("utf-8"))
    return [Block(language, re.sub(f"(?m)^{space}", "", text)) for space, language, text in found]


@dataclass
class Reader:
    """Somebody who types a page, block by block, in a folder of their own."""

    folder: Path
    lm: str
    port: int
    output: str = ""
    service: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Put the command `ulmfit` on the path: this source, with less training."""
        (self.folder / "runs").mkdir(exist_ok=True)
        shutil.copytree(ROOT / "docs", self.folder / "docs", dirs_exist_ok=True)
        command = self.folder / "bin" / "ulmfit"
        command.parent.mkdir(exist_ok=True)
        quick = f"--config {shlex.quote(str(ROOT / 'docs' / 'quick.toml'))} --limit 120"
        command.write_text(
            "#!/usr/bin/env bash\n"
            'case "$1" in\n'
            f'  train) set -- "$@" {quick} --lm {shlex.quote(self.lm)} ;;\n'
            f'  serve) set -- "$@" --port {self.port} ;;\n'
            "esac\n"
            f'exec {shlex.quote(sys.executable)} -m ulmfit "$@"\n'
        )
        command.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "COLUMNS": "80",
        }

    def read(self, page: Path) -> None:
        try:
            for block in blocks(page):
                self.type(block)
        finally:
            self.stop()

    def type(self, block: Block) -> None:
        lines = block.text.splitlines()
        if block.language == "python":
            # The language model of the test is a tiny one, and says so.
            tiny = ("-W", "ignore:the language model does not know")
            self.run(sys.executable, "-W", "error", *tiny, "-c", self.python(block.text))
        elif block.language == "text":
            assert block.text in self.output, f"{block.text}\nis not in\n{self.output}"
        elif all(line.startswith("make ") for line in lines):
            for line in lines:
                subprocess.run([*line.split(), "--dry-run"], cwd=ROOT, check=True)
        elif block.language == "sh":
            last = lines[-1].split("#")[0].strip()
            if last.startswith("ulmfit serve "):
                self.shell("\n".join(lines[:-1]))
                self.serve(last)
            else:
                self.shell(block.text)

    def shell(self, text: str) -> None:
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        self.run("bash", "-euo", "pipefail", "-c", text)

    def run(self, *command: str) -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        self.output = done.stdout
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"

    def python(self, text: str) -> str:
        given = f"lm={self.lm!r}, overrides={{'finetune_lm.epochs': 1, 'classifier.epochs': 2}}, "
        data = "from docs_data import texts, labels\n" if "texts, labels" in text else ""
        return data + text.replace("TextClassifier(seed=0)", f"TextClassifier({given}seed=0)")

    def serve(self, command: str) -> None:
        """Start the service and wait until it answers, as somebody in another terminal would."""
        self.stop()
        self.service = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 120
        while True:
            assert self.service.poll() is None, f"{command} ended by itself"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health").close()
                return
            except OSError:
                assert time.monotonic() < until, f"{command} does not answer"
                time.sleep(0.1)

    def stop(self) -> None:
        if self.service is not None:
            self.service.terminate()
            self.service.wait(30)
            self.service = None


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        assert isinstance(port, int)
        return port


def write_csv(path: Path, rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def write_readme_files(folder: Path) -> None:
    """What the README calls reviews.csv, test.csv, new.csv and more.txt, and its Python's data."""
    train = load_dataset("name:trec6", split="train").subset(range(360))
    labels = [str(label) for label in train.labels or ()]
    pairs = list(zip(train.texts, labels, strict=True))
    write_csv(folder / "reviews.csv", [("text", "label"), *pairs[:300]])
    write_csv(folder / "test.csv", [("text", "label"), *pairs[300:]])
    write_csv(folder / "new.csv", [("text",), *((text,) for text in train.texts[300:])])
    (folder / "more.txt").write_text("\n".join(train.texts), "utf-8")
    data = f"texts = {train.texts[:100]!r}\nlabels = {labels[:100]!r}\n"
    (folder / "docs_data.py").write_text(data, "utf-8")


@pytest.fixture(scope="module")
def tiny_lm(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("lm")
    out = str(folder / "lm")
    settings = [part for key in TINY for part in ("--set", f"pretrain.{key}")]
    command = [sys.executable, "-m", "ulmfit", "pretrain", "name:trec6", "--out", out, "-q"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([*command, *settings], check=True, env=environment, capture_output=True)
    return out


PAGES = pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])


@PAGES
def test_what_is_printed_can_be_typed(page: str, tiny_lm: str, tmp_path: Path) -> None:
    write_readme_files(tmp_path)
    Reader(tmp_path, tiny_lm, free_port()).read(ROOT / page)


@pytest.mark.slow
@PAGES
def test_what_is_printed_can_be_typed_with_the_lm_that_comes_along(
    page: str, tmp_path: Path
) -> None:
    write_readme_files(tmp_path)
    Reader(tmp_path, "en-small", free_port()).read(ROOT / page)


def test_a_wrong_block_fails(tmp_path: Path) -> None:
    reader = Reader(tmp_path, "en-small", free_port())
    with pytest.raises(AssertionError, match=r"nowhere\.csv"):
        reader.type(Block("sh", "ulmfit check nowhere.csv\n"))
    reader.type(Block("sh", "echo one\n"))
    reader.type(Block("text", "one\n"))
    with pytest.raises(AssertionError, match="is not in"):
        reader.type(Block("text", "two\n"))
    with pytest.raises(AssertionError, match="NameError"):
        reader.type(Block("python", "unknown_name\n"))


def test_every_block_says_what_it_is() -> None:
    for page in ("README.md", "docs/tutorial.md"):
        found = blocks(ROOT / page)
        bare = [block.text for block in found if not block.language]
        allowed = [text for text in bare if text.startswith(("make ", "CHANGELOG.md"))]
        assert bare == allowed, page
        assert {block.language for block in found} <= {"", "sh", "python", "text"}
