from __future__ import annotations

from ulmfit.apps.serve.refusals import _faults, _of_http


def test_many_faults_are_counted() -> None:
    errors = [
        {
            "type": "string_type",
            "loc": ("body", "texts", n),
            "msg": "not a string",
            "input": "secret",
        }
        for n in range(7)
    ]
    found = _faults(errors)
    assert found.problem.startswith("texts.0: not a string; texts.1: not a string; ")
    assert found.problem.endswith("; and 2 more")
    assert "secret" not in str(found.document())


def test_each_status_has_its_words() -> None:
    for status in (400, 404, 405, 415):
        assert _of_http(status, "GET", {"allow": "POST"}).headers == {"allow": "POST"}
        assert _of_http(status, "GET", None).hint
