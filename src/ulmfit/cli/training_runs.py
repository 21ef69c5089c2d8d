"""What the verbs that train have in common: settings, folders, corpora."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ulmfit import ranks
from ulmfit.cli.failures import print_warning
from ulmfit.cli.labelled import Columns
from ulmfit.cli.printing import print_json
from ulmfit.errors import (
    AlreadyFinished,
    InputError,
    Interrupted,
    ModelFolderError,
    SettingsError,
    UlmfitError,
)
from ulmfit.locks import only_run

if TYPE_CHECKING:
    from ulmfit.apps.run import TrainingRun
    from ulmfit.runtime import Precision
    from ulmfit.settings import Settings
    from ulmfit.train.tracker import Display

RUNS = Path("runs")
_BAD_INPUT = 2


@dataclass(frozen=True)
class Place:
    """Where a training verb works.

    Attributes:
        out: model folder.
        seed: of everything that is drawn.
        resume: go on with a stopped run.
        quiet: show no progress.
        device: where to compute.
        precision: of the products.
        minutes: save and stop after so many, None for never.
        as_json: the answer is one JSON document.
    """

    out: Path
    seed: int
    resume: bool
    quiet: bool
    device: str = "auto"
    precision: Precision = "auto"
    minutes: float | None = None
    as_json: bool = False

    @property
    def work(self) -> Path:
        """What a run keeps in the model folder until it is done."""
        from ulmfit.stages.lm_folder import WORK_FOLDER

        return self.out / WORK_FOLDER

    @cached_property
    def finished(self) -> str | None:
        """The run that made the whole model in `out`; None where there is none or nobody knows."""
        from ulmfit.apps.run import MADE_BY
        from ulmfit.artifacts import METRICS, read_folder

        if not self.resume or self.work.exists():
            return None
        try:
            made_by = json.loads(read_folder(self.out).require(METRICS)).get(MADE_BY)
        except (ModelFolderError, ValueError, AttributeError):
            return None
        return str(made_by) if made_by is not None else None

    def prepare(self, start: str | None = None) -> None:
        """Find out before hours of training whether the model can be written in the end.

        Args:
            start: name or folder of the language model to start from, None for none.

        Raises:
            SettingsError: `out` holds other things than a model, or is `start`; or there is no such
                device.
            StorageError: nothing can be written there.
        """
        from ulmfit.apps.predictor import choose_device
        from ulmfit.artifacts import CONFIG, check_target
        from ulmfit.storage import refuse_overwriting

        choose_device(self.device)
        check_target(self.out, carry=(self.work.name,))
        refuse_overwriting(self.out, [] if start is None else [Path(start)])
        if self.finished is not None:
            return  # it is the same run, or refused
        if self.resume and not self.work.exists():
            print_warning(f"there is no stopped run in {self.out}: starting from the beginning")
        elif self.work.exists() and not self.resume:
            print_warning(
                f"the stopped run in {self.out} will be started over; with --resume it goes on"
            )
        if (self.out / CONFIG).exists() and not (self.resume and self.work.exists()):
            print_warning(f"the model in {self.out} will be replaced once the new one is complete")

    @contextmanager
    def run(self, display: Display) -> Iterator[TrainingRun]:
        """The run as the library takes it; what it keeps goes when it ends well or is refused.

        Raises:
            SettingsError: another process is at work in the same folder.
            Interrupted: Ctrl-C outside of the training loop; what is done can be resumed.
            typer.Exit: there is nothing to resume, the model is finished; it is told.
        """
        from ulmfit.apps.run import LOCK

        kept = self.work.exists()
        alone = only_run(self.work, LOCK) if ranks.rank() == 0 else nullcontext()
        with alone, self._run(display, kept=kept) as run:
            yield run

    @contextmanager
    def _run(self, display: Display, *, kept: bool) -> Iterator[TrainingRun]:
        from ulmfit.apps.run import TrainingRun, precision_of
        from ulmfit.runtime import make_accelerator

        began = time.monotonic()
        try:
            as_begun = self.resume and self.precision == "auto"
            precision = precision_of(self.work) if as_begun else self.precision
            accelerator = make_accelerator(precision, cpu=self.device == "cpu")
            run = TrainingRun(
                self.work, accelerator, display, self.seed, self.resume, finished=self.finished
            )
            if ranks.size() > 1:
                display.note(f"{ranks.size()} processes train together, a batch each in every step")
            if self.minutes is not None:
                run = replace(run, deadline=began + 60 * self.minutes)
            yield run
        except KeyboardInterrupt as error:
            hint = "Run the same command with --resume to go on."
            raise Interrupted("stopped", hint=hint) from error
        except AlreadyFinished as error:
            if ranks.rank() == 0:
                self._clean()
                self._tell_finished(error)
            raise typer.Exit from error
        except UlmfitError as error:
            # What is refused after a model has been trained may be worth hours.
            trained = any(self.work.rglob("model"))
            if error.exit_code == _BAD_INPUT and not kept and not trained and ranks.rank() == 0:
                self._clean()
            raise
        self._clean()

    def _tell_finished(self, told: AlreadyFinished) -> None:
        if self.as_json:
            print_json({"model": str(self.out), "finished": True})
        elif not self.quiet:
            typer.echo(f"{self.out}: {told.problem}\n  {told.hint}", err=True)

    def display(self) -> Display:
        """Progress on standard error."""
        from ulmfit.apps.display import make_display

        return make_display(quiet=self.quiet or ranks.rank() > 0)

    def log(self) -> bytes:
        """The logs of all stages as one, each record with its stage."""
        lines = []
        paths = [path for path in self.work.rglob("log.jsonl") if path.parent.name != "model"]
        for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns):
            stage = path.parent.relative_to(self.work).as_posix()
            records = map(json.loads, path.read_text(encoding="utf-8").splitlines())
            lines += [json.dumps({"stage": stage, **record}) for record in records]
        return "".join(f"{line}\n" for line in lines).encode()

    def _clean(self) -> None:
        """Remove checkpoints and packed text, and the folder if nothing else is in it."""
        shutil.rmtree(self.work, ignore_errors=True)
        with suppress(OSError):
            self.out.rmdir()


def read_settings(
    preset: str, config: Path | None, changes: Sequence[str] | None, *, unused: Collection[str] = ()
) -> Settings:
    """Settings of a preset, changed by a file, changed by `--set` options.

    Args:
        preset: its name.
        config: a file, which may be for several verbs.
        changes: values of `--set`.
        unused: sections that the verb does without: to set one of their keys is a mistake.

    Raises:
        SettingsError: an option without "=", of an unused section, or what `load_settings` refuses.
    """
    from ulmfit.presets import load_settings

    overrides = {}
    for change in changes or ():
        key, equals, value = change.partition("=")
        if not equals or not key.strip():
            raise SettingsError(
                f"--set {change!r} is not a setting with its value",
                expected="KEY=VALUE, such as classifier.epochs=5",
            )
        overrides[key.strip()] = value.strip()
    found = load_settings(preset, file=config, overrides=overrides)
    for key in overrides:
        if key.partition(".")[0] in unused:
            raise SettingsError(
                f"--set {key} changes nothing here",
                expected="a setting of "
                + " or ".join(name for name in type(found).model_fields if name not in unused),
            )
    return found


def default_out(data: str) -> Path:
    """`runs/reviews` for reviews.csv.gz, `runs/trec6` for name:trec6."""
    if data == "-":
        return RUNS / "stdin"
    plain = data.removeprefix("name:")
    # Not resolved: a link has a name of its own.
    name = plain if plain != data else Path(os.path.abspath(data)).name
    parent = Path(data).resolve().parent.name
    stem = name.split(".")[0] or name
    generic = stem.lower() in ("train", "training", "data") and parent
    return RUNS / (parent if generic else stem)


def reader(sources: Sequence[str] | None, columns: Columns) -> Callable[[], Iterable[str]] | None:
    """Opens unlabelled text anew on each call; looks into every source at once.

    Of a folder, archive or named set the unlabelled split is read where there is one, else the
    training split.

    Raises:
        InputError: a source that cannot be read, has no text, or can be read only once.
    """
    if not sources:
        return None
    from ulmfit.data.locations import available_splits
    from ulmfit.data.sources import is_read_once
    from ulmfit.data.streams import iter_texts

    def texts_of(source: str) -> Iterator[str]:
        splits = available_splits(source, data_dir=columns.data_dir)
        return iter_texts(
            source,
            text=columns.text,
            split="unsup" if "unsup" in splits else "train",
            data_dir=columns.data_dir,
            encoding=columns.encoding,
            where=columns.where,
        )

    for source in sources:
        if is_read_once(source):
            name = "standard input" if source == "-" else source
            raise InputError(
                f"{name} cannot be a corpus, which is read several times",
                hint="Write it to a file first.",
            )
        if next(texts_of(source), None) is None:
            raise InputError(f"{source}: has no text", expected="texts to learn from")
    return lambda: (text for source in sources for text in texts_of(source))
