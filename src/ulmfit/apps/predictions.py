"""Write predictions beside the rows they belong to: batch by batch, all of the file or nothing."""

from __future__ import annotations

import contextlib
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ulmfit.apps.text_forms import PROBABILITY_FIELD, DelimitedForm, JsonLinesForm, TextForm
from ulmfit.data.sources import STDIN, stem_suffix
from ulmfit.data.tables import Dialect, to_array
from ulmfit.errors import SettingsError, StorageError
from ulmfit.storage import atomic_file

STDOUT = STDIN  # "-" stands for both
SEPARATOR = "|"  # joins the labels of a set in CSV and TSV
_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_PARQUET = (".parquet", ".pq")
_GZIP_BITS = 31  # zlib's name for: the largest window, in gzip's container
_ROW_GROUP_BYTES = 1 << 25  # of a Parquet file: 32 MB are held before they are written

Labels = Sequence[str | None] | Sequence[Sequence[str] | None]


class PredictionWriter:
    """Writes the rows of the input with a predicted label, and probabilities, at their end.

    The added columns are ``predicted_label`` and ``probability_<class>`` for each class. Where
    the input has a column of that name already, "_2" is added to ours ("_3", ...): columns of the
    input are never renamed, dropped or changed. With ``abstention`` there is a column ``abstained``
    between them, true where no label is given: the label is missing then (null, an empty cell), so
    that nobody takes it for an answer.

    A predicted set of labels is a list in JSON lines and Parquet, and in CSV and TSV one string,
    joined by ``SEPARATOR``, as ``load_dataset(label_separator="|")`` reads it; class names that
    hold it are refused there.

    The format goes by the suffix: .csv, .tsv, .jsonl (each also .gz) or .parquet; stdout is CSV. A
    file appears under its name only when the block ends well; an error or Ctrl-C leaves what was
    there before.

    Example::

        with (
            open_rows("reviews.csv") as rows,
            PredictionWriter("out.csv", rows.schema, ["neg", "pos"]) as writer,
        ):
            for batch in rows:
                labels, probabilities = classify(rows.texts(batch))
                writer.write(batch, labels, probabilities)

    Args:
        target: path, or "-" for stdout.
        schema: of the input's rows.
        classes: names of the classes, in the order of the columns of the probabilities; none to
            write no probabilities.
        multi_label: whether a prediction is a set of labels.
        abstention: whether labels can be missing.
        like: how to write CSV: as the input's is written; None for commas and no mark.

    Raises:
        SettingsError: a suffix that is not written, or a target that is a folder; or class names
            of sets that CSV and TSV cannot keep apart.
        StorageError: the disk is full or the place cannot be written to.
    """

    def __init__(
        self,
        target: str | Path,
        schema: pa.Schema,
        classes: Sequence[str] = (),
        *,
        multi_label: bool = False,
        abstention: bool = False,
        like: Dialect | None = None,
    ) -> None:
        self.target = target
        self._like = like
        self.label_column = free_name("predicted_label", schema.names)
        self._abstention = abstention
        self.schema = _output_schema(
            schema, self.label_column, classes, multi_label=multi_label, abstention=abstention
        )
        self._probabilities = len(classes)
        self._suffix, self._packed = _format_of(target)
        if multi_label and self._suffix in _DELIMITERS:
            _require_joinable(classes)
        self._stack = ExitStack()
        self._sink: _Sink | None = None

    def __enter__(self) -> PredictionWriter:
        with ExitStack() as stack:  # a header that cannot be written discards the file
            file = stack.enter_context(_destination(self.target))
            self._sink = self._open_sink(file)
            self._stack = stack.pop_all()
        return self

    def _open_sink(self, file: BinaryIO) -> _Sink:
        if self._suffix in _PARQUET:
            return _ParquetSink(file, self.schema)
        form: TextForm = JsonLinesForm(self.schema)
        if self._suffix in _DELIMITERS:
            dialect = Dialect(_DELIMITERS[self._suffix], has_mark=False)
            if self._suffix == ".csv" and self._like is not None:
                dialect = self._like
            form = DelimitedForm(self.schema, dialect, self.label_column, SEPARATOR)
        return _TextSink(file, form, packed=self._packed)

    def write(
        self,
        batch: pa.RecordBatch,
        labels: Labels,
        probabilities: NDArray[np.floating] | None = None,
    ) -> None:
        """Write one batch.

        Args:
            batch: rows of the input, with the schema given at the start.
            labels: the predicted class, or the classes, of each row; None to abstain.
            probabilities: (rows, classes), in the order of the classes given at the start.

        Raises:
            StorageError: the disk is full.
        """
        if self._sink is None:
            raise RuntimeError("PredictionWriter.write is called inside of its `with` block")
        kinds = self.schema.types[batch.num_columns :]
        predicted = to_array([_plain(label) for label in labels], kinds[0])
        columns = [*batch.columns, predicted]
        if self._abstention:
            columns.append(pa.array([label is None for label in labels], pa.bool_()))
        if self._probabilities:
            table = np.asarray(probabilities, dtype=np.float64).reshape(-1, self._probabilities)
            columns += [pa.array(column) for column in table.T]
        self._sink.write(pa.RecordBatch.from_arrays(columns, schema=self.schema))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sink, self._sink = self._sink, None
        assert sink is not None
        try:
            if kind is None:
                sink.finish()
            else:
                sink.abandon()
        except BaseException:
            self._stack.__exit__(*sys.exc_info())  # discards the file; raises what it is called
            raise
        self._stack.__exit__(kind, error, trace)


def _require_joinable(classes: Sequence[str]) -> None:
    """Refuse class names that would be taken for two when they are read back."""
    held = next((name for name in classes if SEPARATOR in name), None)
    if held is not None:
        raise SettingsError(
            f"the class name {held!r} has {SEPARATOR!r} in it, which parts the labels of a row in "
            "CSV and TSV",
            expected="a file of lists: .jsonl or .parquet",
            hint="With `-o FILE.jsonl` each row has its labels as a list.",
        )


def free_name(name: str, taken: Sequence[str]) -> str:
    """``name``, or where a column has it already ``name_2``, ``name_3``, ..."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def _output_schema(
    schema: pa.Schema,
    label_column: str,
    classes: Sequence[str],
    *,
    multi_label: bool,
    abstention: bool,
) -> pa.Schema:
    kind = pa.list_(pa.string()) if multi_label else pa.string()
    fields = [*schema, pa.field(label_column, kind)]
    if abstention:
        column = free_name("abstained", [field.name for field in fields])
        fields.append(pa.field(column, pa.bool_()))
    for name in classes:
        column = free_name(f"probability_{name}", [field.name for field in fields])
        fields.append(pa.field(column, pa.float64(), metadata=PROBABILITY_FIELD))
    return pa.schema(fields)  # without the input's metadata, such as pandas' list of its columns


def _plain(label: str | Sequence[str] | None) -> str | list[str] | None:
    return label if label is None or isinstance(label, str) else list(label)


def _format_of(target: str | Path) -> tuple[str, bool]:
    """The suffix of the format, and whether to gzip."""
    suffix = ".csv" if str(target) == STDOUT else stem_suffix(target)
    packed = str(target).lower().endswith(".gz")
    known = (*_DELIMITERS, *_JSON_LINES, *_PARQUET)
    if suffix not in known or (packed and suffix in _PARQUET):
        raise SettingsError(
            f"predictions cannot be written to '{target}': its type is "
            f"{suffix or 'missing'}{'.gz' if packed else ''}",
            expected=".csv, .tsv, .jsonl (each also with .gz), .parquet, or - for stdout",
        )
    return suffix, packed


@contextmanager
def _destination(target: str | Path) -> Iterator[BinaryIO]:
    if str(target) != STDOUT:
        with atomic_file(Path(target)) as file:
            yield file
        return
    try:
        yield sys.stdout.buffer
    except BrokenPipeError:
        raise  # whoever reads has seen enough, as in `... | head`
    except OSError as error:
        raise StorageError(f"cannot write to stdout: {error.strerror or error}") from error


class _Sink(Protocol):
    def write(self, batch: pa.RecordBatch) -> None: ...
    def finish(self) -> None: ...
    def abandon(self) -> None: ...


class _TextSink:
    """CSV, TSV or JSON lines; each batch is out before the next one is made."""

    def __init__(self, file: BinaryIO, form: TextForm, *, packed: bool) -> None:
        self._file = file
        self._form = form
        self._packer = zlib.compressobj(wbits=_GZIP_BITS) if packed else None
        self._put(form.header())

    def _put(self, text: str) -> None:
        data = text.encode("utf-8")
        self._file.write(data if self._packer is None else self._packer.compress(data))
        if self._file is sys.stdout.buffer:
            self._file.flush()

    def write(self, batch: pa.RecordBatch) -> None:
        self._put(self._form.rows(batch))

    def finish(self) -> None:
        if self._packer is not None:
            self._file.write(self._packer.flush())

    def abandon(self) -> None:
        """The file goes as it is."""


class _ParquetSink:
    """Parquet; batches are gathered to row groups of a useful size."""

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(file, schema)
        self._schema = schema
        self._held: list[pa.RecordBatch] = []
        self._bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._held.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= _ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held, schema=self._schema))
        self._held, self._bytes = [], 0

    def finish(self) -> None:
        self._flush()
        self._writer.close()

    def abandon(self) -> None:
        # else it would write its footer when it is collected, into a file that is closed by then
        with contextlib.suppress(OSError, pa.ArrowException):
            self._writer.close()
