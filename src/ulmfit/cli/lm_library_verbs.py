"""Verbs about language models that are there: list them, score them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ulmfit.cli.app import app
from ulmfit.cli.corpora import Wikitext, documents
from ulmfit.cli.help import Verb, examples
from ulmfit.cli.labelled import Columns
from ulmfit.cli.options import (
    DATA,
    OUTPUT,
    Corpora,
    DataDir,
    Debug,
    Device,
    Encoding,
    Json,
    Quiet,
    Text,
    Threads,
    Where,
    parse_where,
    use_threads,
)
from ulmfit.cli.printing import WIDTH, percent, print_json, table
from ulmfit.errors import SettingsError

if TYPE_CHECKING:
    from ulmfit.apps.pretrained import LMRecord
    from ulmfit.stages.lm_folder import TrainedLM
    from ulmfit.stages.lm_score import TextScore
    from ulmfit.train.tracker import Display

PANEL = "Language models"

ScoredLM = Annotated[
    str,
    typer.Argument(metavar="LM", help="A name listed by `ulmfit lms`, or a folder."),
]
FirstDocuments = Annotated[
    int | None,
    typer.Option(
        "--limit", metavar="N", min=1, help="Score the first N documents.", rich_help_panel=DATA
    ),
]
Record = Annotated[
    str | None,
    typer.Option(
        "--record",
        metavar="NAME",
        help="Write the scores into the model's folder, under the name of this text.",
        rich_help_panel=OUTPUT,
    ),
]


@app.command(
    cls=Verb,
    rich_help_panel=PANEL,
    short_help="List the installed language models.",
    epilog=examples("ulmfit lms", "ulmfit lms --json"),
)
def lms(as_json: Json = False, debug: Debug = False) -> None:
    """List the pretrained language models of this installation: names for --lm.

    The SHA-256 of every file is verified. Perplexities are on text that the model did not see;
    `ulmfit evaluate-lm` measures them on your text.
    """
    from ulmfit.apps.pretrained import list_lms

    records = list_lms()
    if as_json:
        print_json([record.to_dict() for record in records])
        return
    if not records:
        typer.echo("No language models in this installation; `ulmfit pretrain` makes one.")
        return
    rows: list[tuple[str, ...]] = [
        ("name", "direction", "vocabulary", "size", "perplexity", "per word", "bits/char")
    ]
    for record in records:
        figures = (record.perplexity, record.word_perplexity, record.bits_per_char)
        shown = (
            "" if n is None else f"{n:.{digits}f}"
            for n, digits in zip(figures, (1, 1, 3), strict=True)
        )
        vocabulary = f"{record.vocabulary:,} {record.vocabulary_kind}s"
        size = f"{record.size_mb:.1f} MB"
        rows.append((record.name, record.direction, vocabulary, size, *shown))
    typer.echo(table(rows, left=2))
    for name in dict.fromkeys(record.name for record in records):
        typer.echo(_facts(name, [record for record in records if record.name == name]))


def _facts(name: str, records: Sequence[LMRecord]) -> str:
    """Corpus, licence, layers, scores and SHA-256 of a language model, for people."""
    from ulmfit.stages.model_card import score_text

    first = records[0]
    lines = [f"{name}: {first.corpus}. Licence: {first.licence}.", f"  {first.layers}"]
    for record in records:
        for text, figures in record.scores.items():
            lines.append(f"  {record.direction} on {text}: {score_text(figures)}")
    wrapped = [textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in lines]
    wrapped += [f"  {record.direction} SHA-256 {record.sha256}" for record in records]
    return "\n" + "\n".join(wrapped)


@app.command(
    cls=Verb,
    rich_help_panel=PANEL,
    short_help="Measure the perplexity of a language model on a text.",
    epilog=examples(
        "ulmfit evaluate-lm en-small held-out.txt",
        "ulmfit evaluate-lm german wiki-valid.parquet --json",
        "ulmfit evaluate-lm german wikitext2.parquet --wikitext --record WikiText-2",
    ),
)
def evaluate_lm(
    lm: ScoredLM,
    corpus: Corpora,
    text: Text = None,
    where: Where = None,
    wikitext: Wikitext = False,
    limit: FirstDocuments = None,
    encoding: Encoding = None,
    data_dir: DataDir = None,
    record: Record = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Measure how well a language model predicts text, in each of its directions.

    Perplexity per word counts whitespace-separated words of the original text, so models with
    different vocabularies are comparable. "Spelled" also charges for the letters of unknown words,
    which otherwise cost a vocabulary of words too little.
    """
    from ulmfit.apps.display import make_display
    from ulmfit.apps.predictor import choose_device
    from ulmfit.apps.pretrained import resolve_lms

    columns = Columns(text=text, encoding=encoding, data_dir=data_dir, where=parse_where(where))
    texts = documents(corpus, columns, wikitext=wikitext, limit=limit)
    if record is not None:
        _require_own(lm, record)
    use_threads(threads)
    found = resolve_lms(lm, None)
    display = make_display(quiet=quiet)
    scores = {
        direction: _scored(model, texts, choose_device(device), display)
        for direction, model in found.items()
    }
    figures = {direction: score.to_dict() for direction, score in scores.items()}
    if as_json:
        print_json({"lm": lm, "corpus": corpus, "wikitext": wikitext, "directions": figures})
    else:
        typer.echo(_score_text(scores))
    if record is not None:  # after all has been said: the folder may not take it
        from ulmfit.apps.lm_records import record_facts

        named = {direction: {record: values} for direction, values in figures.items()}
        record_facts(Path(lm), scores=named)


def _require_own(lm: str, record: str) -> None:
    """`--record` is for folders that can be written, and not for what others use too.

    Raises:
        SettingsError: a name, which stands for a part of the installation, or no name of the text.
        StorageError: the folder cannot be written.
    """
    from ulmfit.apps.pretrained import shipped_lms
    from ulmfit.artifacts import check_target
    from ulmfit.stages.lm_folder import WORK_FOLDER

    if not record.strip():
        raise SettingsError("--record has no name", expected="the name of the text")
    if lm in shipped_lms():
        raise SettingsError(
            f"--record would write into the installed language model '{lm}'",
            expected="the folder of a model of your own",
        )
    if Path(lm).is_dir():
        check_target(Path(lm), carry=(WORK_FOLDER,))


def _scored(
    lm: TrainedLM, texts: Callable[[], Iterable[str]], device: Any, display: Display
) -> TextScore:
    from ulmfit.stages.lm_score import TextScore, score_texts
    from ulmfit.train.tracker import Speed

    total, done, speed = TextScore(), 0, Speed()

    def scored(n_tokens: int) -> None:
        nonlocal done
        done += n_tokens
        display.advance(done, {"tokens/s": speed.update(n_tokens)})

    display.note(f"{lm.direction} language model")
    display.begin("tokens", 0, 0)
    try:
        for score in score_texts(lm, texts(), device, scored):
            total += score
            told = f"  {total.n_words:,} words: {total.word_perplexity:.1f} per word"
            if not total.parted:
                told = f"  {total.n_chars:,} characters: {total.bits_per_char:.3f} bits each"
            display.note(told)
    finally:
        display.end()
    return total


def _score_text(scores: dict[Any, TextScore]) -> str:
    """Figures of each direction side by side, for people; none per word of text without spaces."""
    rows: list[tuple[str, ...]] = [("", *scores)]
    figures = list(scores.values())
    first = figures[0]
    for name, shown in (
        ("perplexity per word, unknown words spelled", "spelled_word_perplexity"),
        ("perplexity per word", "word_perplexity"),
        ("bits per character, unknown words spelled", "spelled_bits_per_char"),
        ("bits per character", "bits_per_char"),
        ("perplexity per token", "perplexity"),
    ):
        digits = 3 if "bits" in shown else 1
        if "word" in shown and not first.parted:
            continue
        rows.append((name, *(f"{getattr(score, shown):,.{digits}f}" for score in figures)))
    rows.append(("unknown tokens", *(percent(score.unknown_share) for score in figures)))
    documents = "1 document" if first.n_documents == 1 else f"{first.n_documents:,} documents"
    title = f"{documents}, {first.n_words:,} white-space words, {first.n_chars:,} characters"
    if first.n_given:
        title += f"; {first.n_given:,} <unk> in the text itself"
    return f"{table(rows)}\n\n{title}"
