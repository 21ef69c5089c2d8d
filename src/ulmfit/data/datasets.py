"""Texts and labels from any source, in memory or as a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ulmfit.data.columns import label_columns, label_strings, text_columns
from ulmfit.data.formats import open_file
from ulmfit.data.sources import nearest
from ulmfit.data.tables import Table
from ulmfit.errors import InputError

Split = Literal["train", "test", "unsup", "valid"]
_PACKAGED = {"trec6": Path(__file__).parent / "trec6"}


@dataclass(frozen=True)
class Dataset:
    """Texts and, where known, their labels."""

    texts: list[str]
    labels: list[str] | list[tuple[str, ...]] | None = None
    name: str = "data"
    multi_label: bool = False
    text_column: str | None = None
    label_column: str | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def subset(self, indices: Iterable[int]) -> Dataset:
        """The rows with these numbers, in this order."""
        rows = [int(index) for index in indices]
        labels = None if self.labels is None else [self.labels[row] for row in rows]
        return replace(self, texts=[self.texts[row] for row in rows], labels=labels)


def load_dataset(
    source: str | Path,
    *,
    text: str | None = None,
    label: str | None = None,
    split: Split = "train",
    data_dir: Path | None = None,
    require_labels: bool = True,
) -> Dataset:
    """Read a whole labelled data set."""
    with _open(source, split, data_dir, [name for name in (text, label) if name]) as table:
        text_names = text_columns(table, text)
        label_names: tuple[str, ...] = ()
        try:
            label_names = label_columns(table, label, text_names)
        except InputError:
            if require_labels or label is not None:
                raise
        texts: list[str] = []
        labels: list[str] = []
        for batch in table:
            texts.extend(value or "" for value in batch.column(text_names[0]).to_pylist())
            if label_names:
                labels.extend(str(v) for v in label_strings(batch.column(label_names[0])))
    return Dataset(
        texts,
        labels if label_names else None,
        name=table.name,
        text_column=text_names[0],
        label_column=label_names[0] if label_names else None,
    )


def iter_texts(
    source: str | Path,
    *,
    text: str | None = None,
    split: Split = "train",
    data_dir: Path | None = None,
    where: tuple[str, str] | None = None,
) -> Iterator[str]:
    """Stream the texts of a source."""
    with _open(source, split, data_dir, [text] if text else []) as table:
        name = text_columns(table, text)[0]
        for batch in table:
            keep = batch.column(where[0]).to_pylist() if where else None
            for row, value in enumerate(batch.column(name).to_pylist()):
                if keep is None or (where and str(keep[row]) == where[1]):
                    yield value or ""


def _open(
    source: str | Path, split: Split, data_dir: Path | None, wanted: Sequence[str]
) -> Table:
    return open_file(_resolve(source, split, data_dir), wanted=wanted)


def _resolve(source: str | Path, split: Split, data_dir: Path | None) -> Path:
    name = str(source)
    if not name.startswith("name:"):
        return Path(source)
    name = name.removeprefix("name:")
    folders = dict(_PACKAGED)
    if data_dir is not None and data_dir.is_dir():
        folders |= {entry.name: entry for entry in sorted(data_dir.iterdir()) if entry.is_dir()}
    if name not in folders:
        other = nearest(name, list(folders))
        raise InputError(
            f"no data set is called {name!r}",
            expected=f"one of: {', '.join(sorted(folders))}",
            hint=f"Did you mean name:{other}?" if other else None,
        )
    for suffix in ("parquet", "csv"):
        path = folders[name] / f"{split}.{suffix}"
        if path.exists():
            return path
    raise InputError(f"data set {name} has no {split} split")


def from_python(texts: Sequence[str], labels: Sequence[object] | None = None) -> Dataset:
    """A Dataset from Python sequences."""
    names = None if labels is None else [str(label) for label in labels]
    return Dataset([str(text) for text in texts], names)


