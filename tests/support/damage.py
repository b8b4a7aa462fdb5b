"""Files damaged at random, and what readers make of them: time, memory, errors.

`MUTATIONS=2000` in the environment is the whole count for each format.
"""

import dataclasses
import io
import os
import random
import time
import zipfile
from pathlib import Path

COUNT = int(os.environ.get("MUTATIONS", "20"))
SLOWEST = 2.0  # seconds of this process
NOISE = 48 * 2**20  # bytes that the allocators of NumPy and TensorFlow take or keep by themselves


@dataclasses.dataclass
class Survey:
    """What became of damaged files."""

    read: int = 0
    refused: int = 0
    longest: float = 0.0  # seconds of this process, whatever else the machine does
    peak: int = 0  # bytes above what the process had before

    def __str__(self):
        return (
            f"{self.refused} refused, {self.read} read, longest {self.longest:.2f} s, "
            f"peak {self.peak / 2**20:.1f} MiB"
        )


def survey(path, read, change, allowed, check=lambda refused: None, named=None):
    """Lets `read()` read `COUNT` damaged versions of the file at `path`.

    `change(data, rng)` damages; `check(refused)` looks at what is left behind; `allowed` is the
    number of bytes that may be taken. Any other error than a `ValueError` of one short line with
    `named`, the file's name without it, goes through.
    """
    path, found = Path(path), Survey()
    original = path.read_bytes()
    for i in range(COUNT):
        path.write_bytes(change(original, random.Random(i)))
        before, begun = reset_peak(), time.process_time()
        try:
            read()
        except ValueError as error:
            text, refused = str(error), True
            assert (named or path.name) in text and len(text) < 1500 and "\n" not in text, (i, text)
        else:
            refused = False
        found.longest = max(found.longest, time.process_time() - begun)
        found.peak = max(found.peak, peak() - before)
        found.refused += refused
        found.read += not refused
        check(refused)
    path.write_bytes(original)
    read()
    assert found.refused > COUNT // 10, found
    assert found.longest < SLOWEST and found.peak < allowed + NOISE, found
    print(path.name, found)
    return found


def reset_peak():
    """Resident bytes of this process, from which `peak` counts on."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return 1024 * int(line.split()[1])
    raise AssertionError


def cut_and_flipped(data, rng):
    """Bytes cut, flipped, or with ranges doubled, dropped or exchanged."""
    a, b, c, d = sorted(rng.randint(0, len(data)) for _ in range(4))
    kind = rng.randrange(6)
    if kind == 0:
        return data[:a]
    if kind == 1:
        return data[:b] + data[a:]
    if kind == 2:
        return data[:a] + data[min(b, a + rng.randint(1, 50)) :]
    if kind == 3:
        return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]
    flipped = bytearray(data or b"\0")
    for _ in range(rng.choice([1, 1, 2, 8, 100])):
        place = rng.randrange(len(flipped))
        flipped[place] = rng.choice([0, 255, flipped[place] ^ 1 << rng.randrange(8)])
    return bytes(flipped)


def members(change):
    """Damages a zip archive below its checksums, or as a whole; `change` is of a member."""

    def changed(data, rng):
        if rng.random() < 0.3:
            return cut_and_flipped(data, rng)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        one = rng.choice(list(content))
        content[one] = change(content[one], rng)
        out = io.BytesIO()
        method = rng.choice([zipfile.ZIP_STORED] * 3 + [zipfile.ZIP_DEFLATED])
        with zipfile.ZipFile(out, "w", method) as archive:
            for name, value in content.items():
                archive.writestr(name, value)
        return out.getvalue()

    return changed


NONSENSE = (
    None, True, False, -1, 0, 1.5, 10**30, 10**400, float("nan"), float("inf"), float("-inf"),
    "", "x", "\0", "x" * 100_000, [], ["x"], [None], [-1, 0], {}, {"x": 1}, [[[[[]]]]],
)  # fmt: skip


def places(value, path=()):
    """Paths of all values within plain data."""
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def replaced(value, path, new):
    """A copy of plain data with another value at a path."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy
