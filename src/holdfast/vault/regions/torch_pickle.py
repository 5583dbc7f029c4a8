"""What the pickle in a PyTorch file says about its tensors. Opcodes are read, never run.

A pickle is a program for a small stack machine. This one computes with symbols (`torch_symbols`): of calls it knows
only those that rebuild tensors. No name is ever imported or called. Opcodes: `pickletools` of the standard library.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from holdfast.vault.regions.proposal import Foreign
from holdfast.vault.regions.torch_symbols import Global, Mapping, Storage, Thing, call, extend, set_items, storage_of

__all__ = ["Reading", "read_pickle"]

# About 40 for each tensor: 100,000 tensors in one file. A hostile pickle of so many took 2.3 s and 0.4 GiB.
OPCODES_MAX: Final = 4_000_000


class Reading(NamedTuple):
    """`root` is None when the pickle was not understood to its end; `storages` are those met until then, by key."""

    root: object
    storages: dict[str, Storage]


# Opcodes that push a constant of no interest, by the bytes of their argument.
_SCALARS: Final = {0x47: 8, 0x4E: 0, 0x88: 0, 0x89: 0}  # BINFLOAT NONE NEWTRUE NEWFALSE
_INTEGERS: Final = {0x4B: (1, False), 0x4D: (2, False), 0x4A: (4, True)}  # BININT1 BININT2 BININT
_TEXTS: Final = {0x58: 4, 0x8C: 1, 0x8D: 8, 0x54: 4, 0x55: 1}  # BINUNICODE, SHORT_, 8, BINSTRING, SHORT_
_BLOBS: Final = {0x42: 4, 0x43: 1, 0x8E: 8, 0x96: 8, 0x8B: 4}  # BINBYTES, SHORT_, 8, BYTEARRAY8, LONG4
_TUPLES: Final = {0x85: 1, 0x86: 2, 0x87: 3}
_GETS: Final = {0x68: 1, 0x6A: 4}  # BINGET LONG_BINGET
_PUTS: Final = {0x71: 1, 0x72: 4}  # BINPUT LONG_BINPUT
_STOP: Final = 0x2E

_Handler: TypeAlias = Callable[[], None]


def read_pickle(data: bytes) -> Reading:
    """Follow the pickle in `data`. Never raises on any bytes: see `Reading` for what was not understood."""
    machine = _Machine(data)
    try:
        return Reading(machine.run(), machine.storages)
    except (Foreign, LookupError, TypeError, ValueError, struct.error):
        return Reading(None, machine.storages)


class _Machine:
    """The stack, the stacks below the open marks, and the memo."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._stack: list[object] = []
        self._below: list[list[object]] = []
        self._memo: dict[int, object] = {}
        self.storages: dict[str, Storage] = {}

    def run(self) -> object:
        """The value that the pickle stands for. Raises Foreign, LookupError, TypeError and ValueError."""
        handlers = self._handlers()
        data = self._data
        for _ in range(OPCODES_MAX):
            opcode = data[self._position]
            self._position += 1
            if opcode == _STOP:
                return self._stack.pop()
            handlers[opcode]()
        raise Foreign(f"its pickle has more than {OPCODES_MAX} operations")

    def _handlers(self) -> dict[int, _Handler]:
        table: dict[int, _Handler] = {
            0x80: lambda: self._skip(1),  # PROTO
            0x95: lambda: self._skip(8),  # FRAME
            0x28: self._mark,
            0x30: self._pop,
            0x31: self._discard_marked,
            0x32: lambda: self._stack.append(self._stack[-1]),  # DUP
            0x8A: self._long1,
            0x63: self._global,
            0x93: self._stack_global,
            0x51: self._persistent,
            0x52: self._reduce,
            0x81: self._reduce,  # NEWOBJ: as REDUCE, a class and its arguments
            0x92: self._new_object_with_keywords,
            0x62: self._build,
            0x5D: lambda: self._stack.append([]),
            0x29: lambda: self._stack.append(()),
            0x7D: lambda: self._stack.append(Mapping()),
            0x8F: lambda: self._stack.append(Thing()),  # EMPTY_SET
            0x74: lambda: self._push_marked(tuple),
            0x6C: lambda: self._push_marked(list),
            0x91: lambda: self._push_marked(lambda items: Thing(tuple(items))),  # FROZENSET
            0x64: self._dict,
            0x61: self._append,
            0x65: self._appends,
            0x90: self._appends,  # ADDITEMS
            0x73: self._set_item,
            0x75: self._set_items,
            0x94: self._memoize,
        }
        table |= {opcode: self._scalar_pusher(length) for opcode, length in _SCALARS.items()}
        table |= {opcode: self._integer_pusher(*form) for opcode, form in _INTEGERS.items()}
        table |= {opcode: self._text_pusher(length) for opcode, length in _TEXTS.items()}
        table |= {opcode: self._blob_pusher(length) for opcode, length in _BLOBS.items()}
        table |= {opcode: self._tuple_pusher(length) for opcode, length in _TUPLES.items()}
        table |= {opcode: self._getter(length) for opcode, length in _GETS.items()}
        return table | {opcode: self._putter(length) for opcode, length in _PUTS.items()}

    # Arguments.

    def _skip(self, length: int) -> None:
        self._position += length

    def _unsigned(self, length: int) -> int:
        begin = self._position
        self._position = begin + length
        return int.from_bytes(self._data[begin : begin + length], "little")

    def _take(self, length: int) -> bytes:
        begin = self._position
        self._position = begin + length
        if self._position > len(self._data):
            raise Foreign("its pickle is truncated")
        return self._data[begin : begin + length]

    def _line(self) -> str:
        end = self._data.index(b"\n", self._position)
        line = self._data[self._position : end]
        self._position = end + 1
        return line.decode("utf-8", "replace")

    # Constants.

    def _scalar_pusher(self, length: int) -> _Handler:
        def push() -> None:
            self._position += length
            self._stack.append(None)

        return push

    def _integer_pusher(self, length: int, signed: bool) -> _Handler:
        def push() -> None:
            begin = self._position
            self._position = begin + length
            self._stack.append(int.from_bytes(self._data[begin : begin + length], "little", signed=signed))

        return push

    def _text_pusher(self, length: int) -> _Handler:
        def push() -> None:
            # "replace": a lone surrogate in a name must not stop the manifest from being encoded later.
            self._stack.append(self._take(self._unsigned(length)).decode("utf-8", "replace"))

        return push

    def _blob_pusher(self, length: int) -> _Handler:
        def push() -> None:
            self._skip(self._unsigned(length))
            self._stack.append(None)

        return push

    def _long1(self) -> None:
        self._stack.append(int.from_bytes(self._take(self._unsigned(1)), "little", signed=True))

    # The memo.

    def _getter(self, length: int) -> _Handler:
        return lambda: self._stack.append(self._memo[self._unsigned(length)])

    def _putter(self, length: int) -> _Handler:
        def put() -> None:
            self._memo[self._unsigned(length)] = self._stack[-1]

        return put

    def _memoize(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    # Containers.

    def _mark(self) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _pop_mark(self) -> list[object]:
        items = self._stack
        self._stack = self._below.pop()
        return items

    def _pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:  # POP also removes a mark
            self._pop_mark()

    def _discard_marked(self) -> None:
        self._pop_mark()

    def _push_marked(self, make: Callable[[list[object]], object]) -> None:
        items = self._pop_mark()
        self._stack.append(make(items))

    def _tuple_pusher(self, length: int) -> _Handler:
        def push() -> None:
            stack = self._stack
            if len(stack) < length:
                raise Foreign("its pickle takes more than there is")
            stack[-length:] = [tuple(stack[-length:])]

        return push

    def _append(self) -> None:
        value = self._stack.pop()
        extend(self._stack[-1], [value])

    def _appends(self) -> None:
        items = self._pop_mark()
        extend(self._stack[-1], items)

    def _dict(self) -> None:
        items = self._pop_mark()
        mapping = Mapping()
        set_items(mapping, items)
        self._stack.append(mapping)

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        set_items(self._stack[-1], [key, value])

    def _set_items(self) -> None:
        items = self._pop_mark()
        set_items(self._stack[-1], items)

    # Objects.

    def _global(self) -> None:
        self._stack.append(Global(self._line(), self._line()))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(module, str) or not isinstance(name, str):  # as text, nested tuples may grow without bounds
            raise Foreign("its pickle names a class by what is no text")
        self._stack.append(Global(module, name))

    def _persistent(self) -> None:
        storage = storage_of(self._stack.pop())
        self._stack.append(storage)
        if storage is not None:
            self.storages[storage.key] = storage

    def _reduce(self) -> None:
        arguments = self._stack.pop()
        self._stack[-1] = call(self._stack[-1], arguments)

    def _new_object_with_keywords(self) -> None:
        keywords, arguments = self._stack.pop(), self._stack.pop()
        self._stack[-1] = Thing(arguments, keywords)

    def _build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, Thing):
            target.parts.append(state)
