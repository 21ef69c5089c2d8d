from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal

import pytest

from tests.cli.conftest import run
from ulmfit.cli.labelled import Columns
from ulmfit.cli.training_runs import Place, default_out, read_settings, reader
from ulmfit.errors import InputError, Interrupted, SettingsError, StorageError


def place(out: Path, *, resume: bool = False) -> Place:
    return Place(out, seed=0, resume=resume, quiet=True, device="cpu")


@pytest.mark.parametrize(
    ("data", "out"),
    [
        ("reviews.csv", "runs/reviews"),
        ("a/b/reviews.2024.csv.gz", "runs/reviews"),
        ("name:trec6", "runs/trec6"),
        ("-", "runs/stdin"),
        ("imdb/train.parquet", "runs/imdb"),
        ("folder/", "runs/folder"),
        ("folder/../other", "runs/other"),
        (".", f"runs/{Path.cwd().name}"),
        ("..", f"runs/{Path.cwd().parent.name}"),
    ],
)
def test_the_folder_is_named_after_the_data(data: str, out: str) -> None:
    assert default_out(data) == Path(out)


def test_settings_are_changed_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[classifier]\nepochs = 7\nbatch_size = 8\n")
    found = read_settings("default", file, ["classifier.epochs=9", " classifier.chunk = 50 "])
    assert (found.classifier.epochs, found.classifier.batch_size) == (9, 8)
    assert found.classifier.chunk == 50


@pytest.mark.parametrize("change", ["classifier.epochs", "=3", " "])
def test_a_setting_without_a_value_is_refused(change: str) -> None:
    with pytest.raises(SettingsError, match=r"expected KEY=VALUE, such as classifier.epochs=5"):
        read_settings("default", None, [change])


def test_corpora_are_read_again_and_again(data: Path) -> None:
    assert reader(None, Columns()) is None
    texts = reader([str(data / "more.txt"), str(data / "test.csv")], Columns())
    assert texts is not None
    assert len(list(texts())) == len(list(texts())) == 440


def test_a_corpus_without_text_and_one_that_can_be_read_once(tmp_path: Path) -> None:
    empty = tmp_path / "a.txt"
    empty.write_text("\n \n")
    with pytest.raises(InputError, match=r"a\.txt"):
        reader([str(empty)], Columns())
    with pytest.raises(InputError, match="standard input cannot be a corpus"):
        reader(["-"], Columns())
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe cannot be a corpus"):
        reader([str(tmp_path / "pipe")], Columns())


def test_a_place_that_holds_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingsError, match="holds other files"):
        place(tmp_path).prepare()
    assert (tmp_path / "thesis.txt").exists()


def test_a_place_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(StorageError, match="cannot write '/proc/model'"):
        place(Path("/proc/model")).prepare()


def test_a_stopped_run_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place(tmp_path / "m", resume=True).prepare()
    assert "there is no stopped run in" in capsys.readouterr().err
    (tmp_path / "m" / "training").mkdir(parents=True)
    place(tmp_path / "m", resume=True).prepare()
    assert capsys.readouterr().err == ""
    place(tmp_path / "m").prepare()
    assert "will be started over; with --resume it goes on" in capsys.readouterr().err


def work_in(where: Place, error: BaseException | None) -> None:
    with where.run(where.display()) as run:
        run.claim({})
        (run.work / "forward").mkdir()
        if error is not None:
            raise error


def test_a_resumed_run_does_not_choose_its_precision_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = place(tmp_path / "m", resume=True)
    chosen: list[Literal["float32", "bf16"]] = ["bf16", "float32"]
    monkeypatch.setattr("ulmfit.runtime.cpu_runs_bf16", lambda: True)
    monkeypatch.setattr("ulmfit.runtime.fast_precision", lambda *, cpu: chosen.pop(0))
    for _ in range(2):
        with pytest.raises(Interrupted), where.run(where.display()) as run:
            run.claim({})
            raise Interrupted("stopped")
        assert run.accelerator.mixed_precision == "bf16"


def test_what_a_run_keeps_goes_when_it_is_done_or_refused(tmp_path: Path) -> None:
    where = place(tmp_path / "m")
    work_in(where, None)
    assert not where.out.exists()
    with pytest.raises(InputError):
        work_in(where, InputError("too little text"))
    assert not where.out.exists()


def test_a_trained_model_is_not_lost_to_a_late_refusal(tmp_path: Path) -> None:
    where = place(tmp_path / "m")
    with pytest.raises(InputError), where.run(where.display()) as run:
        run.claim({})
        (run.work / "forward" / "lm" / "model").mkdir(parents=True)
        raise InputError("no text to label")
    assert (where.work / "forward" / "lm" / "model").exists()


def test_what_a_run_keeps_stays_when_it_fails_or_is_stopped(tmp_path: Path) -> None:
    where = place(tmp_path / "m")
    with pytest.raises(
        Interrupted, match=r"stopped\. Run the same command with --resume to go on."
    ):
        work_in(where, KeyboardInterrupt())
    assert where.work.exists()
    with pytest.raises(InputError):  # such as: resumed with other data
        work_in(where, InputError("other data"))
    assert where.work.exists()


def test_two_runs_in_one_folder_are_not_let_in_at_once(tmp_path: Path) -> None:
    where = place(tmp_path / "m")
    with where.run(where.display()) as first:
        first.claim({})
        (first.work / "forward").mkdir()
        for other in (where, place(where.out, resume=True)):
            with (
                pytest.raises(SettingsError, match=rf"another run \(process {os.getpid()}\) is at"),
                other.run(other.display()),
            ):
                pass
        assert (first.work / "forward").exists()
    assert not where.out.exists()


def test_what_a_killed_process_left_of_its_lock_is_harmless(tmp_path: Path) -> None:
    where = place(tmp_path / "m")
    where.work.mkdir(parents=True)
    (where.work / "lock").write_text("123456789")
    where.prepare()
    work_in(where, None)
    assert not where.out.exists()


def test_logs_of_all_stages_become_one(tmp_path: Path) -> None:
    where = place(tmp_path / "m")
    for stage in ("forward/lm", "forward/classifier"):
        folder = where.work / stage
        (folder / "model").mkdir(parents=True)
        for log in (folder / "log.jsonl", folder / "model" / "log.jsonl"):
            log.write_text('{"step": 1}\n{"step": 2}\n')
    records = [json.loads(line) for line in where.log().decode().splitlines()]
    assert records[0] == {"stage": "forward/lm", "step": 1}
    assert [record["stage"] for record in records] == ["forward/lm"] * 2 + [
        "forward/classifier"
    ] * 2


def test_an_unknown_device_is_refused(data: Path, tmp_path: Path) -> None:
    done = run("train", data / "train.csv", "--out", tmp_path / "m", "--device", "tpu")
    assert done.code == 2
