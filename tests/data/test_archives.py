from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from ulmfit.data.archives import archive_splits, is_archive, open_archive
from ulmfit.data.folders import Split, open_folder
from ulmfit.errors import InputError

IMDB = {
    "aclImdb/README": "about",
    "aclImdb/test/pos/0_10.txt": "good",
    "aclImdb/train/unsup/0_0.txt": "unknown",
    "aclImdb/train/pos/10_9.txt": "fine\r\nfilm",
    "aclImdb/train/pos/9_9.txt": "nice",
    "aclImdb/train/labeledBow.feat": "9 0:1",
    "aclImdb/train/neg/0_2.txt": "dull",
    "aclImdb/test/neg/0_1.txt": "bad",
}
AG = {
    "ag_news_csv/train.csv": '"1","War","in the East"\n"2","Ball","in the goal"\n',
    "ag_news_csv/test.csv": '"2","Match","is over"\n',
    "ag_news_csv/classes.txt": "World\nSports\n",
    "ag_news_csv/readme.txt": "about",
}


def pack(path: Path, files: dict[str, str], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content.encode())
            archive.addfile(member, io.BytesIO(content.encode()))
    return path


def read(path: Path, split: Split = "train") -> list[tuple[object, ...]]:
    with open_archive(path, split) as table:
        return [tuple(row.values()) for batch in table for row in batch.to_pylist()]


def test_acl_imdb_is_as_its_unpacked_folder(tmp_path: Path) -> None:
    path = pack(tmp_path / "aclImdb_v1.tar.gz", IMDB)
    assert archive_splits(path) == ["train", "test", "unsup"]
    for name, content in IMDB.items():
        place = tmp_path / "unpacked" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode())
    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:
        with open_folder(tmp_path / "unpacked" / "aclImdb", split) as table:
            rows = [tuple(row.values()) for batch in table for row in batch.to_pylist()]
        assert read(path, split) == rows
    assert read(path)[2] == ("pos/10_9.txt", "fine\r\nfilm", "pos")
    assert [row[1] for row in read(path, "unsup")] == ["unknown"]


@pytest.mark.parametrize(
    ("name", "mode"), [("a.tar", "w"), ("a.tgz", "w:gz"), ("a.tar.bz2", "w:bz2")]
)
def test_zhang_with_its_class_names_behind_its_rows(tmp_path: Path, name: str, mode: str) -> None:
    path = pack(tmp_path / name, AG, mode)
    assert archive_splits(path) == ["train", "test"]
    assert read(path) == [("World", "War\nin the East"), ("Sports", "Ball\nin the goal")]
    assert read(path, "test") == [("Sports", "Match\nis over")]


def test_polarity_by_the_name_of_the_archive(tmp_path: Path) -> None:
    files = {"x/train.csv": '"2","Good"\n"1","Bad"\n'}
    path = pack(tmp_path / "yelp_review_polarity_csv.tar.gz", files)
    assert [row[0] for row in read(path)] == ["positive", "negative"]


def test_csv_with_a_header_inside(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", {"train.csv": "text,label\na b,c\n"}, "w")
    assert read(path) == [("a b", "c")]


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "C:\\evil.txt", "..", "/"]
)
def test_members_that_point_outside_are_refused(tmp_path: Path, name: str) -> None:
    path = pack(tmp_path / "a.tar.gz", {**IMDB, name: "x"})
    with pytest.raises(InputError, match="points outside of the archive"):
        read(path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.tar.gz"]


def test_links_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("aclImdb/train/pos/1_1.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(InputError, match="nothing in it can be read: expected train/<class>"):
        read(path)


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", AG, "w")
    with pytest.raises(InputError, match="has no unsup split: expected one of: train, test"):
        read(path, "unsup")


def test_damaged_archives(tmp_path: Path) -> None:
    whole = pack(tmp_path / "a.tar.gz", {**IMDB, "aclImdb/train/pos/7_7.txt": "x" * 9999})
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(whole.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"cut\.tar\.gz: damaged or cut"):
        read(cut)
    for length in range(20):
        cut.write_bytes(whole.read_bytes()[:length])
        with pytest.raises(InputError, match=r"cut\.tar\.gz: damaged or cut|nothing in it"):
            read(cut)
    (tmp_path / "no.tar.gz").write_bytes(b"text,label\n")
    with pytest.raises(InputError, match=r"no\.tar\.gz: damaged or cut tar archive"):
        read(tmp_path / "no.tar.gz")
    with pytest.raises(InputError, match=r"Did you mean .*a\.tar\.gz"):
        read(tmp_path / "b.tar.gz")


def test_a_fault_inside_names_the_member(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", {"x/train.csv": '"1","a"\n"2","b","c"\n'}, "w")
    with pytest.raises(InputError, match=r"a\.tar:x/train\.csv: the row at line 2 has 3 fields"):
        read(path)


def test_which_names_are_archives() -> None:
    assert is_archive("aclImdb_v1.tar.gz")
    assert is_archive(Path("A.TGZ"))
    assert not is_archive("reviews.csv.gz")


def test_an_archive_that_grows_beyond_reason_is_refused(tmp_path: Path) -> None:
    # 200 MB of one letter in 200 kB; what is not read is passed over, which takes its time too.
    path = pack(tmp_path / "a.tar.gz", {"train/pos/1_9.txt": "x", "notes/a.bin": "a" * 200_000_000})
    with pytest.raises(
        InputError, match=r"a\.tar\.gz: 2\d\d,\d{3},\d{3} bytes are packed into"
    ) as e:
        archive_splits(path)
    assert "may be a decompression bomb" in str(e.value)


def test_a_member_without_a_name_is_no_document(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", {**IMDB, "": "x"}, "w")
    assert archive_splits(path) == ["train", "test", "unsup"]
