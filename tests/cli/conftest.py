"""A tiny language model and a tiny classifier, trained by the commands themselves."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ulmfit.cli.main import app

GLAD = "good great lovely wonderful happy best"
SAD = "bad awful boring terrible sad worst"
OTHER = ["film", "story", "actor", "scene", "music", "end", "start", "hour"]

TINY_LM = {
    "pretrain.emb_size": "12",
    "pretrain.hidden_size": "16",
    "pretrain.n_layers": "2",
    "pretrain.text.vocab_size": "60",
    "pretrain.epochs": "2",
    "pretrain.batch_size": "8",
    "pretrain.bptt": "20",
    "pretrain.valid_fraction": "0.1",
}
DROPOUTS = ("output_p", "hidden_p", "input_p", "embed_p", "weight_p")
# All that decides whether the little there is to learn is learnt; other defaults may change.
TINY_CLASSIFIER = {
    "finetune_lm.epochs": "1",
    "finetune_lm.batch_size": "8",
    "finetune_lm.bptt": "20",
    "classifier.epochs": "15",
    "classifier.batch_size": "16",
    "classifier.max_tokens": "none",
    "classifier.patience": "none",
    "classifier.unfreezing": "full",
    "classifier.rates.kind": "uniform",
    "classifier.rates.lr": "0.02",
    "classifier.schedule.kind": "stlr",
    "classifier.optimizer.weight_decay": "0.0",
    "classifier.ar_alpha": "0.0",
    "classifier.tar_beta": "0.0",
    "classifier.head_p": "[0.0, 0.0]",
    **{f"classifier.dropouts.{name}": "0.0" for name in DROPOUTS},
}


class Answer:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def __repr__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def run(*arguments: object, stdin: str | None = None) -> Answer:
    """Run a command in this process."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    return Answer(done.exit_code, done.stdout, done.stderr)


def settings(values: dict[str, str]) -> list[str]:
    """Options that set them."""
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


def reviews(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Texts of eight to twelve words that are easily told apart, with their labels."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        label, words = (("pos", GLAD), ("neg", SAD))[number % 2]
        text = rng.choices(OTHER, k=rng.randint(6, 9)) + rng.choices(words.split(), k=3)
        rng.shuffle(text)
        rows.append((" ".join(text), label))
    return rows


def write_csv(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.csv (120 rows), test.csv (40) and more.txt."""
    folder = tmp_path_factory.mktemp("data")
    write_csv(folder / "train.csv", reviews(120), ("text", "label"))
    write_csv(folder / "test.csv", reviews(40, seed=1), ("text", "label"))
    lines = "\n".join(text for text, _ in reviews(400, seed=2))
    (folder / "more.txt").write_text(lines + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_lm(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A language model of both directions."""
    out = tmp_path_factory.mktemp("lm") / "lm"
    done = run("pretrain", data / "more.txt", "--out", out, "-q", *settings(TINY_LM))
    assert done.code == 0, done
    return out


@pytest.fixture(scope="session")
def train_options(tiny_lm: Path) -> list[str]:
    """What makes a training run tiny."""
    return ["--lm", str(tiny_lm), "--direction", "forward", *settings(TINY_CLASSIFIER)]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, data: Path, train_options: list[str]) -> Path:
    """A classifier of both directions."""
    out = tmp_path_factory.mktemp("model") / "model"
    options = [*train_options, "--direction", "both", "--no-baseline", "-q"]
    done = run("train", data / "train.csv", "--test", data / "test.csv", "--out", out, *options)
    assert done.code == 0, done
    return out
