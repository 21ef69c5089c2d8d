"""Verbs that train language models: from scratch, and on the user's own text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from ulmfit.cli.app import app
from ulmfit.cli.help import Verb, example_command, examples
from ulmfit.cli.labelled import Columns
from ulmfit.cli.options import (
    LM,
    Config,
    Corpora,
    DataDir,
    Debug,
    Device,
    DirectionName,
    Encoding,
    Json,
    Out,
    Preset,
    Quiet,
    Resume,
    Seed,
    Set,
    Text,
    Threads,
    TrainingPrecision,
    Valid,
    use_threads,
)
from ulmfit.cli.printing import print_json, table
from ulmfit.cli.training_runs import Place, directions_of, read_settings, reader
from ulmfit.errors import SettingsError

if TYPE_CHECKING:
    from ulmfit.config import Direction
    from ulmfit.stages.lm_folder import TrainedLM

PANEL = "Train"


@app.command(
    cls=Verb,
    rich_help_panel=PANEL,
    short_help="Stage 1 alone: a language model from scratch.",
    epilog=examples(
        "ulmfit pretrain wiki.txt.gz --out german",
        "ulmfit pretrain wiki.parquet news.jsonl --valid held-out.txt --out german",
        "ulmfit pretrain thai.txt --set pretrain.text.kind=unigram --out thai",
    ),
)
def pretrain(
    corpus: Corpora,
    out: Out,
    valid: Valid = None,
    text: Text = None,
    encoding: Encoding = None,
    data_dir: DataDir = None,
    preset: Preset = "default",
    direction: DirectionName = "both",
    changes: Set = None,
    config: Config = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: TrainingPrecision = "auto",
    threads: Threads = None,
    resume: Resume = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a language model from scratch on general text of a language.

    A few million words are a start, a hundred million are good. The corpus is read as a stream: it
    may be larger than memory.
    """
    settings = read_settings(preset, config, changes).pretrain
    columns = Columns(text=text, encoding=encoding, data_dir=data_dir)
    texts, held_out = reader(corpus, columns), reader([valid] if valid else None, columns)
    assert texts is not None
    from ulmfit.apps.language_models import pretrain_lms, save_lms  # takes a while

    place = Place(out, seed, resume, quiet, device, precision)
    place.prepare()
    use_threads(threads)
    info = {"corpus": ", ".join(corpus), "vocabulary": settings.text.kind}
    with place.run(place.display()) as run:
        found = pretrain_lms(
            texts, settings, directions_of(direction), run, valid=held_out, info=info
        )
        save_lms(found, out)
    example = example_command("train", "DATA", "--lm", str(out), *_direction_option(direction))
    _answer(found, place, as_json=as_json, example=example)


@app.command(
    cls=Verb,
    rich_help_panel=PANEL,
    short_help="Stage 2 alone: a pretrained LM learns your texts.",
    epilog=examples(
        "ulmfit finetune-lm reviews.csv more.txt --out reviews-lm",
        "ulmfit finetune-lm tickets.jsonl --text body --lm german --out tickets-lm",
    ),
)
def finetune_lm(
    corpus: Corpora,
    out: Out,
    lm: LM = "en-small",
    text: Text = None,
    encoding: Encoding = None,
    data_dir: DataDir = None,
    preset: Preset = "default",
    direction: DirectionName = "both",
    changes: Set = None,
    config: Config = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: TrainingPrecision = "auto",
    threads: Threads = None,
    resume: Resume = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Fine-tune a pretrained language model on your own texts; labels are not read.

    `ulmfit finetune-classifier` makes a classifier of the result.
    """
    settings = read_settings(preset, config, changes).finetune_lm
    if settings is None:
        raise SettingsError("finetune_lm is none in these settings", expected="a table of settings")
    texts = reader(corpus, Columns(text=text, encoding=encoding, data_dir=data_dir))
    assert texts is not None
    from ulmfit.apps.language_models import finetune_lms, save_lms  # takes a while
    from ulmfit.apps.pretrained import resolve_lms
    from ulmfit.apps.run import text_digest
    from ulmfit.train.checkpoint import checksum

    place = Place(out, seed, resume, quiet, device, precision)
    place.prepare()
    use_threads(threads)
    base = resolve_lms(lm, directions_of(direction))
    identity = {
        "settings": settings.model_dump(),
        "language model": {direction: checksum(lm.weights) for direction, lm in base.items()},
    }
    with place.run(place.display()) as run:
        run.claim({**identity, "text (the corpus has changed)": text_digest(texts())})
        found = finetune_lms(base, texts, settings, run)
        save_lms(found, out)
    parts = ["DATA", "--lm", str(out), *_direction_option(direction), "--out", "model"]
    example = example_command("finetune-classifier", *parts)
    _answer(found, place, as_json=as_json, example=example)


def _direction_option(name: str) -> list[str]:
    """What the next command needs to know of a language model that reads one way only."""
    return [] if name == "both" else ["--direction", name]


def _answer(
    found: Mapping[Direction, TrainedLM], place: Place, *, as_json: bool, example: str
) -> None:
    """What the language models score on held-out text, where they are, what to do with them."""
    if as_json:
        scores: dict[str, Any] = {direction: lm.metrics for direction, lm in found.items()}
        print_json({"model": str(place.out), "directions": scores})
        return
    rows: list[tuple[str, ...]] = [("direction", "vocabulary", "perplexity")]
    for direction, lm in found.items():
        perplexity = lm.metrics.get("perplexity")
        shown = "" if perplexity is None else f"{perplexity:.1f}"
        rows.append((direction, f"{lm.config.vocab_size:,}", shown))
    typer.echo(f"{table(rows)}\n\nLanguage model: {place.out}\n\nNext:\n  {example}")
