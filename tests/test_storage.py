from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ulmfit import storage
from ulmfit.errors import SettingsError, StorageError
from ulmfit.storage import MARK, atomic_directory, atomic_file, atomic_write, work_directory


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return out


def run_on_small_disk(folder: Path, options: str, code: str) -> str:
    """Run Python with a tiny file system mounted on `folder`, seen by that process alone."""
    mount = 'mount -t tmpfs -o "$1" none "$2" && shift && exec "$2" -c "$3" "$1"'
    shell = ["unshare", "-rm", "sh", "-c", mount, "sh", options, str(folder), sys.executable]
    try:
        probe = subprocess.run([*shell, "pass"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("mounting a small disk needs unshare")
    if probe.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {probe.stderr.strip()}")
    done = subprocess.run(
        [*shell, textwrap.dedent(code)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.csv"
    atomic_write(target, b"one")
    with atomic_file(target) as file:
        file.write(b"two")
        file.flush()
        assert target.read_bytes() == b"one"
    assert target.read_bytes() == b"two"
    assert os.listdir(target.parent) == ["file.csv"]


def test_file_stays_when_the_block_fails(tmp_path: Path) -> None:
    target = tmp_path / "file.csv"
    atomic_write(target, b"one")
    with pytest.raises(KeyboardInterrupt), atomic_file(target) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file.csv"]


def test_file_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "private.csv"
    atomic_write(target, b"one")
    target.chmod(0o600)
    atomic_write(target, b"two")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("real")
    atomic_write(tmp_path / "latest", b"x")
    assert (tmp_path / "real").read_bytes() == b"x"
    assert (tmp_path / "latest").is_symlink()


def test_a_device_is_written_to_not_replaced() -> None:
    atomic_write(Path("/dev/null"), b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_file_named_like_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"is a folder: expected a file"):
        atomic_write(tmp_path, b"x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_device_is_named() -> None:
    with pytest.raises(StorageError, match=r"cannot write '/dev/full': no space left on device"):
        atomic_write(Path("/dev/full"), b"x")


def test_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "checkpoint"
    for text in ("one", "two"):
        with atomic_directory(target) as folder:
            (folder / text).write_text(text)
    assert sorted(os.listdir(target)) == [MARK, "two"]
    assert os.listdir(tmp_path) == ["checkpoint"]


def test_folder_stays_when_the_block_fails(tmp_path: Path) -> None:
    target = tmp_path / "checkpoint"
    with atomic_directory(target) as folder:
        (folder / "one").touch()
    with pytest.raises(ZeroDivisionError), atomic_directory(target) as folder:
        (folder / "two").touch()
        _ = 1 / 0
    assert sorted(os.listdir(target)) == [MARK, "one"]
    assert os.listdir(tmp_path) == ["checkpoint"]


def test_empty_folder_is_taken_and_other_peoples_is_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with atomic_directory(tmp_path / "empty"):
        pass
    (tmp_path / "home").mkdir()
    for name in "abcd":
        (tmp_path / "home" / name).touch()
    with (
        pytest.raises(
            SettingsError, match=r"holds other files \(a, b, c, \.\.\.\): expected a new"
        ),
        atomic_directory(tmp_path / "home"),
    ):
        pytest.fail("the block must not start")
    assert sorted(os.listdir(tmp_path / "home")) == ["a", "b", "c", "d"]


def test_folder_named_like_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="is a file"), atomic_directory(tmp_path / "file"):
        pytest.fail("the block must not start")


def test_folder_keeps_its_permissions(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with atomic_directory(tmp_path / "private") as folder:
            (folder / text).touch()
        (tmp_path / "private").chmod(0o700)
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o700


def test_file_larger_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    code = """
        import resource, sys
        from pathlib import Path
        from ulmfit.errors import StorageError
        from ulmfit.storage import atomic_directory, atomic_write
        target = Path(sys.argv[1])
        atomic_write(target / "file", b"old")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            atomic_write(target / "file", b"x" * 2000)
        except StorageError as error:
            print(error)
        try:
            with atomic_directory(target / "folder") as folder:
                (folder / "large").write_bytes(b"x" * 2000)
        except StorageError as error:
            print(error)
        """
    first, second = finish(python(code, tmp_path)).splitlines()
    assert first.startswith(f"cannot write '{tmp_path / 'file'}': file too large. Free some space")
    assert second.startswith(f"cannot write '{tmp_path / 'folder'}': file too large.")
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    code = """
        import os, sys
        from pathlib import Path
        from ulmfit.errors import StorageError
        from ulmfit.storage import atomic_directory, atomic_write
        disk = Path(sys.argv[1])
        with atomic_directory(disk / "folder") as folder:
            (folder / "small").write_bytes(b"old")
        atomic_write(disk / "file", b"old")
        for attempt in range(3):
            try:
                atomic_write(disk / "file", b"x" * 1_000_000)
            except StorageError as error:
                print(error)
            try:
                with atomic_directory(disk / "folder") as folder:
                    for part in range(10):
                        (folder / str(part)).write_bytes(b"x" * 100_000)
            except StorageError as error:
                print(error)
        print(sorted(os.listdir(disk)), (disk / "folder" / "small").read_bytes())
        """
    *errors, left = run_on_small_disk(tmp_path, "size=256k", code).splitlines()
    assert len(errors) == 6
    assert all("no space left on device. Free some space" in error for error in errors)
    assert left == "['file', 'folder'] b'old'"


def test_full_disk_is_recognised_from_the_rust_libraries(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        import numpy
        from safetensors.numpy import save_file
        from ulmfit.errors import StorageError
        from ulmfit.storage import atomic_directory
        try:
            with atomic_directory(Path(sys.argv[1]) / "folder") as folder:
                save_file({"a": numpy.zeros(1_000_000)}, folder / "model.safetensors")
        except StorageError as error:
            print(error)
        """
    assert "no space left on device" in run_on_small_disk(tmp_path, "size=256k", code)


def test_read_only_disk_is_named(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from ulmfit.errors import StorageError
        from ulmfit.storage import atomic_directory, atomic_write
        for name in ("file", "deep/er/file"):
            try:
                atomic_write(Path(sys.argv[1]) / name, b"x")
            except StorageError as error:
                print(error)
        try:
            with atomic_directory(Path(sys.argv[1]) / "folder"):
                raise AssertionError("the block must not start")
        except StorageError as error:
            print(error)
        """
    errors = run_on_small_disk(tmp_path, "size=256k,ro", code).splitlines()
    assert len(errors) == 3
    assert all("read-only file system. Choose another place" in error for error in errors)


BLOCKING_WRITER = """
    import sys, time
    from pathlib import Path
    from ulmfit.storage import atomic_directory, atomic_file, work_directory
    target = Path(sys.argv[1])
    with (
        atomic_file(target / "file") as file,
        atomic_directory(target / "folder") as folder,
        work_directory(target / "file") as work,
    ):
        file.write(b"half")
        (folder / "half").write_bytes(b"half")
        (work / "half").write_bytes(b"half")
        print("writing", flush=True)
        time.sleep(60)
    """


def test_leftovers_of_a_killed_writer_are_removed_by_the_next(tmp_path: Path) -> None:
    with python(BLOCKING_WRITER, tmp_path) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        writer.kill()
    assert not (tmp_path / "file").exists()
    assert not (tmp_path / "folder").exists()
    assert len(os.listdir(tmp_path)) == 3
    atomic_write(tmp_path / "file", b"whole")
    with atomic_directory(tmp_path / "folder"):
        pass
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_what_a_living_writer_has_begun_is_left_alone(tmp_path: Path) -> None:
    with python(BLOCKING_WRITER, tmp_path) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "writing\n"
            atomic_write(tmp_path / "file", b"whole")
            with atomic_directory(tmp_path / "folder"):
                pass
            assert len(os.listdir(tmp_path)) == 5
        finally:
            writer.kill()


def test_work_folder_is_gone_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    with work_directory(target) as work:
        (work / "inner").mkdir()
        assert work.parent == target.parent
    with pytest.raises(ZeroDivisionError), work_directory(target) as work:
        raise ZeroDivisionError
    assert os.listdir(target.parent) == []


def test_leftovers_of_other_targets_are_removed_too(tmp_path: Path) -> None:
    (tmp_path / ".step-1.0123abcd.ulmfit-draft").mkdir()
    whole = tmp_path / ".step-1.0123abcd.ulmfit-whole"
    whole.mkdir()
    with atomic_directory(tmp_path / "step-2"):
        pass
    assert sorted(os.listdir(tmp_path)) == [whole.name, "step-2"]


def test_names_that_only_look_like_leftovers_are_left_alone(tmp_path: Path) -> None:
    others = [".file.ulmfit-draft", ".file.0123abcd.ulmfit-draft.bak", "file.0123abcd.ulmfit-draft"]
    for name in others:
        (tmp_path / name).touch()
    atomic_write(tmp_path / "file", b"x")
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "file"])


def owns_model(folder: Path) -> frozenset[str] | None:
    return frozenset({"model"}) if (folder / "model").exists() else None


def test_other_peoples_entries_move_into_the_new_folder(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for text in ("one", "two"):
        with atomic_directory(target, owned=owns_model) as folder:
            (folder / "model").write_text(text)
        (target / f"notes_{text}").mkdir()
    assert sorted(os.listdir(target)) == ["model", "notes_one", "notes_two"]
    assert (target / "model").read_text() == "two"
    assert os.listdir(tmp_path) == ["folder"]


def leave_whole(target: Path) -> Path:
    """The folder as it stands between the two renames of a replacement, or after a swap."""
    return target.rename(target.parent / f".{target.name}.0123abcd.ulmfit-whole")


def test_replacement_cut_off_after_the_swap_is_finished_by_the_next_write(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with atomic_directory(target, owned=owns_model) as folder:
        (folder / "model").write_text("old")
    (target / "notes").touch()
    leave_whole(target)
    target.mkdir()
    (target / "model").write_text("new")
    with atomic_directory(target, owned=owns_model) as folder:
        (folder / "model").write_text("newer")
    assert sorted(os.listdir(target)) == ["model", "notes"]
    assert os.listdir(tmp_path) == ["folder"]


def test_replacement_cut_off_between_two_renames_is_put_back(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with atomic_directory(target, owned=owns_model) as folder:
        (folder / "model").write_text("old")
    leave_whole(target)
    storage.recover(target, owns_model)
    assert (target / "model").read_text() == "old"
    assert os.listdir(tmp_path) == ["folder"]


def test_of_the_old_and_the_new_folder_the_new_one_is_put_back(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for seconds, text in enumerate(("old", "new")):
        whole = tmp_path / f".folder.{seconds}123abcd.ulmfit-whole"
        whole.mkdir()
        (whole / "model").write_text(text)
        os.utime(whole, (seconds, seconds))
    storage.recover(target, owns_model)
    assert (target / "model").read_text() == "new"
    assert os.listdir(tmp_path) == ["folder"]


def test_two_renames_do_where_folders_cannot_be_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(first: Path, second: Path) -> bool:
        return False

    monkeypatch.setattr(storage, "_exchange", cannot)
    target = tmp_path / "folder"
    for text in ("one", "two"):
        with atomic_directory(target, owned=owns_model) as folder:
            (folder / "model").write_text(text)
        (target / "notes").touch()
    assert (target / "model").read_text() == "two"
    assert sorted(os.listdir(target)) == ["model", "notes"]
    assert os.listdir(tmp_path) == ["folder"]
