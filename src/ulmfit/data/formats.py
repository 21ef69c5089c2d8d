"""Open any file as a Table: CSV, TSV, JSONL, Parquet, plain text; .gz and stdin alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ulmfit.data.delimited import open_delimited
from ulmfit.data.sources import require_exists, stem_suffix
from ulmfit.data.tables import BATCH_ROWS, Table
from ulmfit.errors import InputError


def open_file(
    source: str | Path, *, encoding: str | None = None, wanted: Sequence[str] = ()
) -> Table:
    suffix = stem_suffix(source)
    if suffix in (".csv", ".tsv", ".tab"):
        return open_delimited(source, encoding=encoding, suffix=suffix, wanted=wanted)
    if suffix in (".parquet", ".pq"):
        return open_parquet(Path(source))
    raise InputError(f"{source}: unknown file type {suffix or 'without a suffix'}")


@contextmanager
def _parquet_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path}: damaged or cut Parquet file ({str(error).splitlines()[0]})",
            hint="Write or download it again.",
        ) from error


def open_parquet(path: Path) -> Table:
    require_exists(path)
    with _parquet_faults(path):
        file = pq.ParquetFile(path)
    return Table(str(path), file.schema_arrow, _parquet_batches(file, path), file.close)


def _parquet_batches(file: pq.ParquetFile, path: Path) -> Iterator[pa.RecordBatch]:
    with _parquet_faults(path):
        yield from file.iter_batches(batch_size=BATCH_ROWS, use_threads=False)
