"""Fitted classifiers on disk, in pickles, in other processes and in several threads."""

from __future__ import annotations

import copy
import io
import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from ulmfit import TextClassifier
from ulmfit.errors import ModelFolderError, SettingsError

TEXTS, NAMES = tiny.labelled_texts(30)
NEW = [*tiny.labelled_texts(12, seed=7)[0], "", "something else altogether", TEXTS[0] * 40]
QUICK = {"finetune_lm": None, "classifier.epochs": 2, "classifier.batch_size": 8}

LABELS: dict[str, Any] = {
    "strings": NAMES,
    "integers": [10 if name == "glad" else 9 for name in NAMES],
    "truth": np.array([name == "glad" for name in NAMES]),
    "numbers": [1.0 if name == "glad" else 0.0 for name in NAMES],
    "sets": [(3, 1) if name == "glad" else (1,) for name in NAMES],
    "matrix": np.array([[name == "glad", False, True] for name in NAMES], dtype=int),
}


@pytest.fixture(scope="module")
def fitted(lm_folder: Path) -> dict[str, TextClassifier]:
    """A classifier of both directions for each kind of labels."""
    return {
        kind: TextClassifier(lm=lm_folder, overrides=QUICK).fit(TEXTS, labels)
        for kind, labels in LABELS.items()
    }


def assert_same(found: TextClassifier, expected: TextClassifier) -> None:
    """Same classes, same probabilities to the last bit, same answers of the same type."""
    assert found.classes_.tolist() == expected.classes_.tolist()
    assert found.classes_.dtype == expected.classes_.dtype
    np.testing.assert_array_equal(found.predict_proba(NEW), expected.predict_proba(NEW))
    one, other = found.predict(NEW), expected.predict(NEW)
    assert type(one) is type(other)
    assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


@pytest.mark.parametrize("kind", LABELS)
def test_saved_and_loaded(fitted: dict[str, TextClassifier], kind: str, tmp_path: Path) -> None:
    fitted[kind].save(tmp_path / "model")
    loaded = TextClassifier.load(str(tmp_path / "model"))
    assert_same(loaded, fitted[kind])
    loaded.save(tmp_path / "again")
    for name in ("model.safetensors", "backward/model.safetensors", "log.jsonl", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()


ANSWER = """
import pickle, sys
from pathlib import Path
import numpy as np
from ulmfit import TextClassifier

folder, texts = Path(sys.argv[1]), sys.argv[2:]
for path in sorted(folder.iterdir()):
    if path.suffix == ".pickle":
        model = pickle.loads(path.read_bytes())
    else:
        model = TextClassifier.load(path)
    print(path.name, model.predict_proba(texts).tobytes().hex(), repr(model.classes_.tolist()))
"""


def test_another_process_gives_the_same_answers(
    fitted: dict[str, TextClassifier], lm_folder: Path, tmp_path: Path
) -> None:
    expected = {}
    for kind in ("integers", "matrix"):
        fitted[kind].save(tmp_path / kind)
        (tmp_path / f"{kind}.pickle").write_bytes(pickle.dumps(fitted[kind]))
        expected[kind] = expected[f"{kind}.pickle"] = fitted[kind]
    for direction in ("forward", "backward"):
        one = TextClassifier(lm=lm_folder, direction=direction, overrides=QUICK)
        expected[direction] = one.fit(TEXTS, NAMES)
        expected[direction].save(tmp_path / direction)
    command = [sys.executable, "-c", ANSWER, str(tmp_path), *NEW]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line.split(" ", 2) for line in output.splitlines()]
    assert {name for name, *_ in lines} == expected.keys()
    for name, probabilities, classes in lines:
        assert probabilities == expected[name].predict_proba(NEW).tobytes().hex()
        assert classes == repr(expected[name].classes_.tolist())


@pytest.mark.parametrize("kind", LABELS)
def test_pickles_and_deep_copies(fitted: dict[str, TextClassifier], kind: str) -> None:
    classifier = fitted[kind]
    for twin in (pickle.loads(pickle.dumps(classifier)), copy.deepcopy(classifier)):
        assert_same(twin, classifier)
        assert twin.get_params() == classifier.get_params()
        assert twin.predictor_.card() == classifier.predictor_.card()


class Recorder(pickle.Unpickler):
    """Remembers which packages a pickle asks for."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.packages: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.packages.add(module.split(".")[0])
        return super().find_class(module, name)


def test_pickles_hold_files_and_nothing_of_torch(fitted: dict[str, TextClassifier]) -> None:
    recorder = Recorder(pickle.dumps(fitted["strings"]))
    recorder.load()
    assert recorder.packages <= {"ulmfit", "numpy", "pathlib"}


def test_unfitted_classifier_can_be_pickled() -> None:
    classifier = TextClassifier(seed=3)
    twin = pickle.loads(pickle.dumps(classifier))
    assert twin.get_params() == classifier.get_params()
    assert not hasattr(twin, "classes_")


def test_threads_that_ask_at_once_get_the_same_answers(
    fitted: dict[str, TextClassifier],
) -> None:
    classifier = fitted["strings"]
    alone = [classifier.predict_proba(NEW[i:]) for i in range(10)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            found = pool.map(classifier.predict_proba, [NEW[i:] for i in range(10)])
            for answer, expected in zip(found, alone, strict=True):
                np.testing.assert_array_equal(answer, expected)


def test_loaded_classifier_has_the_parameters_that_are_known(
    fitted: dict[str, TextClassifier], lm_folder: Path, tmp_path: Path
) -> None:
    fitted["strings"].save(tmp_path / "both")
    assert TextClassifier.load(tmp_path / "both", device="cpu").get_params() == {
        **TextClassifier().get_params(),
        "direction": "both",
        "device": "cpu",
    }
    one = TextClassifier(lm=lm_folder, direction="backward", overrides=QUICK).fit(TEXTS, NAMES)
    one.save(tmp_path / "one")
    assert not (tmp_path / "one" / "backward").exists()
    assert TextClassifier.load(tmp_path / "one").direction == "backward"


def test_loaded_classifier_can_be_fitted_again(
    fitted: dict[str, TextClassifier], lm_folder: Path, tmp_path: Path
) -> None:
    fitted["integers"].save(tmp_path / "model")
    loaded = TextClassifier.load(tmp_path / "model").set_params(lm=lm_folder, overrides=QUICK)
    assert_same(loaded.fit(TEXTS, NAMES), fitted["strings"])


def test_folder_says_what_the_labels_were(
    fitted: dict[str, TextClassifier], tmp_path: Path
) -> None:
    fitted["matrix"].save(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["label_form"] == {"kind": "integer", "columns": 3}
    assert config["labels"] == ["0", "2"], "the column that never held is no class of the model"


def test_folder_of_something_else(tmp_path: Path, lm_folder: Path) -> None:
    with pytest.raises(ModelFolderError, match="does not exist"):
        TextClassifier.load(tmp_path / "none")
    with pytest.raises(ModelFolderError, match="is of kind 'language_model'"):
        TextClassifier.load(lm_folder)


def test_folder_that_holds_other_files_is_not_overwritten(
    fitted: dict[str, TextClassifier], tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingsError, match="holds other files"):
        fitted["strings"].save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
