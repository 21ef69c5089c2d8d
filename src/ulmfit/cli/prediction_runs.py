"""Predictions into a file: with progress, whole or not at all, and resumable."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ulmfit.cli.classified import Answers, classify_rows, name_of
from ulmfit.cli.failures import print_warning
from ulmfit.errors import StorageError

if TYPE_CHECKING:
    from ulmfit.apps.classifiers import Classifier
    from ulmfit.apps.prediction_journal import Journal
    from ulmfit.apps.predictions import PredictionWriter
    from ulmfit.data.streams import Rows


@dataclass(frozen=True)
class PredictionRun:
    """One run of `predict` that writes a file.

    Attributes:
        target: the file.
        model: the model folder.
        source: the input as the user wrote it.
        options: what else the answers depend on.
        resume: go on with a stopped run.
        quiet: show no progress.
        text: the text column, if the user named one: the format is told with it.
    """

    target: Path
    model: Path
    source: str
    options: Mapping[str, object]
    resume: bool
    quiet: bool
    text: str | None = None

    def write(self, predictor: Classifier, rows: Rows, data_dir: Path | None) -> Counter[str]:
        """Label the rows; returns how often each label was given.

        Raises:
            SettingsError: the run to resume was of another input, model or other options; or the
                format cannot hold the answers.
            InputError: the rows have changed since.
            StorageError: the file cannot be written.
        """
        from ulmfit.apps.display import make_display
        from ulmfit.data.streams import count_rows

        encoding = self.options.get("encoding")
        total = count_rows(
            self.source,
            text=self.text,
            data_dir=data_dir,
            encoding=None if encoding is None else str(encoding),
        )
        display = make_display(quiet=self.quiet)
        writer = writer_of(predictor, rows, self.target)  # refuses before anything is kept
        with self._journal(rows, len(predictor.labels)) as journal:
            slices = classify_rows(predictor, rows, display, total=total, journal=journal)
            return write_rows(slices, writer)

    @contextmanager
    def _journal(self, rows: Rows, width: int) -> Iterator[Journal | None]:
        from ulmfit.apps.prediction_journal import journal_path, open_journal

        try:
            special = self.target.exists() and not self.target.is_file()  # a pipe, /dev/null
            kept = journal_path(self.target).exists()
        except OSError as error:
            raise StorageError(
                f"cannot write '{self.target}': {(error.strerror or str(error)).lower()}",
                hint="Choose another name or place.",
            ) from error
        if special:
            yield None
            return
        with (
            open_journal(self.target, self._facts(rows), width, resume=self.resume) as journal,
            self._told_when_stopped(),
        ):
            # Not before: another run may be at work.
            if kept and not self.resume:
                print_warning(
                    f"the stopped run that was writing {self.target} is started over; "
                    "--resume would have gone on"
                )
            elif self.resume and not kept:
                print_warning(
                    f"no stopped run was writing {self.target}: starting from the beginning"
                )
            if journal.rows and not self.quiet:
                typer.echo(f"resumed: {journal.rows:,} rows are answered already", err=True)
            yield journal

    @contextmanager
    def _told_when_stopped(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            if not self.quiet:
                typer.echo("Run the same command with --resume to go on.", err=True)
            raise

    def _facts(self, rows: Rows) -> dict[str, object]:
        """What the answers depend on, by names that an error can show."""
        from ulmfit import __version__

        # config.json has the digest of every other file
        model = hashlib.sha256((self.model / "config.json").read_bytes()).hexdigest()
        source = Path(self.source)
        return {
            "the version of ulmfit": __version__,
            "the SHA-256 of the model's config.json": model,
            "the input": str(source.resolve()) if source.exists() else self.source,
            "the size of the input in bytes": source.stat().st_size if source.is_file() else None,
            "the text column": rows.text_column,
            **{f"--{name.replace('_', '-')}": value for name, value in self.options.items()},
        }


def writer_of(predictor: Classifier, rows: Rows, target: Path) -> PredictionWriter:
    """What writes the rows with a classifier's answers.

    Raises:
        SettingsError: the format cannot hold them.
    """
    from ulmfit.apps.predictions import PredictionWriter

    return PredictionWriter(
        target,
        rows.schema,
        predictor.labels,
        multi_label=predictor.multi_label,
        abstention=predictor.min_confidence is not None,
        like=rows.dialect,
    )


def write_rows(slices: Iterator[Answers], writer: PredictionWriter) -> Counter[str]:
    """Write the rows with their labels; returns how often each label was given."""
    counts: Counter[str] = Counter()
    with writer:
        for answers in slices:
            writer.write(answers.batch, answers.labels, answers.probabilities)
            counts.update(name_of(label) for label in answers.labels)
    return counts
