from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import run


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    out = tmp_path_factory.mktemp("exported") / "model.onnx"
    done = run("export", model, "--onnx", out)
    assert done.code == 0, done
    assert done.out.startswith(
        f"wrote {out}: README.md, backward.onnx, config.json, forward.onnx, ngrams.safetensors, "
        "tokenizer.json ("
    )
    assert "compared with torch on 84 texts: probabilities differ by at most " in done.out
    assert "same label on 100.0 %" in done.out
    assert f"predict {out} --text" in done.out
    return out


def test_an_exported_model_labels_a_file_as_the_model_does(
    model: Path, exported: Path, data: Path, tmp_path: Path
) -> None:
    answers = []
    for number, folder in enumerate((model, exported)):
        out = tmp_path / f"{number}.jsonl"
        done = run("predict", folder, data / "test.csv", "-o", out, "-q", "--threads", "1")
        assert done.code == 0, done
        answers.append([json.loads(line) for line in out.read_text().splitlines()])
    assert len(answers[0]) == 40
    for one, other in zip(*answers, strict=True):
        for name, value in one.items():
            close = isinstance(value, float)
            assert other[name] == (pytest.approx(value, abs=2e-5) if close else value)


def test_an_exported_model_is_evaluated(model: Path, exported: Path, data: Path) -> None:
    scores = []
    for folder in (model, exported):
        done = run("evaluate", folder, data / "test.csv", "--json", "-q", "--threads", "1")
        assert done.code == 0, done
        scores.append(json.loads(done.out))
        assert scores[-1].pop("model") == str(folder)
    fits = [found.pop("reliability")["nll"] for found in scores]
    shares = [found.pop("coverage")[-1]["coverage"] for found in scores]
    assert fits[0] == pytest.approx(fits[1], rel=1e-3)
    assert shares[0] == shares[1]
    assert scores[0] == scores[1]


def test_eight_bits_and_json(model: Path, tmp_path: Path) -> None:
    done = run("export", model, "--onnx", tmp_path / "small", "--int8", "--json")
    assert done.code == 0, done
    answer = json.loads(done.out)
    assert (answer["precision"], answer["output"]) == ("int8", str(tmp_path / "small"))
    assert answer["model"] == str(model)
    assert answer["bytes"].keys() >= {"forward.onnx", "backward.onnx", "tokenizer.json"}
    assert 0 < answer["agreement"]["largest_difference"] < 0.05
    assert answer["agreement"]["texts"] == 84


def test_what_cannot_be_exported_is_refused(
    model: Path, exported: Path, tiny_lm: Path, tmp_path: Path
) -> None:
    done = run("export", exported, "--onnx", tmp_path / "again")
    assert done.code == 2
    assert "is of kind 'onnx_classifier'" in done.err
    done = run("export", tiny_lm, "--onnx", tmp_path / "lm")
    assert done.code == 2
    assert "is of kind 'language_model'" in done.err
    done = run("export", model, "--onnx", model)
    assert done.code == 2
    assert f"folder '{model}' holds a model of kind 'classifier'" in done.err
    done = run("predict", exported, "--text", "a", "--device", "cuda")
    assert done.code == 2
    assert "Expected: cpu, where exported models run" in done.err


def test_a_report_on_an_exported_model_is_refused_at_once(
    exported: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged(*_: object, **__: object) -> None:
        raise AssertionError("the rows are labelled")

    monkeypatch.setattr("ulmfit.cli.evaluate_verb.judge", judged)
    done = run("evaluate", exported, data / "test.csv", "--report", tmp_path / "report.html")
    assert done.code == 2
    assert "is an exported model, which cannot be explained" in done.err
