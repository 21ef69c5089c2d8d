"""Values out of a pickle without running it: a reader that knows data and a list of harmless names.

A pickle is a program. Python's own reader runs it, and a file from the net may delete your folders.
This one interprets the instructions itself: numbers, text, bytes, lists, tuples and dictionaries
are built; a name (`module.name`) is looked up in the table that the caller gives and nowhere else,
and nothing is ever imported or called but what stands in that table.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from ulmfit.errors import InputError

# A vocabulary of 500,000 words takes two million instructions; a real state dict a few hundred.
MAX_INSTRUCTIONS: Final = 5_000_000
MAX_DEPTH: Final = 64  # of values in values

# What a dictionary may have as a key. The hash of tuples in tuples can take for ever, and many
# integers from 2**61 - 1 on have the same.
_KEYS: Final = (str, bytes, int, type(None))
_KEYS_BELOW: Final = 1 << 60

# What a broken pickle raises: too few values, a list where a dictionary belongs, a length that no
# memory holds.
_BROKEN: Final = (
    *(ValueError, TypeError, LookupError, AttributeError, OverflowError, MemoryError),
)

Maker = Callable[..., Any]
Names = Mapping[str, Maker]


@dataclass(frozen=True)
class Name:
    """`module.name` of the caller's table; stands for itself until it is applied to arguments."""

    path: str


@dataclass
class Inert:
    """An object of a foreign class as plain data: never an instance of that class.

    Attributes:
        name: of the class.
        state: its attributes, as they were stored.
    """

    name: str
    state: Any = None


def inert(name: str) -> Maker:
    """A table entry for a class of which only the stored attributes are wanted."""
    return lambda *_: Inert(name)


def ordered_dict(*arguments: Any) -> dict[Any, Any]:
    """A table entry for `collections.OrderedDict`: a dictionary of the pairs, if there are any."""
    return _pairs([part for pair in arguments[0] for part in _two(pair)]) if arguments else {}


def read_pickle(
    file: BinaryIO,
    source: str,
    *,
    names: Names | None = None,
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """The value of one pickle, of any protocol; the file is left where the pickle ends.

    Args:
        file: at the start of the pickle.
        source: what messages call it.
        names: maker by `module.name`: all that the pickle may ask for.
        persistent: gives the value of a persistent id (a tensor's storage, say).

    Raises:
        InputError: it asks for another name, is cut or broken, or is too large or too deep.
    """
    machine = _Machine(source, names or {}, persistent)
    try:
        for opcode, argument, _ in pickletools.genops(file):
            machine.count(1)
            if opcode.name == "STOP":
                break
            machine.run(opcode.name, argument)
        value = machine.pop()
    except InputError:
        raise
    except _BROKEN as error:
        raise _refused(source, f"is a cut or broken pickle ({error})") from error
    _require_shallow(value, source)
    return value


_PUSHED = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = {"PROTO", "FRAME"}


class _Machine:
    """The stack, the marks and the memo of one pickle."""

    def __init__(self, source: str, names: Names, persistent: Callable[[Any], Any] | None) -> None:
        self.source, self.names, self.persistent = source, names, persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.work = 0

    def count(self, n: int) -> None:
        """Instructions, and the values that they copy: a few bytes may ask for much of both."""
        self.work += n
        if self.work > MAX_INSTRUCTIONS:
            raise _refused(self.source, f"has more than {MAX_INSTRUCTIONS:,} instructions")

    def pop(self) -> Any:
        if not self.stack or (self.marks and len(self.stack) <= self.marks[-1]):
            raise ValueError("it takes a value that is not there")
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def run(self, name: str, argument: Any) -> None:
        """One instruction."""
        if name in _IGNORED:
            return
        if name in _PUSHED:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self.stack.append(tuple(reversed([self.pop() for _ in range(_TUPLES[name])])))
        elif not (self.structure(name) or self.memory(name, argument) or self.made(name, argument)):
            raise _refused(self.source, f"has the instruction {name}")

    def structure(self, name: str) -> bool:
        """Marks, and what is built of the values since the last one."""
        match name:
            case "MARK":
                if len(self.marks) >= MAX_DEPTH:
                    raise _refused(self.source, f"nests values more than {MAX_DEPTH} deep")
                self.marks.append(len(self.stack))
            case "POP":
                self.pop()
            case "POP_MARK":
                self.since_mark()
            case "LIST":
                self.stack.append(self.since_mark())
            case "TUPLE":
                self.stack.append(tuple(self.since_mark()))
            case "DICT":
                self.stack.append(_pairs(self.since_mark()))
            case "APPEND":
                value = self.pop()
                self.top(list).append(value)
            case "APPENDS":
                values = self.since_mark()
                self.top(list).extend(values)
            case "SETITEM":
                value, key = self.pop(), self.pop()
                self.top(dict).update(_pairs([key, value]))
            case "SETITEMS":
                values = self.since_mark()
                self.top(dict).update(_pairs(values))
            case _:
                return False
        return True

    def memory(self, name: str, argument: Any) -> bool:
        """Values that are named to be used again."""
        match name:
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                self.stack.append(self.memo[argument])
            case _:
                return False
        return True

    def made(self, name: str, argument: Any) -> bool:
        """Names, what they make of arguments, and storages."""
        match name:
            case "GLOBAL":
                self.stack.append(self.named(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                attribute, module = self.pop(), self.pop()
                self.stack.append(self.named(module, attribute))
            case "REDUCE" | "NEWOBJ":
                arguments, maker = self.pop(), self.pop()
                self.stack.append(self.apply(maker, arguments))
            case "BUILD":
                state = self.pop()
                if isinstance(self.stack[-1], Inert):
                    self.stack[-1].state = state
                elif not isinstance(self.stack[-1], dict):  # attributes of an OrderedDict: dropped
                    raise ValueError("it gives attributes to a value that has none")
            case "PERSID" | "BINPERSID":
                key = argument if name == "PERSID" else self.pop()
                if self.persistent is None:
                    raise _refused(self.source, "asks for data outside of the pickle")
                self.stack.append(self.persistent(key))
            case _:
                return False
        return True

    def top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"it adds to a {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    def named(self, module: object, attribute: object) -> Name:
        path = f"{module}.{attribute}"
        if not (isinstance(module, str) and isinstance(attribute, str)) or path not in self.names:
            raise InputError(
                f"{self.source}: asks for '{path[:80]}' and was not read",
                expected="numbers, text, lists, dictionaries and tensors, and nothing that could "
                "run code",
                hint="Ask whoever made the file for the weights alone (a state dict) and for the "
                "vocabulary as a list. Nothing in it was run.",
            )
        return Name(path)

    def apply(self, maker: Any, arguments: Any) -> Any:
        if not isinstance(maker, Name) or not isinstance(arguments, tuple):
            raise ValueError("it calls a value that is no name")
        self.count(sum(len(value) for value in arguments if isinstance(value, list | tuple | dict)))
        return self.names[maker.path](*arguments)


def _pairs(values: list[Any]) -> dict[Any, Any]:
    """A dictionary of keys and values by turns."""
    for key in values[::2]:
        if not isinstance(key, _KEYS) or (isinstance(key, int) and abs(key) >= _KEYS_BELOW):
            large = "large " if isinstance(key, int) else ""
            raise ValueError(f"a dictionary has a {large}{type(key).__name__} as a key")
    return dict(zip(values[::2], values[1::2], strict=True))


def _two(pair: Any) -> tuple[Any, Any]:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ValueError("an ordered dictionary is made of something else than pairs")
    return pair[0], pair[1]


def _require_shallow(value: Any, source: str) -> None:
    seen: set[int] = set()
    waiting = [(value, 1)]
    while waiting:
        current, depth = waiting.pop()
        if isinstance(current, Inert):
            current = current.state
        if not isinstance(current, list | tuple | dict) or id(current) in seen:
            continue
        if depth > MAX_DEPTH:
            raise _refused(source, f"nests values more than {MAX_DEPTH} deep")
        seen.add(id(current))
        inner = current.values() if isinstance(current, dict) else current
        waiting.extend((item, depth + 1) for item in inner)


def _refused(source: str, problem: str) -> InputError:
    return InputError(
        f"{source}: {problem}",
        expected="a whole pickle of numbers, text, lists, dictionaries and tensors",
        hint="Copy or download it again; nothing in it was run.",
    )
