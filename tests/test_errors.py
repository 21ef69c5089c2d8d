from __future__ import annotations

import pytest

from ulmfit import errors
from ulmfit.errors import InputError, SettingsError, UlmfitError, is_out_of_memory


def test_message_says_what_is_wrong_expected_and_to_do() -> None:
    error = InputError(
        "column 'txt' is not in reviews.csv",
        expected="one of: text, stars",
        hint="Name it with --text.",
    )
    assert str(error) == (
        "column 'txt' is not in reviews.csv: expected one of: text, stars. Name it with --text."
    )
    assert (error.problem, error.expected, error.hint) == (
        "column 'txt' is not in reviews.csv",
        "one of: text, stars",
        "Name it with --text.",
    )


@pytest.mark.parametrize("problem", ["it is broken", "it is broken."])
def test_message_ends_with_one_full_stop(problem: str) -> None:
    assert str(SettingsError(problem)) == "it is broken."
    assert str(SettingsError(problem, expected="whole.")) == "it is broken: expected whole."


def test_usage_and_bad_input_exit_with_2_and_failures_with_1() -> None:
    codes = {
        name: error.exit_code
        for name, error in vars(errors).items()
        if isinstance(error, type) and issubclass(error, UlmfitError)
    }
    assert codes == {
        "UlmfitError": 1,
        "InputError": 2,
        "SettingsError": 2,
        "ModelFolderError": 2,
        "StorageError": 1,
        "TrainingError": 1,
        "ExportError": 1,
        "HubError": 1,
        "Interrupted": 130,
        "AlreadyFinished": 0,
        "StoppedElsewhere": 1,
    }


def test_all_errors_are_caught_as_one() -> None:
    with pytest.raises(UlmfitError):
        raise SettingsError("preset 'fast' is unknown")


def test_errors_of_memory_are_known_by_what_they_are() -> None:
    class OutOfMemoryError(RuntimeError):
        """As torch calls a GPU's."""

    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(OSError("cannot allocate memory"))
