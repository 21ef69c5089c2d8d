from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ulmfit.apps.prediction_journal import journal_path, open_journal
from ulmfit.errors import InputError, SettingsError, StorageError

FACTS = {"the model": "a1", "--encoding": None}
SLICES = [["one", "two"], ["three", ""], ["four"]]


def lengths(texts: Sequence[str]) -> NDArray[np.float32]:
    return np.array([[len(text), 0.1] for text in texts], dtype=np.float32)


def refuse(texts: Sequence[str]) -> NDArray[np.float32]:
    raise AssertionError("this slice is known")


class Killed(Exception):
    """Stands for the end of the process: the journal is left as it is."""


def stopped_after(target: Path, slices: int) -> None:
    with pytest.raises(Killed), open_journal(target, FACTS, 2, resume=False) as journal:
        for texts in SLICES[:slices]:
            journal.answers(texts, lengths)
        raise Killed


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_answers_are_recalled_and_the_rest_is_computed(tmp_path: Path, done: int) -> None:
    target = tmp_path / "out.csv"
    stopped_after(target, done)
    with open_journal(target, FACTS, 2, resume=True) as journal:
        assert journal.rows == sum(map(len, SLICES[:done]))
        for number, texts in enumerate(SLICES):
            assert journal.recalling == (number < done)
            found = journal.answers(texts, refuse if number < done else lengths)
            assert found.dtype == np.float32
            assert (found == lengths(texts)).all()
        journal.require_all_used()
    assert list(tmp_path.iterdir()) == []


def test_a_link_and_the_file_that_it_names_have_one_journal(tmp_path: Path) -> None:
    target, link = tmp_path / "there" / "out.csv", tmp_path / "link.csv"
    link.symlink_to(target)
    stopped_after(link, 1)
    with open_journal(target, FACTS, 2, resume=True) as journal:
        assert journal.rows == 2


def test_an_answer_is_in_the_file_before_the_next_one_is_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    with open_journal(target, FACTS, 2, resume=False) as journal:
        before = journal_path(target).stat().st_size
        journal.answers(SLICES[0], lengths)
        record = 24 + 2 * 2 * 4  # checksum, rows and digest; two numbers for each of two texts
        assert journal_path(target).stat().st_size == before + record


def test_a_new_run_forgets_the_stopped_one(tmp_path: Path) -> None:
    for facts in (FACTS, {"another": "model"}):
        stopped_after(tmp_path / "out.csv", 2)
        with open_journal(tmp_path / "out.csv", facts, 2, resume=False) as journal:
            assert journal.rows == 0


def test_half_a_surrogate_pair_is_a_text_too(tmp_path: Path) -> None:
    with open_journal(tmp_path / "out.csv", FACTS, 2, resume=False) as journal:
        assert journal.answers(["\ud800"], lengths)[0, 0] == 1


def test_a_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    stopped_after(target, 1)
    path = journal_path(target)
    path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 0', 1))
    with pytest.raises(SettingsError, match="format is 1 now: expected 0"):
        open_journal(target, FACTS, 2, resume=True).__enter__()


def test_a_record_cut_anywhere_is_computed_again(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    stopped_after(target, 1)
    first = journal_path(target).stat().st_size
    stopped_after(target, 2)
    whole = journal_path(target).read_bytes()
    for size in range(first, len(whole)):
        journal_path(target).write_bytes(whole[:size])
        with (
            pytest.raises(Killed),
            open_journal(target, FACTS, 2, resume=True) as journal,
        ):
            assert journal.rows == 2
            for texts in SLICES[:2]:
                journal.answers(texts, lengths)
            raise Killed
        assert journal_path(target).read_bytes() == whole


def test_a_garbled_record_is_computed_again(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    stopped_after(target, 1)
    start = journal_path(target).stat().st_size
    stopped_after(target, 3)
    whole = journal_path(target).read_bytes()
    for place in range(start, len(whole)):
        journal_path(target).write_bytes(
            whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        )
        with pytest.raises(Killed), open_journal(target, FACTS, 2, resume=True) as journal:
            assert journal.rows in (2, 4)
            raise Killed
        assert whole.startswith(journal_path(target).read_bytes())


@pytest.mark.parametrize("texts", [["three", "x"], ["thre", "e"], ["three"], ["three", "", ""]])
def test_another_input_is_refused(tmp_path: Path, texts: list[str]) -> None:
    target = tmp_path / "out.csv"
    stopped_after(target, 2)
    with (
        pytest.raises(InputError, match="it differs after row 2: expected the same rows") as caught,
        open_journal(target, FACTS, 2, resume=True) as journal,
    ):
        journal.answers(SLICES[0], refuse)
        journal.answers(texts, refuse)
    assert "Run without --resume to start over." in str(caught.value)
    with (
        pytest.raises(InputError, match="it differs after row 2"),
        open_journal(target, FACTS, 2, resume=True) as journal,
    ):
        journal.answers(SLICES[0], refuse)
        journal.require_all_used()  # the input ends here now
    assert journal_path(target).exists()


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({**FACTS, "the model": "b2"}, "the model is b2 now: expected a1, as before"),
        (
            {**FACTS, "--encoding": "cp949"},
            "--encoding is cp949 now: expected not given, as before",
        ),
        ({"--encoding": None}, "the model is not given now: expected a1, as before"),
        ({**FACTS, "--text": "body"}, "--text is body now: expected not given, as before"),
    ],
)
def test_another_run_is_refused(tmp_path: Path, facts: dict[str, object], problem: str) -> None:
    target = tmp_path / "out.csv"
    stopped_after(target, 1)
    before = journal_path(target).read_bytes()
    with pytest.raises(SettingsError) as caught, open_journal(target, facts, 2, resume=True):
        pass
    assert f"the stopped run that wrote '{target}' was a different one: {problem}" in str(
        caught.value
    )
    assert "or leave --resume out to start over" in str(caught.value)
    assert journal_path(target).read_bytes() == before
    with pytest.raises(SettingsError, match="classes is 3 now: expected 2"):
        open_journal(target, FACTS, 3, resume=True).__enter__()


def test_a_damaged_head_is_named(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    journal_path(target).write_bytes(b"\x00 nothing\n")
    with (
        pytest.raises(SettingsError, match=r"the stopped run that wrote '.*out\.csv' is damaged"),
        open_journal(target, FACTS, 2, resume=True),
    ):
        pass


def test_killed_before_its_first_line_was_written(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    line = json.dumps(FACTS).encode()
    for head in (b"", line[:10]):
        journal_path(target).write_bytes(head)
        with open_journal(target, FACTS, 2, resume=True) as journal:
            assert journal.rows == 0
            journal.answers(SLICES[0], lengths)


def test_two_runs_at_once(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    code = f"""
from pathlib import Path
from ulmfit.apps.prediction_journal import open_journal
from ulmfit.errors import SettingsError
try:
    with open_journal(Path({str(target)!r}), {{}}, 2, resume=False):
        pass
except SettingsError as error:
    print(error)
"""
    with open_journal(target, FACTS, 2, resume=False) as journal:
        journal.answers(SLICES[0], lengths)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert f"another run is writing '{target}' now" in done.stdout
        assert journal_path(target).exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError) as caught,
        open_journal(tmp_path / "file" / "out.csv", FACTS, 2, resume=False),
    ):
        pass
    assert f"cannot write '{tmp_path / 'file' / 'out.csv'}': " in str(caught.value)
    assert "ulmfit-answers" not in str(caught.value)
