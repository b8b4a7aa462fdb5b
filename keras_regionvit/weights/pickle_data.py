"""Runs pickles as data: names in them stay names, and nothing they name is imported or called.

A pickle is a program that may call any function by its name. Here its opcodes run on plain lists,
dicts and tuples; a name becomes a `Global`, and calling one gives an inert `Object`, but for the
few in `CALLS`, whose meaning is written out in `torch_objects`.
"""

import pickle
import struct

from keras_regionvit.weights.torch_objects import (
    CALLS,
    COPY_AGAIN,
    DTYPES,
    SAVE_AGAIN,
    Global,
    Object,
    Storage,
    call,
    is_size,
    require,
    short,
)

# Bounds far above real checkpoints: a detector with its optimizer's state takes about 50,000
# opcodes.
_MAX_OPCODES = 1_000_000
_MAX_NAME = 1_000

_WIDTHS = {  # bytes of the number, or of the length, behind an opcode
    **dict.fromkeys((pickle.PROTO, pickle.BININT1, pickle.BINGET, pickle.BINPUT), 1),
    **dict.fromkeys((pickle.LONG1, pickle.SHORT_BINUNICODE), 1),
    **dict.fromkeys((pickle.SHORT_BINSTRING, pickle.SHORT_BINBYTES), 1),
    pickle.BININT2: 2,
    **dict.fromkeys((pickle.BININT, pickle.LONG_BINGET, pickle.LONG_BINPUT, pickle.LONG4), 4),
    **dict.fromkeys((pickle.BINUNICODE, pickle.BINSTRING, pickle.BINBYTES), 4),
    **dict.fromkeys((pickle.FRAME, pickle.BINUNICODE8, pickle.BINBYTES8, pickle.BYTEARRAY8), 8),
}


class Unpickler:
    """Runs the pickle at the head of `stream`, which ends at byte `end`.

    Nothing is recursive, and of the file's values only text and numbers are hashed, compared or
    printed: so depth, self-reference and memo bombs cost no more than the opcodes they take. The
    opcodes are those that pickle protocols 2 to 5 write.
    """

    def __init__(self, stream, end):
        self.stream, self.end = stream, end
        self.stack, self.marks, self.memo, self.storages = [], [], {}, {}

    def load(self):
        """The object that the pickle makes; the stream is left behind its end."""
        try:
            for _ in range(_MAX_OPCODES):
                opcode = self._take(1)
                if opcode == pickle.STOP:
                    return self.stack.pop()
                self._run(opcode)
        except (IndexError, KeyError, UnicodeDecodeError) as error:
            problem = f"its pickle is invalid near byte {self.stream.tell()}"
            raise ValueError(f"{problem}; {COPY_AGAIN}") from error
        raise ValueError(f"its pickle has more than {_MAX_OPCODES:,} opcodes; {SAVE_AGAIN}")

    def _take(self, count):
        # A length is compared with the file before reading, since read() would allocate it.
        fits = count <= 8 or count <= self.end - self.stream.tell()
        data = self.stream.read(count) if fits else b""
        require(len(data) == count, "its pickle has no end", COPY_AGAIN)
        return data

    def _line(self):
        line = self.stream.readline(_MAX_NAME)
        require(line.endswith(b"\n"), "its pickle has a name without an end", COPY_AGAIN)
        return line[:-1].decode()

    def _pop(self, count):
        return [self.stack.pop() for _ in range(count)][::-1]

    def _pop_mark(self):
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _run(self, opcode):
        argument = self._take(_WIDTHS.get(opcode, 0))
        number = int.from_bytes(argument, "little", signed=opcode == pickle.BININT)
        match opcode:
            case pickle.BINPUT | pickle.LONG_BINPUT:
                self.memo[number] = self.stack[-1]
            case pickle.MEMOIZE:
                self.memo[len(self.memo)] = self.stack[-1]
            case pickle.MARK:
                self.marks.append(self.stack)
                self.stack = []
            case pickle.APPEND:
                self._append(self._pop(1))
            case pickle.APPENDS | pickle.ADDITEMS:
                self._append(self._pop_mark())
            case pickle.SETITEM:
                self._set_items(self._pop(2))
            case pickle.SETITEMS:
                self._set_items(self._pop_mark())
            case pickle.BUILD:  # the attributes of a Namespace, or a state dict's `_metadata`
                self._pop(1)
            case pickle.POP if self.stack:
                self._pop(1)
            case pickle.POP | pickle.POP_MARK:
                self._pop_mark()
            case pickle.PROTO:
                valid = 2 <= number <= 5
                require(valid, f"its pickle has protocol {number}, not 2 to 5", SAVE_AGAIN)
            case pickle.FRAME:  # a hint for readers of slow streams
                pass
            case _:
                value = self._value(opcode, number)  # first: it may replace the stack
                self.stack.append(value)

    def _value(self, opcode, number):
        """What an opcode puts on the stack."""
        match opcode:
            case pickle.BINGET | pickle.LONG_BINGET:
                return self.memo[number]
            case pickle.BININT | pickle.BININT1 | pickle.BININT2:
                return number
            case pickle.BINUNICODE | pickle.SHORT_BINUNICODE | pickle.BINUNICODE8:
                return self._take(number).decode("utf-8", "surrogatepass")
            case pickle.BINSTRING | pickle.SHORT_BINSTRING:  # Python 2's text
                return self._take(number).decode("latin-1")
            case pickle.BINBYTES | pickle.SHORT_BINBYTES | pickle.BINBYTES8 | pickle.BYTEARRAY8:
                return self._take(number)
            case pickle.LONG1 | pickle.LONG4:
                return int.from_bytes(self._take(number), "little", signed=True)
            case pickle.BINFLOAT:
                return struct.unpack(">d", self._take(8))[0]
            case pickle.NONE:
                return None
            case pickle.NEWTRUE | pickle.NEWFALSE:
                return opcode == pickle.NEWTRUE
            case pickle.EMPTY_TUPLE:
                return ()
            case pickle.TUPLE1 | pickle.TUPLE2 | pickle.TUPLE3:
                return tuple(self._pop(opcode[0] - pickle.TUPLE1[0] + 1))
            case pickle.TUPLE:
                return tuple(self._pop_mark())
            case pickle.EMPTY_LIST:
                return []
            case pickle.EMPTY_DICT:
                return {}
            case pickle.EMPTY_SET:
                return Object("builtins set")
            case pickle.FROZENSET:
                self._pop_mark()
                return Object("builtins frozenset")
            case pickle.GLOBAL | pickle.STACK_GLOBAL:
                return self._global(opcode)
            case pickle.REDUCE:
                function, args = self._pop(2)
                return call(function, args, CALLS)
            case pickle.NEWOBJ | pickle.NEWOBJ_EX:
                function, args, *_ = self._pop(2 if opcode == pickle.NEWOBJ else 3)
                return call(function, args, {})
            case pickle.BINPERSID:
                return self._storage(*self._pop(1))
        raise ValueError(f"its pickle has an unknown opcode {opcode!r}; {SAVE_AGAIN}")

    def _global(self, opcode):
        names = [self._line(), self._line()] if opcode == pickle.GLOBAL else self._pop(2)
        valid = all(type(name) is str and len(name) <= _MAX_NAME for name in names)
        require(valid, "its pickle has a name that is no short text", COPY_AGAIN)
        return Global(" ".join(names))

    def _append(self, items):
        target = self.stack[-1]
        require(type(target) in (list, Object), "its pickle appends to no list", COPY_AGAIN)
        if type(target) is list:
            target.extend(items)

    def _set_items(self, items):
        target = self.stack[-1]
        valid = type(target) in (dict, Object) and len(items) % 2 == 0
        require(valid, "its pickle sets items of no dict", COPY_AGAIN)
        if type(target) is dict:
            for key, value in zip(items[::2], items[1::2], strict=True):
                # To hash any other key of the file may take for ever: these hash by identity.
                target[key if type(key) is str else Object("key")] = value

    def _storage(self, reference):
        """The storage at ("storage", type, key, device, count), with None behind if legacy."""
        match reference:
            case ("storage", Global(name=name), str(key), _, count, *view) if is_size(count):
                pass
            case _:
                raise ValueError(f"it refers to what is no tensor's storage; {SAVE_AGAIN}")
        if name not in DTYPES:
            return Object(name)
        storage = self.storages.setdefault(key, Storage(key, name, count))
        same = (storage.type, storage.count) == (name, count) and view in ([], [None])
        require(same, f"its storage {short(key)} has two types or sizes", SAVE_AGAIN)
        return storage
