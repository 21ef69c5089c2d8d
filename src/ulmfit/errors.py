"""The one exception tree: every error says what is wrong, what was expected and what to do."""

from __future__ import annotations


class UlmfitError(Exception):
    """Base of all errors raised on purpose.

    Args:
        problem: what is wrong; names the key (column, file, setting) and its value.
        expected: what would have been right.
        hint: what the user can do about it.
    """

    exit_code = 1

    def __init__(
        self, problem: str, *, expected: str | None = None, hint: str | None = None
    ) -> None:
        parts = [problem.rstrip(".")]
        if expected is not None:
            parts.append(f"expected {expected.rstrip('.')}")
        message = ": ".join(parts) + "."
        if hint is not None:
            message = f"{message} {hint}"
        super().__init__(message)
        self.problem, self.expected, self.hint = problem, expected, hint


class InputError(UlmfitError, ValueError):
    """Data that cannot be used: a missing file, a wrong column, a broken encoding.

    A ValueError too, as scikit-learn's contract asks of estimators.
    """

    exit_code = 2


class SettingsError(UlmfitError, ValueError):
    """A setting, flag or preset that is unknown or out of range; a ValueError too."""

    exit_code = 2


class ModelFolderError(UlmfitError):
    """A model folder with a missing, cut, altered or mismatched file."""

    exit_code = 2


class StorageError(UlmfitError):
    """The disk is full, or the folder cannot be written to."""


class HubError(UlmfitError):
    """A hub of models cannot be reached, or refuses."""


class TrainingError(UlmfitError):
    """Training cannot go on, for example because the loss is not a number."""


class ExportError(UlmfitError):
    """An exported model does not answer as the one that it was made from."""


class Interrupted(UlmfitError):
    """The user stopped the run; what was done is in the checkpoint."""

    exit_code = 130


class AlreadyFinished(UlmfitError):
    """The run to resume has made its model: there is nothing to do."""

    exit_code = 0


class StoppedElsewhere(UlmfitError):
    """Another of the processes that train together has failed; that one says why.

    Args:
        exit_code: what it ends with, and so does this one.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process that trains together with this one has stopped")
        self.exit_code = exit_code


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the machine's memory, a GPU's, or what this process may take of it is used up."""
    name = type(error).__name__  # torch's own class, without importing torch
    told = isinstance(error, RuntimeError) and "allocate memory" in str(error)
    return isinstance(error, MemoryError) or name == "OutOfMemoryError" or told
