"""Checks the tables of an HDF5 file before the HDF5 library follows them.

The format that h5py writes by default has no checksums, and the library trusts it: of 3,000
damaged weight files, HDF5 1.14.6 crashed on one and hung on two. The newer formats have a checksum
for each table, which the library verifies.
"""

import math
import mmap
import struct

from keras_regionvit.files import open_regular
from keras_regionvit.weights.hdf5_types import known_types

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_NOWHERE = 2**64 - 1  # the address of what does not exist
_NO_FREE_BLOCK = 1  # end of the list of free blocks in a heap
_MAX_AXES = 32
_MAX_CONTINUATIONS = 64

# Messages of an object header, and those that Keras' files have beside them.
_SPACE, _TYPE, _OLD_FILL, _FILL, _LAYOUT, _ATTRIBUTE = 0x01, 0x03, 0x04, 0x05, 0x08, 0x0C
_CONTINUATION, _SYMBOLS = 0x10, 0x11
_KNOWN = {0x00, _SPACE, _TYPE, _OLD_FILL, _FILL, _LAYOUT, _ATTRIBUTE}
_KNOWN |= {_CONTINUATION, _SYMBOLS, 0x12}
_STRANGE = {
    0x02: "a link that is no hard link",  # of the groups that may have such
    0x06: "a link that is no hard link",
    0x07: "numbers in another file",
    0x0B: "a compressed data set",
}


def check_tables(path):
    """That the tables of an HDF5 file lie in it, agree with each other and hold plain arrays.

    Args:
        path: the file, a string or `os.PathLike`.

    Raises:
        ValueError: they do not; the sentence says what is wrong, and does not name the file.
        OSError: the file cannot be opened.

    Example:

    >>> check_tables("model.weights.h5")
    """
    with open_regular(path) as file:
        start = file.read(9)
        _require(start[:8] == _SIGNATURE and len(start) == 9, "it is not an HDF5 file")
        if start[8] > 1:  # a format with checksums
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                _Tables(data).check()
            except (IndexError, struct.error, OverflowError):
                raise ValueError("a table in it leads out of the file") from None


def _require(condition, problem):
    if not condition:
        raise ValueError(problem)


class _Tables:
    """The tables of a file of the oldest format, which begins at the first byte."""

    def __init__(self, data):
        self.data, self.size = data, len(data)
        self.seen = set()  # addresses: what is met twice may lead in a circle
        self.heaps = {}  # of texts, by their addresses
        self.leaf, self.internal = struct.unpack_from("<HH", data, 16)  # half the entries of nodes
        base, free, end, driver = struct.unpack_from("<QQQQ", data, 24)
        plain = data[8:16] == b"\0\0\0\0\0\x08\x08\0" and (base, free, driver) == (
            0,
            _NOWHERE,
            _NOWHERE,
        )
        _require(plain, "its superblock is not that of a file of Keras")
        _require(end <= self.size, "it is cut off")

    def check(self):
        """Follows every table from the root group on."""
        pending = [self._unpack("<Q", 64)]
        cached = {pending[0]: self._unpack("<QQ", 80)} if self._unpack("<I", 72) == 1 else {}
        while pending:
            address = pending.pop()
            messages = self._messages(address)
            kinds = [kind for kind, _, _ in messages]
            for kind, start, length in messages:
                if kind == _ATTRIBUTE:
                    self._check_attribute(start, length)
            if kinds.count(_SYMBOLS) == 1:
                start, length = messages[kinds.index(_SYMBOLS)][1:]
                _require(length >= 16, "a group in it has no table of its members")
                tables = self._unpack("<QQ", start)
                _require(cached.get(address, tables) == tables, "a group in it has two tables")
                for child, scratch in self._members(*tables):
                    pending.append(child)
                    if scratch:
                        cached[child] = scratch
            else:
                _require(address not in cached, "a data set in it is linked as a group")
                self._check_dataset(messages)

    def _unpack(self, form, start):
        values = struct.unpack_from(form, self.data, start)
        return values[0] if len(values) == 1 else values

    def _take(self, address, length, signature=b""):
        """That a table of this length and signature is at an address, and met once."""
        fits = address + length <= self.size
        _require(fits, "a table in it leads out of the file")
        _require(address not in self.seen, "two places in it lead to the same table")
        self.seen.add(address)
        valid = self.data[address : address + len(signature)] == signature
        _require(valid, "a table in it is damaged")

    def _messages(self, address):
        """`[(kind, start, length)]` of the object header at an address."""
        self._take(address, 16, b"\x01")
        _, _, count, references, length = self._unpack("<BBHII", address)
        _require(references == 1, "an object in it has several links")
        chunks, found = [(address + 16, length)], list[tuple[int, int, int]]()
        for place, size in chunks:
            end = place + size
            _require(end <= self.size, "an object header in it leads out of the file")
            while place + 8 <= end and len(found) < count:
                kind, length, flags = self._unpack("<HHB", place)
                strange = _STRANGE.get(kind, f"a message of the kind {kind}")
                _require(kind in _KNOWN and not flags & 2, f"it has {strange}")
                _require(place + 8 + length <= end, "an object header in it is damaged")
                found.append((kind, place + 8, length))
                if kind == _CONTINUATION:
                    _require(length >= 16, "an object header in it is damaged")
                    _require(len(chunks) < _MAX_CONTINUATIONS, "an object header in it has no end")
                    chunk = self._unpack("<QQ", place + 8)
                    self._take(*chunk)
                    chunks.append(chunk)
                place += 8 + length
            _require(place == end or len(found) == count, "an object header in it is damaged")
        _require(len(found) == count, "an object header in it is damaged")
        return found

    # --- Groups ---

    def _members(self, tree, heap):
        """`[(address, (tree, heap) that the link remembers, or None)]` of a group's members."""
        self._take(heap, 32, b"HEAP\0")
        length, free, segment = self._unpack("<QQQ", heap + 8)
        _require(segment + length <= self.size, "the names in it lead out of the file")
        for _ in range(length // 16 + 1):
            if free == _NO_FREE_BLOCK:
                break
            _require(free + 16 <= length, "the names in it are damaged")
            free, size = self._unpack("<QQ", segment + free)
            _require(size <= length, "the names in it are damaged")
        _require(free == _NO_FREE_BLOCK, "the names in it are damaged")

        def check_name(offset, least):
            end = self.data.find(b"\0", segment + offset, segment + length)
            named = offset < length and end - segment - offset >= least
            _require(named, "a link in it has no name")

        members, nodes, neighbours = [], [(tree, None)], {}
        while nodes:
            node, wanted = nodes.pop()
            self._take(node, 32 + 32 * self.internal, b"TREE\0")
            level, used, before, after = self._unpack("<BHQQ", node + 5)
            valid = used <= 2 * self.internal and wanted in (None, level)
            _require(valid, "a table of links in it is damaged")
            neighbours[node] = before, after
            for i in range(used + 1):
                check_name(self._unpack("<Q", node + 24 + 16 * i), 0)
            for i in range(used):
                child = self._unpack("<Q", node + 32 + 16 * i)
                if level:
                    nodes.append((child, level - 1))
                else:
                    members += self._entries(child, check_name)
        # the library goes from node to node by these, so that a wrong one may lead in a circle
        met = {_NOWHERE: (_NOWHERE, _NOWHERE), **neighbours}
        for node, (before, after) in neighbours.items():
            valid = before in met and after in met
            valid = valid and (after == _NOWHERE or met[after][0] == node)
            valid = valid and (before == _NOWHERE or met[before][1] == node)
            _require(valid, "a table of links in it is damaged")
        return members

    def _entries(self, node, check_name):
        self._take(node, 8 + 80 * self.leaf, b"SNOD\x01")
        used = self._unpack("<H", node + 6)
        _require(used <= 2 * self.leaf, "a table of links in it is damaged")
        for i in range(used):
            name, address, cache, _, *tables = self._unpack("<QQIIQQ", node + 8 + 40 * i)
            check_name(name, 1)
            _require(cache in (0, 1), "it has a link that is no hard link")
            yield address, tuple(tables) if cache else None

    # --- Data sets and attributes ---

    def _check_dataset(self, messages):
        parts = {}
        for kind, start, length in messages:
            if kind in (_SPACE, _TYPE, _LAYOUT):
                _require(kind not in parts, "a data set in it is damaged")
                parts[kind] = start, length
            elif kind in (_FILL, _OLD_FILL):
                self._check_fill(kind, start, length)
        _require(len(parts) == 3, "it has an object that is neither a group nor a data set")
        itemsize, text = self._type(*parts[_TYPE])
        _require(not text, "a data set in it holds text")
        size = math.prod(self._shape(*parts[_SPACE])) * itemsize
        start, length = parts[_LAYOUT]
        form, kind = self._unpack("<BB", start)
        plain = form == 3 and kind in (0, 1)
        _require(plain, "a data set in it is compressed, in chunks or in another file")
        if kind == 0:  # the numbers are in the header
            stored = self._unpack("<H", start + 2)
            fits = 4 + stored <= length
        else:
            address, stored = self._unpack("<QQ", start + 2)
            fits = length >= 18 and (address + stored <= self.size or stored == 0)
        _require(fits, "a data set in it leads out of the file")
        _require(stored == size, f"a data set in it declares {size} bytes and has {stored}")

    def _check_fill(self, kind, start, length):
        """The value of what is not written."""
        if kind == _OLD_FILL:
            place, defined = 0, True
        else:
            form, flags = self._unpack("<BB", start)
            _require(form in (1, 2, 3), "a data set in it is damaged")
            place = 2 if form == 3 else 4
            defined = flags & 32 if form == 3 else form == 1 or self.data[start + 3] == 1
        if defined:
            end = place + 4 + self._unpack("<I", start + place)
            _require(end <= length, "a data set in it is damaged")

    def _type(self, start, length):
        """`(bytes of an item, whether it is text)`."""
        for encoded, found in known_types().items():
            if len(encoded) <= length and self.data[start : start + len(encoded)] == encoded:
                return found
        raise ValueError("it has numbers of an unknown type")

    def _shape(self, start, length):
        form, axes, flags = self._unpack("<BBB", start)
        _require(form in (1, 2) and axes <= _MAX_AXES and flags in (0, 1), "a shape in it is odd")
        place = 8 if form == 1 else 4
        _require(place + 8 * axes * (1 + flags) <= length, "a shape in it is odd")
        if form == 2 and self.data[start + 3] == 2:  # no item at all
            return (0,)
        return struct.unpack_from(f"<{axes}Q", self.data, start + place)

    def _check_attribute(self, start, length):
        form, flags, *sizes = self._unpack("<BBHHH", start)
        _require(form in (1, 2, 3) and (form == 1 or not flags), "an attribute in it is damaged")
        place = start + (9 if form == 3 else 8)
        steps = [-(-size // 8) * 8 if form == 1 else size for size in sizes]
        _require(place + sum(steps) <= start + length, "an attribute in it is damaged")
        named = sizes[0] > 0 and self.data[place + sizes[0] - 1] == 0
        _require(named, "an attribute in it has no name")
        itemsize, text = self._type(place + steps[0], sizes[1])
        count = math.prod(self._shape(place + steps[0] + steps[1], sizes[2]))
        place += sum(steps)
        fits = place + count * itemsize <= start + length
        _require(fits, "an attribute in it leads out of its header")
        for i in range(count if text else 0):
            self._check_text(*self._unpack("<IQI", place + 16 * i))

    def _check_text(self, length, address, index):
        """That a text is on the global heap at an address."""
        if not length:
            return
        if address not in self.heaps:
            self.heaps[address] = self._heap(address)
        found = self.heaps[address].get(index, -1)
        _require(length <= found, "a text in it is missing or damaged")

    def _heap(self, address):
        """`{index: bytes}` of the texts on the global heap at an address."""
        self._take(address, 16, b"GCOL\x01")
        end, place = address + self._unpack("<Q", address + 8), address + 16
        _require(end <= self.size, "a text in it is damaged")
        texts: dict[int, int] = {}
        while place + 16 <= end:
            index, _, _, size = self._unpack("<HHIQ", place)
            if index == 0:  # what is free, up to the end
                _require(place + size == end, "a text in it is damaged")
                return texts
            _require(index not in texts, "a text in it is damaged")
            texts[index] = size
            place += 16 + -(-size // 8) * 8
        _require(place == end, "a text in it is damaged")
        return texts
