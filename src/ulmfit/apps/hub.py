"""Model folders to and from a hub, through huggingface_hub (the extra `hub`).

What goes up are the files of the model and its card. The report stays here: it quotes the texts.
What comes down is checked against the digests in `config.json` before it takes its place.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from ulmfit.artifacts import (
    BACKWARD,
    CONFIG,
    LOG,
    METRICS,
    NGRAMS,
    README,
    REPORT,
    TOKENIZER,
    WEIGHTS,
    atomic_directory,
    check_target,
    model_files,
    read_folder,
)
from ulmfit.config import Direction
from ulmfit.errors import HubError, SettingsError

_NAMES = (CONFIG, WEIGHTS, TOKENIZER, NGRAMS, README, METRICS, LOG)
_GRAPHS = tuple(f"{direction}.onnx" for direction in get_args(Direction))
FILES = (*_NAMES, *_GRAPHS, *(f"{BACKWARD}/{name}" for name in _NAMES))
"""All that a model consists of, trained or exported. Nothing else is sent or fetched, least of
all code."""

_REPO = re.compile(r"[\w.-]+/[\w.-]+")
_LOGIN = "Log in with `hf auth login`, or set HF_TOKEN to a token of yours."


def push(
    model: Path,
    repo: str,
    *,
    public: bool = False,
    report: bool = False,
    message: str = "Upload a model of ulmfit",
) -> str:
    """Upload a model folder; the repository is made if there is none.

    Args:
        model: the folder; it is checked first.
        repo: "owner/name".
        public: whether a new repository can be seen by everybody.
        report: whether the report goes too, with the texts it quotes.
        message: of the commit.

    Returns:
        Address of the repository.

    Raises:
        ModelFolderError: no whole model is there.
        SettingsError: `repo` is no name, or huggingface_hub is not installed.
        HubError: the hub cannot be reached or refuses.
    """
    _require_name(repo)
    hub = _library()
    contents = read_folder(model)
    names = [name for name in (CONFIG, README, *contents.files) if (model / name).is_file()]
    if report and (model / REPORT).is_file():
        names.append(REPORT)
    with _reported(repo):
        api = hub.HfApi()
        address = api.create_repo(repo, private=not public, exist_ok=True)
        api.upload_folder(
            repo_id=repo,
            folder_path=model,
            allow_patterns=names,
            delete_patterns=[*FILES, REPORT],  # what an earlier model had and this one has not
            commit_message=message,
        )
    return str(address)


def pull(repo: str, path: Path, *, revision: str | None = None) -> None:
    """Download a model into a folder: all of it, checked, or nothing.

    Args:
        repo: "owner/name".
        path: the folder; an older model there is replaced.
        revision: branch, tag or commit; None for the newest.

    Raises:
        SettingsError: `repo` is no name, `path` holds other things, or huggingface_hub is not
            installed.
        HubError: the hub cannot be reached, or has no such repository or revision.
        ModelFolderError: what is there is no model, or was cut or altered.
    """
    _require_name(repo)
    hub = _library()
    check_target(path)
    with tempfile.TemporaryDirectory(prefix="ulmfit-pull-") as name:
        fetched = Path(name)
        with _reported(repo):
            hub.HfApi().snapshot_download(
                repo, revision=revision, local_dir=fetched, allow_patterns=list(FILES)
            )
        read_folder(fetched)
        with atomic_directory(path, owned=model_files(())) as target:
            for file in FILES:
                if (fetched / file).is_file():
                    (target / file).parent.mkdir(exist_ok=True)
                    shutil.copyfile(fetched / file, target / file)


def _require_name(repo: str) -> None:
    if not _REPO.fullmatch(repo):
        raise SettingsError(
            f"'{repo}' is not the name of a repository", expected="OWNER/NAME, such as me/reviews"
        )


def _library() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        raise SettingsError(
            "huggingface_hub is not installed, which `push` and `pull` need",
            hint="Install it with `pip install 'ulmfit[hub]'`.",
        ) from error
    return huggingface_hub


@contextmanager
def _reported(repo: str) -> Iterator[None]:
    """Turn what huggingface_hub and its transport raise into a `HubError` that says what to do."""
    from huggingface_hub import errors

    try:
        yield
    except errors.LocalTokenNotFoundError as error:
        raise HubError(f"there is no token for '{repo}'", hint=_LOGIN) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(
            f"repository '{repo}' has no such revision", hint="Its page on the hub lists them."
        ) from error
    except (errors.RepositoryNotFoundError, errors.HfHubHTTPError) as error:
        raise _refused(repo, error) from error
    except errors.HFValidationError as error:
        raise SettingsError(f"'{repo}' cannot be a repository: {_first_line(error)}") from error
    except Exception as error:
        if not _is_of_the_network(error):
            raise
        raise HubError(
            f"the hub cannot be reached: {_first_line(error)}",
            hint="Check the network, and HF_HUB_OFFLINE and HF_ENDPOINT if they are set.",
        ) from error


def _refused(repo: str, error: Any) -> HubError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return HubError(f"the hub does not show '{repo}' without a valid token", hint=_LOGIN)
    if status == 403:
        return HubError(
            f"your token may not write to '{repo}'",
            hint="Make one that may, or choose a repository of your own.",
        )
    if status == 404:
        return HubError(
            f"there is no repository '{repo}', or your token may not see it",
            hint=f"Check the name. {_LOGIN}",
        )
    return HubError(f"the hub refused '{repo}': {_first_line(error)}", hint="Try again later.")


def _is_of_the_network(error: Exception) -> bool:
    """Whether an error comes from the connection, whichever transport huggingface_hub uses."""
    transports = ("httpx", "httpcore", "requests", "urllib3", "huggingface_hub", "hf_xet")
    return isinstance(error, ConnectionError | TimeoutError) or type(error).__module__.startswith(
        transports
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
