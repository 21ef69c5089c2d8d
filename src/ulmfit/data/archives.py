"""Tar archives of the standard distributions, read as a stream and never unpacked to disk."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from ulmfit.data.delimited import open_delimited
from ulmfit.data.distributions import CLASS_NAMES_FILE, class_index_table, numbered_classes
from ulmfit.data.folders import SPLITS, Split, number_order
from ulmfit.data.sources import SNIFF_BYTES, LineReader, reading, require_exists, with_head
from ulmfit.data.tables import Table, batch_rows, string_schema
from ulmfit.data.unpacking import refuse_bomb
from ulmfit.errors import InputError

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def is_archive(source: str | Path) -> bool:
    """Whether the name is that of a tar archive."""
    return str(source).lower().endswith(SUFFIXES)


@dataclass(frozen=True)
class _Contents:
    """What an archive holds: per split its CSV member or the members per class."""

    tables: dict[Split, str]
    documents: dict[Split, list[str]]
    class_names: dict[str, str]

    def splits(self) -> list[Split]:
        return [split for split in SPLITS if split in self.tables or split in self.documents]


def archive_splits(path: Path) -> list[Split]:
    """The splits in an archive."""
    return _survey(path).splits()


def open_archive(path: Path, split: Split, *, encoding: str | None = None) -> Table:
    """Open one split of ``aclImdb_v1.tar.gz`` or of an archive of Zhang et al. (2015).

    The documents of one split are held in memory, so as to come in the order of the unpacked
    folder; CSV members are streamed.

    Raises:
        InputError: not a tar archive, damaged, a member with an absolute path or "..", or nothing
            in it of the forms that are read.
    """
    contents = _survey(path)
    if split in contents.tables:
        return _open_member(path, contents.tables[split], contents.class_names, encoding)
    if split in contents.documents:
        return _open_documents(path, set(contents.documents[split]), encoding)
    if contents.splits():
        raise InputError(
            f"{path}: has no {split} split", expected=f"one of: {', '.join(contents.splits())}"
        )
    raise InputError(
        f"{path}: nothing in it can be read",
        expected="train/<class>/*.txt and test/<class>/*.txt (aclImdb), or train.csv and test.csv",
    )


def _members(path: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The regular files of an archive, in one pass; none is written anywhere."""
    packed, unpacked = require_exists(path).stat().st_size, 0
    with reading(str(path)), _open_tar(path) as archive:
        for member in archive:
            inside = PurePosixPath(member.name.replace("\\", "/"))
            if inside.is_absolute() or ".." in inside.parts or ":" in str(inside)[:2]:
                raise InputError(
                    f"{path}: member {member.name!r} points outside of the archive",
                    hint="This archive is broken or hostile: do not use it.",
                )
            unpacked += member.size
            refuse_bomb(str(path), unpacked, packed)
            if member.isreg():
                yield archive, member


def _open_tar(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, mode="r|*")
    except TypeError as error:  # what tarfile makes of a gzip header that is cut
        raise tarfile.ReadError("unexpected end of data") from error


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> BinaryIO:
    stream = archive.extractfile(member)
    assert stream is not None  # a regular file has content
    return cast(BinaryIO, stream)


def _survey(path: Path) -> _Contents:
    tables: dict[Split, str] = {}
    documents: dict[Split, list[str]] = {}
    classes: str | None = None
    for archive, member in _members(path):
        place = PurePosixPath(member.name)
        split = _document_split(place)
        if place.name == CLASS_NAMES_FILE:
            classes = _content(archive, member).read(SNIFF_BYTES).decode("utf-8", "replace")
        elif place.suffix == ".csv" and place.stem in SPLITS:
            tables[place.stem] = member.name
        elif split is not None:
            documents.setdefault(split, []).append(member.name)
    return _Contents(tables, documents, numbered_classes(classes, path.name))


def _document_split(place: PurePosixPath) -> Split | None:
    """The split of ``.../train/pos/0_9.txt``; ``train/unsup/`` is a split of its own."""
    if place.suffix != ".txt" or len(place.parts) < 3 or place.name.startswith("."):
        return None
    folder, label = place.parts[-3:-1]
    if folder == "train" and label == "unsup":
        return "unsup"
    return next((split for split in SPLITS if split == folder), None)


def _open_member(path: Path, wanted: str, classes: dict[str, str], encoding: str | None) -> Table:
    stack = ExitStack()
    members = _members(path)
    stack.callback(members.close)  # type: ignore[attr-defined]
    try:
        for archive, member in members:
            if member.name == wanted:
                stream, head = with_head(_content(archive, member))
                lines = LineReader(f"{path}:{wanted}", stream, head, encoding)
                stack.callback(lines.close)
                table = open_delimited(lines, ".csv")
                table.close_source = stack.close
                return table if table.has_header else class_index_table(table, classes)
        raise AssertionError(f"{wanted} was seen before")
    except BaseException:
        stack.close()
        raise


def _open_documents(path: Path, wanted: set[str], encoding: str | None) -> Table:
    def rows() -> Iterator[tuple[str, str, str]]:
        held = []
        for archive, member in _members(path):
            if member.name in wanted:
                place = PurePosixPath(member.name)
                data = _content(archive, member).read()
                name = f"{path}:{member.name}"
                with LineReader(name, io.BytesIO(data), data[:SNIFF_BYTES], encoding) as lines:
                    held.append((place.parent.name, place.name, "".join(lines)))
        held.sort(key=lambda row: (row[0], number_order(row[1])))
        return ((f"{label}/{file}", text, label) for label, file, text in held)

    schema = string_schema(["file", "text", "label"])

    def batches() -> Iterator:  # type: ignore[type-arg]
        yield from batch_rows(rows(), schema)

    return Table(str(path), schema, batches(), known_text="text", known_label="label")
