"""Verbs that train language models: from scratch, and on the user's own text."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ulmfit import ranks
from ulmfit.cli.app import app
from ulmfit.cli.corpora import (
    HELD_OUT,
    PACKED,
    STARTED,
    TIMED,
    TO_PACK,
    HeldOutText,
    Wikitext,
    names_of,
    opened,
    refuse_idle,
    require_times,
)
from ulmfit.cli.help import TrainingVerb, Verb, example_command, examples
from ulmfit.cli.labelled import Columns
from ulmfit.cli.options import (
    LM,
    OUTPUT,
    TRAINING,
    Config,
    Corpora,
    DataDir,
    Debug,
    Device,
    DirectionName,
    Encoding,
    Info,
    Json,
    Out,
    Preset,
    Quiet,
    Resume,
    Seed,
    Set,
    Store,
    Text,
    Threads,
    TrainingPrecision,
    Where,
    parse_info,
    parse_where,
    use_threads,
)
from ulmfit.cli.printing import print_json, table
from ulmfit.cli.training_runs import (
    Place,
    read_settings,
    reader,
)
from ulmfit.errors import InputError, SettingsError

if TYPE_CHECKING:
    from ulmfit.config import Direction
    from ulmfit.settings import PretrainSettings
    from ulmfit.stages.lm_folder import TrainedLM

PANEL = "Train"


Hours = Annotated[
    float | None,
    typer.Option(
        "--hours",
        metavar="H",
        help="Total time to use: the number of steps follows from the measured speed.",
        rich_help_panel=TRAINING,
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        "--stop-after",
        metavar="MIN",
        help="Save and stop after MIN minutes; --resume continues.",
        rich_help_panel=TRAINING,
    ),
]
Start = Annotated[
    str | None,
    typer.Option(
        "--start",
        metavar="NAME|DIR",
        help="Start from the weights, vocabulary and sizes of this language model, of either "
        "direction.",
        rich_help_panel=TRAINING,
    ),
]
PackedOut = Annotated[
    Path,
    typer.Option("--out", metavar="FILE", help="File to write.", rich_help_panel=OUTPUT),
]


@app.command(
    cls=TrainingVerb,
    rich_help_panel=PANEL,
    short_help="Stage 1 alone: train a language model from scratch.",
    epilog=examples(
        "ulmfit pretrain wiki.txt.gz --out german",
        "ulmfit pretrain wiki.parquet --valid held-out.txt --hours 3 --out german",
        "ulmfit pretrain all.parquet --where source=wiki,novels --out english",
        "ulmfit pretrain wiki.txt.gz --start german --direction backward --out back",
        "ulmfit pretrain wiki.packed --stop-after 8 --resume --out german",
    ),
)
def pretrain(
    corpus: Corpora,
    out: Out,
    valid: HeldOutText = None,
    text: Text = None,
    where: Where = None,
    wikitext: Wikitext = False,
    encoding: Encoding = None,
    data_dir: DataDir = None,
    hours: Hours = None,
    stop_after: Minutes = None,
    start: Start = None,
    preset: Preset = "default",
    direction: DirectionName = "both",
    changes: Set = None,
    config: Config = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: TrainingPrecision = "auto",
    threads: Threads = None,
    resume: Resume = False,
    info: Info = None,
    store: Store = "half",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a language model from scratch on general text of a language or domain.

    A few million words are a start, a hundred million are good. The corpus (or a file made by
    `ulmfit pack`) may be larger than memory. Vocabulary, sizes and epochs are chosen from the text
    and the machine, and reported; --set, --config and --preset override them.
    """
    settings, given = _settings(preset, config, changes)
    require_times({"--hours": hours, "--stop-after": stop_after})
    columns = Columns(text=text, encoding=encoding, data_dir=data_dir, where=parse_where(where))
    texts, held_out, facts = opened(corpus, columns, valid, wikitext=wikitext)
    there = {PACKED: isinstance(texts, Path), STARTED: start, TIMED: hours, HELD_OUT: valid}
    refuse_idle(changes, there)
    from ulmfit.apps.language_models import pretrain_lms, save_lms  # takes a while
    from ulmfit.config import DIRECTIONS

    place = Place(out, seed, resume, quiet, device, precision, stop_after, as_json)
    place.prepare(start)
    use_threads(threads)
    with place.run(place.display()) as run:
        found = pretrain_lms(
            texts,
            settings,
            DIRECTIONS[direction],
            run,
            valid=held_out,
            start=_start(start, DIRECTIONS[direction]),
            info={**facts, **parse_info(info)},
            given=given,
            seconds=None if hours is None else 3600 * hours,
        )
        ranks.first_goes_on()
        save_lms(found, out, store=store, metrics=run.made_by())
    _answer(found, place, examples=_next_commands(str(out), direction))


def _settings(
    preset: str, config: Path | None, changes: list[str] | None
) -> tuple[PretrainSettings, Collection[str] | None]:
    """Of pretraining, and the keys that are to stay: None for all, as a preset has them."""
    idle = ["finetune_lm", "classifier", "self_training", "ngrams"]
    settings = read_settings(preset, config, changes, unused=idle).pretrain
    return settings, settings.by_hand if preset == "default" else None


def _next_commands(out: str, direction: str) -> list[str]:
    """What a new language model is for."""
    one = _direction_option(direction)
    return [
        example_command("train", "DATA", "--lm", out, *one),
        example_command("finetune-lm", "TEXTS", "--lm", out, *one, "--out", "tuned-lm"),
        example_command("evaluate-lm", out, "OTHER_TEXT"),
    ]


def _start(name: str | None, directions: Sequence[Direction]) -> dict[Direction, TrainedLM] | None:
    """The language model to start each direction from: its own where there is one, else the other.

    Raises:
        SettingsError: no such language model.
    """
    if name is None:
        return None
    from ulmfit.apps.pretrained import resolve_lms

    there = resolve_lms(name, None)
    return {d: there.get(d, next(iter(there.values()))) for d in directions}


@app.command(
    cls=Verb,
    rich_help_panel=PANEL,
    short_help="Tokenise a corpus into one small file for `pretrain`.",
    epilog=examples(
        "ulmfit pack wiki.parquet --where source=wiki,novels --out wiki.packed",
        "ulmfit pretrain wiki.packed --out english",
    ),
)
def pack(
    corpus: Corpora,
    out: PackedOut,
    valid: HeldOutText = None,
    text: Text = None,
    where: Where = None,
    wikitext: Wikitext = False,
    encoding: Encoding = None,
    data_dir: DataDir = None,
    start: Start = None,
    preset: Preset = "default",
    changes: Set = None,
    config: Config = None,
    info: Info = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Build the vocabulary and write the corpus as token ids, to pretrain on another machine.

    The file holds the vocabulary, the training part and the held-out part, compressed to about a
    fifth of the size of the text.
    """
    from ulmfit.apps.corpus_facts import measure_corpus
    from ulmfit.apps.corpus_parts import training_parts, watched
    from ulmfit.apps.display import make_display
    from ulmfit.apps.packed_corpus import check_packed, pack_corpus
    from ulmfit.apps.pretrain_plan import Machine, filled, suggest

    settings, given = _settings(preset, config, changes)
    columns = Columns(text=text, encoding=encoding, data_dir=data_dir, where=parse_where(where))
    texts, held_out, told = opened(corpus, columns, valid, wikitext=wikitext)
    if isinstance(texts, Path):
        raise InputError(f"{texts}: is packed already", expected="text")
    refuse_idle(changes, {TO_PACK: True, STARTED: start, HELD_OUT: valid})
    check_packed(out, [Path(path) for path in (*corpus, *([valid] if valid else []))])
    display = make_display(quiet=quiet)
    display.note("reading the corpus")
    facts = measure_corpus(texts)
    if given is not None:
        settings = filled(settings, suggest(facts, Machine(False, "any machine")).values, given)
    base = _start(start, ["forward"])
    tokenizer = base["forward"].tokenizer if base else None
    reading = watched(texts, display, "reading the corpus", facts.chars)
    parts = training_parts(reading, held_out, settings.valid_fraction)
    display.note(f"packing {facts.words:,} words")
    told |= parse_info(info)
    content = pack_corpus(
        *parts,
        settings,
        facts,
        out,
        info=told,
        tokenizer=tokenizer,
        valid_given=valid is not None,
    )
    if as_json:
        print_json({"file": str(out), "bytes": out.stat().st_size, **content})
    else:
        typer.echo(_packed_text(out, content, start))


def _packed_text(out: Path, content: Mapping[str, Any], start: str | None) -> str:
    """What is in a packed file, and what to do with it."""
    go_on = [] if start is None else ["--start", start]
    tokens, words = content["tokens"], content["vocabulary"]
    return (
        f"{out}: {out.stat().st_size / 1e6:.1f} MB, {tokens['train']:,} tokens to train on and "
        f"{tokens['valid']:,} held out, {words['size']:,} {words['kind']}s\n\nNext:\n"
        f"  {example_command('pretrain', str(out), *go_on, '--out', 'lm')}"
    )


@app.command(
    cls=TrainingVerb,
    rich_help_panel=PANEL,
    short_help="Stage 2 alone: fine-tune a pretrained LM on your texts.",
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
    """Fine-tune a pretrained language model on your own texts; labels are ignored.

    `ulmfit finetune-classifier` then trains a classifier on the result.
    """
    idle = ["pretrain", "classifier", "self_training", "ngrams"]
    settings = read_settings(preset, config, changes, unused=idle).finetune_lm
    if settings is None:
        raise SettingsError("finetune_lm is none in these settings", expected="a table of settings")
    texts = reader(corpus, Columns(text=text, encoding=encoding, data_dir=data_dir))
    assert texts is not None
    from ulmfit.apps.language_models import finetune_lms, save_lms  # takes a while
    from ulmfit.apps.pretrained import resolve_lms
    from ulmfit.config import DIRECTIONS
    from ulmfit.data.datasets import text_digest
    from ulmfit.train.checkpoint import checksum

    place = Place(out, seed, resume, quiet, device, precision, as_json=as_json)
    place.prepare(lm)
    use_threads(threads)
    base = {
        direction: replace(lm, info={**lm.info, "fine-tuned on": names_of(corpus)})
        for direction, lm in resolve_lms(lm, DIRECTIONS[direction]).items()
    }
    identity = {
        "settings": settings.model_dump(),
        "settings kept at their defaults": settings.kept_defaults,
        "language model": {direction: checksum(lm.weights) for direction, lm in base.items()},
    }
    with place.run(place.display()) as run:
        run.claim({**identity, "text (the corpus has changed)": text_digest(texts())})
        found = finetune_lms(base, texts, settings, run)
        ranks.first_goes_on()
        save_lms(found, out, metrics=run.made_by())
    parts = ["DATA", "--lm", str(out), *_direction_option(direction), "--out", "model"]
    example = example_command("finetune-classifier", *parts)
    _answer(found, place, examples=[example])


def _direction_option(name: str) -> list[str]:
    """What the next command needs to know of a language model that reads one way only."""
    return [] if name == "both" else ["--direction", name]


def _answer(found: Mapping[Direction, TrainedLM], place: Place, *, examples: Sequence[str]) -> None:
    """What the language models score on held-out text, where they are, what to do with them."""
    if place.as_json:
        scores: dict[str, Any] = {direction: lm.metrics for direction, lm in found.items()}
        print_json({"model": str(place.out), "directions": scores})
        return
    rows: list[tuple[str, ...]] = [
        ("direction", "vocabulary", "perplexity", "per word", "bits/char")
    ]
    for direction, lm in found.items():
        figures = [("perplexity", 1), ("word_perplexity", 1), ("bits_per_char", 3)]
        shown = (
            f"{lm.metrics[name]:,.{digits}f}" if name in lm.metrics else ""
            for name, digits in figures
        )
        rows.append((direction, f"{lm.config.vocab_size:,}", *shown))
    commands = "\n".join(f"  {example}" for example in examples)
    typer.echo(f"{table(rows)}\n\nLanguage model: {place.out}\n\nNext:\n{commands}")
