"""A pickle gives data or an error; it never runs anything: real payloads, and a marker file."""

from __future__ import annotations

import io
import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from ulmfit.data.pickled import (
    MAX_DEPTH,
    Inert,
    inert,
    ordered_dict,
    read_pickle,
)
from ulmfit.errors import InputError

PLAIN = {
    "words": ["a", "b", "ü", ""],
    "numbers": [0, 1, 255, 70_000, -3, 1 << 40, 2.5, None, True, False],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    3: {"empty": {}, "list": [], "bytes": b"\x00\xff"},
}
NAMES = {"collections.OrderedDict": ordered_dict}


def read(data: bytes, names: Any = None) -> Any:
    return read_pickle(io.BytesIO(data), "x.pkl", names=names)


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_of_every_protocol_come_back(protocol: int) -> None:
    assert read(pickle.dumps(PLAIN, protocol)) == PLAIN


@pytest.mark.parametrize("protocol", range(3))
def test_old_protocols_too(protocol: int) -> None:
    # They have no instruction for bytes and call a codec instead, which is not in the table.
    value = {**PLAIN, 3: {}}
    assert read(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_values_that_are_used_twice_and_ordered_dictionaries(protocol: int) -> None:
    word = ["again"]
    value = OrderedDict(first=word, second=word)
    found = read(pickle.dumps(value, protocol), NAMES)
    assert found == dict(value)
    assert found["first"] is found["second"]


class Runs:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


class Restored:
    """Pickles as an object whose state is set through a method of its own."""

    def __setstate__(self, state: Any) -> None:
        os.system(state["command"])

    def __getstate__(self) -> Any:
        return {"command": "true"}


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def payloads(marker: Path) -> dict[str, bytes]:
    """Each creates `marker` when Python itself reads it, but for the last ones."""
    shell, code = f"touch {marker}", f"__import__('os').mkdir({str(marker)!r})"
    system = Runs(os.system, shell)
    return {
        "reduce": pickle.dumps(system, 2),
        "stack_global": pickle.dumps(system, 4),
        "protocol 0": pickle.dumps(system, 0),
        "eval": pickle.dumps(Runs(eval, code), 4),
        "exec": pickle.dumps(Runs(exec, code), 4),
        "open": pickle.dumps(Runs(open, str(marker), "w"), 4),
        "in a list": pickle.dumps(["word", [{"deep": (system,)}]], 4),
        "as a key": pickle.dumps({Runs(os.mkdir, str(marker)): 1}, 4),
        "import": pickle.dumps(Runs(__import__, "os"), 4),
        "subprocess": b"csubprocess\ngetoutput\n(" + text(shell) + b"tR.",
        "inst": b"(" + b"S'" + shell.encode() + b"'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\n" + text(shell) + b"o.",
        "newobj": b"\x80\x02cos\nsystem\n" + text(shell) + b"\x85\x81.",
        "newobj_ex": b"\x80\x04cos\nsystem\n" + text(shell) + b"\x85}\x92.",
        "reconstructor": b"ccopyreg\n_reconstructor\n(cos\nsystem\nc__builtin__\nobject\nNtR.",
        "copyreg newobj": b"ccopyreg\n__newobj__\n(cos\nsystem\n" + text(shell) + b"tR.",
        "extension": b"\x80\x02ccopyreg\nadd_extension\n("
        + text("os")
        + text("system")
        + b"K\x01tR0\x82\x01"
        + text(shell)
        + b"\x85R.",
        "extension code": b"\x80\x02\x82\x01" + text(shell) + b"\x85R.",
        "dotted name": b"\x80\x04"
        + text("collections")
        + text("OrderedDict.__init__.__globals__")
        + b"\x93.",
        "build": pickle.dumps(Restored(), 4),
        "stack_global of odd types": b"\x80\x04K\x01K\x02\x93.",
        "persistent": b"\x80\x02" + text("key") + b"Q.",
    }


@pytest.mark.parametrize("kind", list(payloads(Path("m"))))
def test_a_payload_is_refused_and_does_not_run(kind: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with pytest.raises(InputError, match=r"x\.pkl: .*othing in it was run"):
        read(payloads(marker)[kind], NAMES)
    assert not marker.exists()


@pytest.mark.parametrize(
    "kind", ["reduce", "stack_global", "eval", "in a list", "subprocess", "obj"]
)
def test_the_payloads_are_real(kind: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    pickle.loads(payloads(marker)[kind])
    assert marker.exists()


def test_the_name_that_is_asked_for_is_told() -> None:
    with pytest.raises(InputError) as caught:
        read(pickle.dumps([Runs(os.system, "true")], 4))
    assert str(caught.value) == (
        "x.pkl: asks for 'posix.system' and was not read: expected numbers, text, lists, "
        "dictionaries and tensors, and nothing that could run code. Ask whoever made the file for "
        "the weights alone (a state dict) and for the vocabulary as a list. Nothing in it was run."
    )


def test_a_name_in_the_table_is_data_of_ours() -> None:
    table = {f"{__name__}.Restored": inert("Restored")}
    assert read(pickle.dumps(Restored(), 4), table) == Inert("Restored", {"command": "true"})


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "cut or broken"),
        (b"\x80\x04", "cut or broken"),
        (pickle.dumps(PLAIN, 4)[:-20], "cut or broken"),
        (b".", "takes a value that is not there"),
        (b"\x80\x02]K\x01K\x02s.", "it adds to a list"),
        (b"K\x01K\x02a.", "it adds to a int"),
        (b"\x80\x02K\x01)R.", "it calls a value that is no name"),
        (b"\x80\x02]}b.", "gives attributes to a value that has none"),
        (b"h\x05.", "cut or broken"),
        (b"\x80\x02}]K\x01s.", "cut or broken"),
        (b"\x80\x04\x8f.", "has the instruction EMPTY_SET"),
        (b"(" * (MAX_DEPTH + 1) + b".", "nests values more than 64 deep"),
        (b"N" + b"\x85" * (MAX_DEPTH + 1) + b".", "nests values more than 64 deep"),
        (b"\x8a\xff", "cut or broken"),
        (b"I" + b"9" * 5000 + b"\n.", "cut or broken"),
        (b"\x96\xff\xff\xff\xff\xff\xff\xff\x7f", "cut or broken"),
        (b"\x80\x02})K\x01s.", "a dictionary has a tuple as a key"),
        (b"\x80\x02})K\x01u.", "cut or broken"),
        (pickle.dumps({(1 << 61) - 1: 0}), "a dictionary has a large int as a key"),
        (pickle.dumps({0.5: 0}), "a dictionary has a float as a key"),
    ],
)
def test_what_is_broken_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read(data)


def test_a_small_file_cannot_ask_for_much_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ulmfit.data.pickled.MAX_INSTRUCTIONS", 100)
    with pytest.raises(InputError, match="has more than 100 instructions"):
        read(b"N0" * 100 + b"N.")


def test_nor_a_name_that_copies_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ulmfit.data.pickled.MAX_INSTRUCTIONS", 1000)
    pairs = b"](" + b"K\x01K\x02\x86" * 100 + b"eq\x00"
    copies = b"ccollections\nOrderedDict\nh\x00\x85R0" * 10
    with pytest.raises(InputError, match="has more than 1,000 instructions"):
        read_pickle(
            io.BytesIO(b"\x80\x02" + pairs + copies + b"N."),
            "x",
            names={"collections.OrderedDict": ordered_dict},
        )


def test_tuples_in_tuples_are_no_keys_which_take_for_ever_to_hash() -> None:
    nested = b")" + b"q\x00h\x00\x86" * 60
    with pytest.raises(InputError, match="a dictionary has a tuple as a key"):
        read(b"\x80\x02}" + nested + b"K\x01s.")


def test_lists_of_lists_that_share_their_parts_are_walked_once() -> None:
    value: list[Any] = []
    for _ in range(MAX_DEPTH - 2):
        value = [value, value]
    assert read(pickle.dumps(value, 4))[0] is not None


def test_several_pickles_in_one_file() -> None:
    file = io.BytesIO(pickle.dumps(1) + pickle.dumps("two") + b"rest")
    assert (read_pickle(file, "x"), read_pickle(file, "x"), file.read()) == (1, "two", b"rest")
