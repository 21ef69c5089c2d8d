from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ulmfit.artifacts import (
    FORMAT_VERSION,
    check_target,
    read_config,
    read_folder,
    write_folder,
)
from ulmfit.errors import ModelFolderError, SettingsError, StorageError

ONE_WAY: dict[str, bytes | Path] = {
    "config.json": b'{"labels": ["gut", "schlecht"], "rate": 0.1}',
    "model.safetensors": bytes(range(256)) * 40,
    "tokenizer.json": '{"a": "ü"}'.encode(),
    "README.md": b"# A model\n",
    "metrics.json": b"{}",
}
TWO_WAYS: dict[str, bytes | Path] = ONE_WAY | {
    "backward/config.json": b'{"backward": true}',
    "backward/model.safetensors": b"sdrawkcab",
    "backward/tokenizer.json": b"{}",
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_folder(tmp_path / "model", TWO_WAYS)
    return tmp_path / "model"


def broken(path: Path) -> str:
    with pytest.raises(ModelFolderError) as caught:
        read_folder(path)
    return str(caught.value)


def edit_config(model: Path, **changes: Any) -> None:
    """Change the header of config.json and make its digest fit again."""
    config = json.loads((model / "config.json").read_text())
    config["format"].update(changes)
    del config["format"]["digest"]
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    config["format"]["digest"] = hashlib.sha256(text.encode()).hexdigest()
    (model / "config.json").write_text(json.dumps(config))


def test_what_is_written_is_read(model: Path) -> None:
    contents = read_folder(model)
    assert contents.config == {"labels": ["gut", "schlecht"], "rate": 0.1}
    assert read_config(model) == contents.config
    assert contents.require("model.safetensors") == ONE_WAY["model.safetensors"]
    assert contents.files["tokenizer.json"] == ONE_WAY["tokenizer.json"]
    assert sorted(os.listdir(model)) == [
        "README.md",
        "backward",
        "config.json",
        "metrics.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert os.listdir(model.parent) == ["model"]


def test_backward_is_a_model_folder_of_its_own(model: Path) -> None:
    inner = read_folder(model).backward
    assert inner is not None
    assert inner.config == {"backward": True}
    assert inner.require("model.safetensors") == b"sdrawkcab"
    assert inner.backward is None
    assert read_folder(model / "backward").files == inner.files


def test_config_records_sizes_and_digests(model: Path) -> None:
    header = json.loads((model / "config.json").read_text())["format"]
    weights = (model / "model.safetensors").read_bytes()
    assert header["version"] == FORMAT_VERSION
    assert header["files"]["model.safetensors"] == {
        "bytes": 10240,
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    assert "README.md" not in header["files"]


def test_files_are_copied_from_paths(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"w" * 3_000_000)
    write_folder(tmp_path / "m", ONE_WAY | {"model.safetensors": tmp_path / "weights"})
    assert read_folder(tmp_path / "m").require("model.safetensors") == b"w" * 3_000_000


def test_model_card_may_be_edited_and_config_laid_out_anew(model: Path) -> None:
    (model / "README.md").write_text("better")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config))
    read_folder(model)


def test_absent_file_is_named_when_asked_for(model: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"has no log\.jsonl: expected backward/config"):
        read_folder(model).require("log.jsonl")


def test_all_faults_are_named_at_once(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    with (model / "model.safetensors").open("r+b") as file:
        file.truncate(100)
    (model / "backward" / "model.safetensors").write_bytes(b"backwards")
    assert broken(model) == (
        f"model folder '{model}' is broken: "
        "backward/model.safetensors was altered (its SHA-256 differs); "
        "model.safetensors is cut (100 of 10,240 bytes); tokenizer.json is missing. "
        "Copy the folder again from where it came from, or train again."
    )


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "backward/config.json"])
def test_one_changed_bit_is_noticed(model: Path, name: str) -> None:
    content = bytearray((model / name).read_bytes())
    content[len(content) // 2] ^= 1
    (model / name).write_bytes(content)
    assert f"{name} was altered (its SHA-256 differs)" in broken(model)


def test_appended_bytes_are_noticed(model: Path) -> None:
    with (model / "model.safetensors").open("ab") as file:
        file.write(b"more")
    assert "model.safetensors was altered" in broken(model)


def test_cut_config_is_named(model: Path) -> None:
    text = (model / "config.json").read_bytes()
    (model / "config.json").write_bytes(text[: len(text) // 2])
    assert "config.json is cut or is not JSON" in broken(model)


def test_altered_config_is_named(model: Path) -> None:
    text = (model / "config.json").read_text()
    (model / "config.json").write_text(text.replace("schlecht", "besser"))
    assert "config.json was altered (its SHA-256 differs)" in broken(model)


def test_newer_format_is_named_before_anything_else(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    config["format"] = {"version": FORMAT_VERSION + 1, "written_by": "ulmfit 9.0", "new": "way"}
    (model / "config.json").write_text(json.dumps(config))
    assert broken(model) == (
        f"model folder '{model}' has format version 2 (written by ulmfit 9.0): "
        "expected version 1 or older. Upgrade ulmfit."
    )


@pytest.mark.parametrize("content", [b"{}", b"[1]", b'{"format": {"version": "1"}}', b"null"])
def test_config_of_something_else_is_named(model: Path, content: bytes) -> None:
    (model / "config.json").write_bytes(content)
    assert "is not a model folder of ulmfit: expected config.json with the key 'format'" in broken(
        model
    )


@pytest.mark.parametrize("files", [None, [], {"a": 1}, {"a": {"bytes": "1", "sha256": ""}}])
def test_unusable_list_of_files_is_named(model: Path, files: object) -> None:
    edit_config(model, files=files)
    assert "config.json has no usable list of files" in broken(model)


def test_no_folder_no_config_and_a_file(tmp_path: Path) -> None:
    assert "does not exist: expected a folder with config.json" in broken(tmp_path / "none")
    assert "is not a model folder: expected a folder with config.json" in broken(tmp_path)
    (tmp_path / "file").touch()
    assert "is a file: expected a folder with config.json" in broken(tmp_path / "file")


UNSAFE = ["../x", "/etc/passwd", "a/../x", "a//b", "..", "", "a\\b", "C:x", ".hidden", "a/", "x\0"]


@pytest.mark.parametrize("name", UNSAFE)
def test_names_that_lead_out_are_refused_in_writing(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFolderError, match="leads out of the model folder"):
        write_folder(tmp_path / "m", ONE_WAY | {name: b"x"})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", UNSAFE)
def test_names_that_lead_out_are_refused_in_reading(model: Path, name: str) -> None:
    secret = b"secret"
    (model.parent / "x").write_bytes(secret)
    record = {"bytes": len(secret), "sha256": hashlib.sha256(secret).hexdigest()}
    edit_config(model, files={name: record})
    assert f"config.json names '{name}', which leads out of the folder" in broken(model)


def test_pipe_in_place_of_a_file_does_not_hang(model: Path) -> None:
    (model / "model.safetensors").unlink()
    os.mkfifo(model / "model.safetensors")
    assert "model.safetensors cannot be read (it is not a regular file)" in broken(model)
    (model / "config.json").unlink()
    os.mkfifo(model / "config.json")
    assert "it is not a regular file" in broken(model)


def test_linked_files_are_read(model: Path) -> None:
    moved = (model / "model.safetensors").rename(model.parent / "blob")
    (model / "model.safetensors").symlink_to(moved)
    read_folder(model)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_incomplete_model_is_not_written(tmp_path: Path, name: str) -> None:
    files = {key: value for key, value in ONE_WAY.items() if key != name}
    with pytest.raises(ModelFolderError, match=f"a model folder needs {name}: expected"):
        write_folder(tmp_path / "m", files)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (b"{", r"config\.json is not JSON"),
        (b'{"rate": NaN}', "the number NaN is not part of it"),
        (b"[]", "expected a JSON object without the key 'format'"),
        (b'{"format": 1}', "expected a JSON object without the key 'format'"),
    ],
)
def test_unusable_config_is_not_written(tmp_path: Path, config: bytes, message: str) -> None:
    with pytest.raises(ModelFolderError, match=message):
        write_folder(tmp_path / "m", ONE_WAY | {"config.json": config})
    assert os.listdir(tmp_path) == []


def test_odd_text_in_the_config_survives(tmp_path: Path) -> None:
    labels = ["좋다", "\ud800", "\u2028", 1e300, 0.1, None]
    config = json.dumps({"labels": labels}).encode()
    write_folder(tmp_path / "m", ONE_WAY | {"config.json": config})
    assert read_folder(tmp_path / "m").config == {"labels": labels}


def test_replacing_drops_old_files_and_keeps_other_peoples(model: Path) -> None:
    (model / "predictions.csv").write_text("mine")
    write_folder(model, ONE_WAY)
    assert read_folder(model).backward is None
    assert (model / "predictions.csv").read_text() == "mine"
    assert not (model / "backward").exists()
    assert os.listdir(model.parent) == ["model"]


def test_broken_model_folder_may_be_replaced(model: Path) -> None:
    (model / "model.safetensors").unlink()
    write_folder(model, ONE_WAY)
    read_folder(model)


def test_other_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(SettingsError, match=r"holds other files \(thesis\.tex\)"):
        write_folder(tmp_path, ONE_WAY)
    with pytest.raises(SettingsError, match=r"holds other files \(thesis\.tex\)"):
        check_target(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_what_a_run_keeps_in_the_folder_is_carried_over(tmp_path: Path) -> None:
    (tmp_path / "m" / "checkpoint").mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"holds other files \(checkpoint\)"):
        check_target(tmp_path / "m")
    check_target(tmp_path / "m", carry=["checkpoint"])
    write_folder(tmp_path / "m", ONE_WAY, carry=["checkpoint"])
    assert (tmp_path / "m" / "checkpoint").is_dir()
    read_folder(tmp_path / "m")


def test_check_target_finds_what_cannot_be_written(tmp_path: Path, model: Path) -> None:
    check_target(tmp_path / "deep" / "er")
    check_target(model)
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="is a file: expected a folder"):
        check_target(tmp_path / "file")
    with pytest.raises(StorageError, match="not a directory"):
        check_target(tmp_path / "file" / "model")
    if Path("/proc/self").exists():
        with pytest.raises(StorageError, match="cannot write '/proc/model'"):
            check_target(Path("/proc/model"))


WRITER = """
    import itertools, json, sys
    from pathlib import Path
    from ulmfit.artifacts import write_folder
    for number in itertools.count():
        write_folder(Path(sys.argv[1]), {
            "config.json": json.dumps({"number": number}).encode(),
            "model.safetensors": str(number).encode() * 20_000,
            "tokenizer.json": b"{}",
        })
        print(number, flush=True)
    """


def start_writer(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def read_number(path: Path) -> int:
    contents = read_folder(path)
    number = contents.config["number"]
    assert contents.require("model.safetensors") == str(number).encode() * 20_000
    return int(number)


def test_readers_beside_a_writer_see_one_model_or_the_next(tmp_path: Path) -> None:
    seen: list[list[int]] = [[], []]

    deadline = time.monotonic() + 60

    def read(numbers: list[int]) -> None:
        while len(set(numbers)) < 10 and time.monotonic() < deadline:
            numbers.append(read_number(tmp_path / "m"))

    with start_writer(tmp_path / "m") as writer:
        try:
            assert writer.stdout is not None
            writer.stdout.readline()
            threads = [threading.Thread(target=read, args=(numbers,)) for numbers in seen]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            writer.kill()
    for numbers in seen:
        assert len(set(numbers)) == 10
        assert numbers == sorted(numbers)


def test_killed_at_any_moment_the_model_is_whole(tmp_path: Path) -> None:
    for round_ in range(6):
        with start_writer(tmp_path / "m") as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.003 * round_)
            writer.send_signal(signal.SIGKILL)
        read_number(tmp_path / "m")
    write_folder(tmp_path / "m", ONE_WAY)
    assert os.listdir(tmp_path) == ["m"]


def test_killed_in_mid_write_the_old_model_stays(model: Path) -> None:
    os.mkfifo(model.parent / "pipe")
    code = """
        import sys
        from pathlib import Path
        from ulmfit.artifacts import write_folder
        write_folder(Path(sys.argv[1]), {
            "tokenizer.json": b"{}", "model.safetensors": Path(sys.argv[2]), "config.json": b"{}",
        })
        """
    command = [sys.executable, "-c", textwrap.dedent(code), str(model), str(model.parent / "pipe")]
    with subprocess.Popen(command) as writer, (model.parent / "pipe").open("wb") as pipe:
        pipe.write(b"half of the weights")  # a pipe opens when both ends do
        pipe.flush()
        writer.kill()
        writer.wait()
    assert read_folder(model).config == {"labels": ["gut", "schlecht"], "rate": 0.1}
    assert len(os.listdir(model.parent)) == 3
    write_folder(model, ONE_WAY)
    assert sorted(os.listdir(model.parent)) == ["model", "pipe"]


def test_interrupted_replacement_is_put_back_by_reading(model: Path) -> None:
    model.rename(model.parent / ".model.0123abcd.ulmfit-whole")
    assert read_folder(model).config["rate"] == 0.1


def test_a_name_that_is_too_long_is_no_model() -> None:
    with pytest.raises(ModelFolderError, match=r"cannot read '.*': file name too long"):
        read_config(Path("x" * 300))
