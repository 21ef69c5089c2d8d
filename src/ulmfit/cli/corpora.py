"""Where the verbs of language models get their text: files of many kinds, WikiText, packed ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ulmfit.cli.labelled import Columns
from ulmfit.cli.options import DATA
from ulmfit.cli.training_runs import reader
from ulmfit.errors import InputError, SettingsError

if TYPE_CHECKING:
    from ulmfit.apps.run import Texts

Wikitext = Annotated[
    bool,
    typer.Option(
        "--wikitext",
        help="The text is tokenised like WikiText (` @-@ `, spaces around punctuation): restore "
        "natural text first.",
        rich_help_panel=DATA,
    ),
]
HeldOutText = Annotated[
    str | None,
    typer.Option(
        "--valid",
        metavar="FILE",
        help="Held-out text to measure perplexity on; not trained on, even if the corpus has it.  "
        "[default: a part of the corpus]",
        rich_help_panel=DATA,
    ),
]

# What decides some settings of pretraining, and which.
PACKED, STARTED, TIMED = "the packed corpus", "the language model of --start", "--hours"
HELD_OUT, TO_PACK = "--valid", "`ulmfit pretrain`"
_FOR_PACKING = ("text", "valid_fraction")  # the others are settings of training


def documents(
    corpus: Sequence[str], columns: Columns, *, wikitext: bool, limit: int | None = None
) -> Callable[[], Iterable[str]]:
    """Opens the documents anew on each call, as natural text.

    Args:
        corpus: files, folders, names.
        columns: where the text is.
        wikitext: whether it is tokenised as WikiText is.
        limit: documents, None for all.

    Raises:
        InputError: nothing to read, or text of WikiText's kind that is not said to be.
    """
    from ulmfit.data.wikitext import is_wikitext, natural_text

    texts = reader(corpus, columns)
    assert texts is not None
    if not wikitext and any(map(is_wikitext, islice(texts(), 3))):
        raise InputError(
            f"{corpus[0]}: is tokenised like WikiText (it has ' @-@ ' or ' @,@ ')",
            expected="natural text",
            hint="Add --wikitext to restore natural text.",
        )

    def opened() -> Iterator[str]:
        found = islice(texts(), limit)
        return map(natural_text, found) if wikitext else iter(found)

    return opened


def opened(
    corpus: list[str], columns: Columns, valid: str | None, *, wikitext: bool
) -> tuple[Texts | Path, Texts | None, dict[str, str]]:
    """The corpus, the held-out text if any, and what is known of them for the model card.

    Raises:
        InputError: a packed file among others, or with options that it leaves no use for.
    """
    from ulmfit.apps.packed_corpus import is_packed, read_packed

    packed = [path for path in map(Path, corpus) if is_packed(path)]
    if packed:
        named = columns.where or columns.text or columns.encoding or columns.data_dir
        if len(corpus) > 1 or named or valid or wikitext:
            raise InputError(
                f"{packed[0]}: is a packed corpus",
                expected="no other corpus with it; --where, --text, --encoding, --data-dir, "
                "--valid and --wikitext are options of `ulmfit pack`",
            )
        return packed[0], None, dict(read_packed(packed[0])["info"])
    texts = documents(corpus, columns, wikitext=wikitext)
    without = replace(columns, where=None)
    held_out = documents([valid], without, wikitext=wikitext) if valid else None
    return texts, held_out, {"corpus": names_of(corpus)}


def names_of(corpus: Sequence[str]) -> str:
    """The corpus as a model card names it: no folders of the machine it was on."""
    return ", ".join(Path(name).name for name in corpus)


def refuse_idle(changes: Sequence[str] | None, there: Mapping[str, object]) -> None:
    """Settings that `--set` names although something else decides them.

    Args:
        changes: values of `--set`.
        there: by what decides, something true if it is there.

    Raises:
        SettingsError: there are some.
    """
    if not changes:
        return
    from ulmfit.apps import language_models, pretrain_plan  # take a while

    decided = {
        PACKED: _FOR_PACKING,
        STARTED: language_models.STARTED,
        TIMED: pretrain_plan.TIMED,
        HELD_OUT: ("valid_fraction",),
    }
    for change in changes:
        name = change.partition("=")[0].strip()
        key = name.removeprefix("pretrain.").partition(".")[0]
        for who in (who for who, given in there.items() if given):
            idle = key not in _FOR_PACKING if who == TO_PACK else key in decided[who]
            if idle:
                raise SettingsError(
                    f"--set {name} changes nothing here: {who} decides it",
                    expected="a setting that takes effect",
                )


def require_times(given: Mapping[str, float | None]) -> None:
    """Hours, minutes and seconds are numbers above zero.

    Raises:
        SettingsError: another one; its option is named.
    """
    for option, value in given.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise SettingsError(f"{option} {value:g}", expected="a number above 0")
