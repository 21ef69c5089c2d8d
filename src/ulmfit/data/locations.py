"""From what the user wrote to an open Table: a path, "-", or ``name:imdb`` under a data folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ulmfit.data.archives import archive_splits, is_archive, open_archive
from ulmfit.data.distributions import open_known_file
from ulmfit.data.folders import Split, open_folder, split_places
from ulmfit.data.sources import STDIN, nearest, require_exists
from ulmfit.data.tables import Table
from ulmfit.errors import InputError

PREFIX = "name:"
_PACKAGED = {"trec6": Path(__file__).parent / "trec6"}


def open_source(
    source: str | Path,
    *,
    split: Split = "train",
    data_dir: Path | None = None,
    encoding: str | None = None,
    wanted: Sequence[str] = (),
) -> Table:
    """Open a file, folder, archive, stdin ("-") or named data set.

    Args:
        source: what the user wrote.
        split: which part of a folder, archive or named set; a single file is what it is.
        data_dir: where named sets are, one folder each.
        encoding: codec of text files; None for a byte order mark or UTF-8.
        wanted: column names the user gave, which tell the header of a CSV file from a row.

    Raises:
        InputError: nothing of that name (the nearest is offered), nothing that can be read, or not
            that split.
    """
    if str(source) == STDIN:
        return open_known_file(STDIN, encoding=encoding, wanted=wanted)
    table = _open_path(locate(source, data_dir), split, encoding, wanted)
    if str(source).startswith(PREFIX):
        table.name = f"{source} ({split})"
    return table


def _open_path(path: Path, split: Split, encoding: str | None, wanted: Sequence[str]) -> Table:
    if path.is_dir():
        return open_folder(path, split, encoding=encoding, wanted=wanted)
    if is_archive(path):
        return open_archive(path, split, encoding=encoding)
    return open_known_file(path, encoding=encoding, wanted=wanted)


def locate(source: str | Path, data_dir: Path | None = None) -> Path:
    """The file or folder a source stands for.

    Raises:
        InputError: it does not exist; offers the nearest name.
    """
    if not str(source).startswith(PREFIX):
        return require_exists(Path(source))
    name = str(source).removeprefix(PREFIX)
    known = named_sets(data_dir)
    if name in known:
        return known[name]
    other = nearest(name, list(known))
    where = f" in {data_dir}" if data_dir is not None else ""
    more = "" if data_dir is not None else " `--data-dir DIR` adds the folders in DIR."
    raise InputError(
        f"no data set is called {name!r}{where}",
        expected=f"one of {', '.join(known)}",
        hint=(f"Did you mean {PREFIX}{other}?" if other else "Check the name.") + more,
    )


def named_sets(data_dir: Path | None = None) -> dict[str, Path]:
    """Names that can follow ``name:``, with their folders: those packaged, and those found.

    Raises:
        InputError: ``data_dir`` is not a folder.
    """
    if data_dir is None:
        return dict(_PACKAGED)
    if not require_exists(data_dir).is_dir():
        raise InputError(f"{data_dir}: is a file", expected="a folder with one folder per data set")
    found = {entry.name: entry for entry in sorted(data_dir.iterdir()) if entry.is_dir()}
    return found | _PACKAGED


def available_splits(source: str | Path, *, data_dir: Path | None = None) -> list[Split]:
    """The splits a folder, archive or named set has; none for a single file or stdin.

    Raises:
        InputError: the source does not exist.
    """
    if str(source) == STDIN:
        return []
    path = locate(source, data_dir)
    if path.is_dir():
        return list(split_places(path))
    return archive_splits(path) if is_archive(path) else []
