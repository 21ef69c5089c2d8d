"""Folders as data: a file per split, a folder per class, or simply text files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from ulmfit.data.distributions import open_known_file
from ulmfit.data.formats import DELIMITED, FORMATS, JSON_LINES, PARQUET, PLAIN
from ulmfit.data.sources import read_text
from ulmfit.data.tables import Table, batch_rows, string_schema
from ulmfit.errors import InputError

Split = Literal["train", "test", "unsup", "valid"]
SPLITS: tuple[Split, ...] = ("train", "test", "unsup", "valid")
# What others call the splits, the usual name first; a folder or file of that name is the split.
_SPLIT_NAMES = {
    "train": ("train", "training"),
    "test": ("test",),
    "unsup": ("unsup", "unsupervised", "unlabeled", "unlabelled"),
    "valid": ("valid", "validation", "val", "dev"),
}
_ALL_SPLIT_NAMES = frozenset(name for names in _SPLIT_NAMES.values() for name in names)
_SPLIT_SUFFIXES = [
    suffix + packed
    for suffix in (*PARQUET, *JSON_LINES, *DELIMITED, ".label", ".txt")
    for packed in ("", ".gz")
]


def split_places(folder: Path) -> dict[Split, Path]:
    """The splits a folder has, each with its file or folder.

    ``train.parquet``, ``test.csv.gz``, ``validation.jsonl``, ``train/``; ``train/unsup/`` as in
    aclImdb; ``train_5500.label`` and ``TREC_10.label``.
    """
    places: dict[Split, Path] = {}
    for split in SPLITS:
        for name in _SPLIT_NAMES[split]:
            options = [folder / f"{name}{suffix}" for suffix in _SPLIT_SUFFIXES]
            options.append(folder / name)
            if split == "unsup":
                options.append(folder / "train" / name)
            found = next((path for path in options if _is_split(path)), None)
            if found is not None:
                places.setdefault(split, found)
    for split, name in (("train", "train_5500.label"), ("test", "TREC_10.label")):
        if (folder / name).exists():
            places.setdefault(split, folder / name)
    return places


def class_folders(folder: Path) -> list[Path]:
    """The folders in ``folder`` that hold text files, without those that are splits."""
    return [
        entry
        for entry in _full_folders(folder)
        if entry.name not in _ALL_SPLIT_NAMES or not _is_split(entry)
    ]


def _full_folders(folder: Path) -> list[Path]:
    return [
        entry
        for entry in sorted(folder.iterdir())
        if entry.is_dir() and not entry.name.startswith(".") and any(_text_files(entry))
    ]


def _is_split(place: Path) -> bool:
    """Whether a file or folder with the name of a split is one; a class may be called `dev` too.

    A folder is a split if it holds class folders, or has training data beside or around it. With
    text files alone, ``train`` is a class where folders with other names are beside it.
    """
    if not place.is_dir():
        return place.exists()
    beside = place.parent
    if _full_folders(place) or not any(_text_files(place)):
        return True
    if place.name in _SPLIT_NAMES["train"]:
        return all(entry.name in _ALL_SPLIT_NAMES for entry in _full_folders(beside))
    if place.name in _SPLIT_NAMES["unsup"] and beside.name in _SPLIT_NAMES["train"]:
        return True  # train/unsup of aclImdb
    training = [beside / f"{n}{s}" for n in _SPLIT_NAMES["train"] for s in ("", *_SPLIT_SUFFIXES)]
    return any(map(_is_split, [*training, beside / "train_5500.label"]))


def open_class_folders(folder: Path, *, encoding: str | None = None) -> Table:
    """Read ``folder/<class>/<any name>``: columns file, text, label; one row per file.

    Classes come in sorted order and files in the order of the numbers in their names.
    """
    schema = string_schema(["file", "text", "label"])
    rows = (
        (path.relative_to(folder).as_posix(), read_text(path, encoding), place.name)
        for place in class_folders(folder)
        for path in sorted(_text_files(place), key=number_order)
    )
    batches = batch_rows(rows, schema)
    return Table(str(folder), schema, batches, known_text="text", known_label="label")


def open_text_files(folder: Path, *, encoding: str | None = None) -> Table:
    """Read ``folder/<any name>``: columns file and text; one row per file."""
    schema = string_schema(["file", "text"])
    rows = (
        (path.name, read_text(path, encoding))
        for path in sorted(_text_files(folder), key=number_order)
    )
    return Table(str(folder), schema, batch_rows(rows, schema), known_text="text")


def number_order(path: Path | str) -> tuple[tuple[int, str], ...]:
    """Sort key by which ``9_1.txt`` comes before ``10_1.txt``."""
    parts = re.split(r"(\d+)", str(path))
    return tuple((int(part), "") if part.isdecimal() else (0, part) for part in parts)


def _text_files(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_file() and not entry.name.startswith("."):
            yield entry


def open_folder(
    folder: Path, split: Split, *, encoding: str | None = None, wanted: Sequence[str] = ()
) -> Table:
    """Open one split of a folder; a folder without splits is taken as the one asked for.

    Raises:
        InputError: the folder has nothing of the kinds that are read, or not that split.
    """
    places = split_places(folder)
    if split in places and places[split].is_file():
        return open_known_file(places[split], encoding=encoding, wanted=wanted)
    place = places.get(split, folder)
    if class_folders(place):
        return open_class_folders(place, encoding=encoding)
    if place is folder and places:
        raise InputError(f"{folder}: has no {split} split", expected=f"one of: {', '.join(places)}")
    if any(path.suffix in PLAIN for path in _text_files(place)):
        return open_text_files(place, encoding=encoding)
    held = sorted(entry.name for entry in place.iterdir())
    raise InputError(
        f"{place}: nothing in it can be read (it has {', '.join(held[:5]) or 'no files'})",
        expected=f"a folder per class, files called train and test, or one of {FORMATS}",
    )
