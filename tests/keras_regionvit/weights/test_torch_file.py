"""The reader of PyTorch files: what torch writes, what an attacker writes, what damage does.

Run as a script, this file is the child process of `test_survives_damage`.
"""

import copyreg
import faulthandler
import pickle
import random
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import types
import zipfile
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parents[2] / "golden" / "torch_files"
NAMES = ("zip.pth", "legacy.pth", "protocol4.pth", "bare.pth")
ROOT = Path(__file__).parents[3]

if __name__ == "__main__":  # without the package, so that the child imports NumPy only
    for name in ("keras_regionvit", "keras_regionvit.weights"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(ROOT.joinpath(*name.split(".")))]
    from keras_regionvit.weights.torch_file import read_torch_file
else:
    import pytest

    from keras_regionvit.weights.torch_file import read_torch_file


def main():
    """Reads 2,000 damaged files: each is a ValueError, or is still data."""
    path = Path(tempfile.mkdtemp()) / "file.pth"
    events, watching = set(), False
    "".encode("cp437")  # the codec of old zip archives is a module, to be imported by now

    def audit(event, args):
        if watching and not (event == "open" and args[:2] == (str(path), "r")):
            events.add(event)

    sys.addaudithook(audit)
    rng, read, peaks = random.Random(0), dict.fromkeys(NAMES, 0), []
    originals = {name: (GOLDEN / name).read_bytes() for name in NAMES}
    expected = {name: contents(read_torch_file(GOLDEN / name)) for name in NAMES}
    tracemalloc.start()
    for i in range(2000):
        name = NAMES[i % len(NAMES)]
        zipped = name != "legacy.pth"
        inside = zipped and rng.random() < 0.5  # below the checksums
        data = (damaged_members if inside else damaged)(originals[name], rng)
        path.write_bytes(data)
        faulthandler.dump_traceback_later(20, exit=True)
        tracemalloc.reset_peak()
        before, watching = tracemalloc.get_traced_memory()[0], True
        try:
            arrays = read_torch_file(path)
        except ValueError as error:
            arrays, message = None, str(error)
        watching = False
        peaks.append((tracemalloc.get_traced_memory()[1] - before) / max(len(data), 1000))
        if arrays is None:
            assert message.startswith(f"The file {str(path)!r} is no readable checkpoint: "), (
                message
            )
            continue
        read[name] += 1
        assert all(type(k) is str and type(v) is np.ndarray for k, v in arrays.items())
        assert not zipped or inside or contents(arrays) == expected[name], "unnoticed damage"
    path.unlink()
    path.parent.rmdir()
    faulthandler.cancel_dump_traceback_later()
    assert not events, events
    assert not {"torch", "tensorflow", "keras"} & set(sys.modules)
    print(sum(read.values()), min(read.values()), max(peaks))


def contents(arrays):
    return {key: (array.dtype.str, array.shape, array.tobytes()) for key, array in arrays.items()}


def damaged(data, rng):
    """Returns `data` cut, flipped, or with ranges of it doubled, dropped or exchanged."""
    a, b, c, d = sorted(rng.randint(0, len(data)) for _ in range(4))
    kind = rng.randrange(5)
    if kind == 0:
        return data[:a]
    if kind == 1:
        return data[:b] + data[a:]
    if kind == 2:
        return data[:a] + data[min(b, a + rng.randint(1, 50)) :]
    if kind == 3:
        return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]
    flipped = bytearray(data or b"\0")
    for _ in range(rng.choice([1, 1, 2, 8])):
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def damaged_members(data, rng):
    """Returns a zip with a damaged member, or two exchanged, and checksums that agree."""
    path = Path(tempfile.mkdtemp()) / "members.pth"
    path.write_bytes(data)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    names = [name for name in members if "data" in name]
    one, two = rng.sample(names, 2)
    if rng.random() < 0.3:
        members[one], members[two] = members[two], members[one]
    else:
        one = one if rng.random() < 0.3 else next(n for n in names if n.endswith("/data.pkl"))
        members[one] = damaged(members[one], rng)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    result = path.read_bytes()
    path.unlink()
    path.parent.rmdir()
    return result


if __name__ == "__main__":
    main()
    sys.exit()


def test_survives_damage():
    """No other error, no other audit event than opening the file, no hang, little memory."""
    command = [sys.executable, "-W", "error", __file__]
    child = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert child.returncode == 0, child.stderr
    read, fewest, peak = map(float, child.stdout.split())
    assert fewest > 20 and read < 1500  # of 2,000: the damage mattered, and not always
    assert peak < 60


# --- What torch.save writes ---


def assert_equal(arrays, expected):
    assert list(arrays) == list(expected)
    assert contents(arrays) == contents(expected)
    for array in arrays.values():
        assert array.flags.c_contiguous and not array.flags.writeable


@pytest.mark.parametrize("name", NAMES)
def test_reads_the_golden_files(name):
    with np.load(GOLDEN / "expected.npz") as arrays:
        bare = {k.removeprefix("bare."): v for k, v in arrays.items() if k.startswith("bare.")}
        rest = {k: v for k, v in arrays.items() if not k.startswith("bare.")}
    assert_equal(read_torch_file(GOLDEN / name), bare if name == "bare.pth" else rest)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_reads_what_torch_writes(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    rng, path, state = random.Random(0), tmp_path / "file.pth", {}
    torch.manual_seed(0)
    for i in range(40):
        dtype = rng.choice([torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool])
        size = [rng.randint(0, 4) for _ in range(rng.randint(0, 4))]
        stride = [rng.randint(0, 30) for _ in size]
        numbers = torch.randint(-2, 3, (500,)).to(dtype)
        state[f"view{i}"] = numbers.as_strided(size, stride, rng.randint(0, 50))
    state["parameter"] = torch.nn.Parameter(torch.randn(3))
    state["parameter"].note = "an attribute"
    wide = {k: v.float() if v.dtype == torch.bfloat16 else v for k, v in state.items()}
    arrays = {k: v.detach().contiguous().numpy() for k, v in wide.items()}
    for protocol in (2, 3, 4, 5):
        how = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": zipped}
        torch.save({"state_dict": state, "ema": state}, path, **how)
        assert_equal(read_torch_file(path), arrays)


@pytest.mark.parametrize("name", ["uint16", "sparse", "numpy", "module", "number"])
def test_names_what_is_no_plain_tensor(tmp_path, name):
    torch = pytest.importorskip("torch")
    values = {
        "uint16": torch.zeros(3, dtype=torch.uint16),
        "sparse": torch.eye(3).to_sparse(),
        "numpy": np.ones(3, "f4"),
        "module": torch.nn.Linear(2, 2),
        "number": 3,
    }
    torch.save({"model": {"w": torch.ones(2), "odd": values[name]}}, tmp_path / "file.pth")
    with pytest.raises(ValueError, match=r"file\.pth.* entry 'odd' is of type"):
        read_torch_file(tmp_path / "file.pth")


# --- Files assembled by hand ---


def text(value):
    data = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def integer(value):
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return pickle.LONG1 + bytes([len(data)]) + data


def group(*items):
    return b"(" + b"".join(items) + b"t"


def mapping(*keys_and_values):
    return b"}(" + b"".join(keys_and_values) + b"u"


def tensor(key="0", count=6, offset=0, size=(2, 3), stride=(3, 1), kind=b"Float"):
    kind = b"ctorch\n%sStorage\n" % kind
    storage = group(text("storage"), kind, text(key), text("cpu"), integer(count)) + b"Q"
    size, stride = group(*map(integer, size)), group(*map(integer, stride))
    hooks = b"ccollections\nOrderedDict\n)R"
    args = group(storage, integer(offset), size, stride, b"\x89", hooks)
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + args + b"R"


NUMBERS = np.arange(6, dtype="<f4")
GOOD = {"w": NUMBERS.reshape(2, 3)}
GOOD["w"].flags.writeable = False
FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def write(path, program, zipped=True, storages=(("0", NUMBERS),), members=(), machine="little"):
    """Writes opcodes and storages as torch.save would, `members` too if it is a zip."""
    program = b"\x80\x02" + program + b"."
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.pkl", program)
            archive.writestr("a/byteorder", machine)
            for key, array in storages:
                archive.writestr(f"a/data/{key}", array.tobytes())
            for name, data in members:
                archive.writestr(name, data)
        return path
    header = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": machine == "little"})
    with open(path, "wb") as file:
        file.write(b"".join(pickle.dumps(value, 2) for value in header) + program)
        file.write(pickle.dumps([key for key, _ in storages], 2))
        for _, array in storages:
            file.write(struct.pack("<q", array.size) + array.tobytes())
    return path


def beside(fragment):
    """A checkpoint with one good weight, and what `fragment` pushes beside the state dict."""
    return mapping(text("args"), fragment, text("model"), mapping(text("w"), tensor()))


def as_weight(fragment):
    return mapping(text("model"), mapping(text("w"), fragment))


def refuse(path, match, read=read_torch_file):
    with pytest.raises(ValueError, match=match) as caught:
        read(path)
    assert str(caught.value).startswith(f"The file {str(path)!r} is no readable checkpoint: ")
    assert len(str(caught.value)) < 600 + len(str(path))


def read_bounded(path):
    """Reads a file; no opcode or byte of it may take long, or much memory."""
    faulthandler.dump_traceback_later(60, exit=True)
    tracemalloc.start()
    try:
        return read_torch_file(path)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        faulthandler.cancel_dump_traceback_later()
        assert peak < 500_000 + 120 * path.stat().st_size


# --- Calls ---

CALLS = []


def canary(*args):
    CALLS.append(args)
    return canary


class Canary:
    """Tells of every way into it that a pickle has."""

    method = staticmethod(canary)

    def __new__(cls, *args, **kwargs):
        CALLS.append(args)
        return super().__new__(cls)

    def __setstate__(self, state):
        CALLS.append(state)


HERE, EXTENSION = __name__.encode(), 241
CALLING = {
    "reduce": b"c%s\ncanary\n)R" % HERE,
    "reduce twice": b"c%s\ncanary\n)R)R" % HERE,
    "nested name": text(__name__) + text("Canary.method") + b"\x93)R",
    "newobj": b"c%s\nCanary\n)\x81" % HERE,
    "newobj_ex": b"c%s\nCanary\n)}\x92" % HERE,
    "build": b"c%s\nCanary\n)\x81}b" % HERE,
    "getattr": b"cbuiltins\ngetattr\n" + group(b"c%s\nCanary\n" % HERE, text("method")) + b"R)R",
    "eval": b"cbuiltins\neval\n"
    + group(text(f"__import__('sys').modules[{__name__!r}].canary()"))
    + b"R",
    "os.system": b"cos\nsystem\n" + group(text("exit 3")) + b"R",
    "inst": b"(i%s\ncanary\n" % HERE,
    "obj": b"(c%s\ncanary\no" % HERE,
    "extension": b"\x82" + bytes([EXTENSION]) + b")R",
}
REFUSED = ("inst", "obj", "extension")  # opcodes that torch.save never writes


@pytest.fixture
def calls(monkeypatch):
    CALLS.clear()
    monkeypatch.setattr("os.system", canary)
    copyreg.add_extension(__name__, "canary", EXTENSION)
    yield CALLS
    copyreg.remove_extension(__name__, "canary", EXTENSION)


@FORMATS
@pytest.mark.parametrize("name", CALLING)
def test_calls_nothing(tmp_path, calls, name, zipped):
    pickle.loads(b"\x80\x04" + CALLING[name] + b".")
    assert calls, "this attack would not have worked on Python's own unpickler either"
    calls.clear()
    path = write(tmp_path / "file.pth", beside(CALLING[name]), zipped)
    if name in REFUSED:
        refuse(path, "unknown opcode")
    else:
        assert_equal(read_bounded(path), GOOD)
    path = write(tmp_path / "file.pth", as_weight(CALLING[name]), zipped, storages=())
    refuse(path, "unknown opcode|entry 'w' is of type")
    assert not calls


# --- Depth, bombs, lengths, nonsense ---

DEEP = 100_000
BOMB = b")" + b"q\x00h\x00\x86" * 100  # 2**100 empty tuples, one opcode each
INERT = {
    "deep list": b"]" * DEEP + b"a" * (DEEP - 1),
    "deep tuple": b")" + b"\x85" * DEEP,
    "deep dict": b"}N" * DEEP + b"}" + b"s" * DEEP,
    "deep key": b"})" + b"\x85" * DEEP + b"Ns",
    "deep calls": b"ca\nb\n" + b")R" * DEEP,
    "bomb": BOMB,
    "bomb as a key": b"}" + BOMB + b"Ns",
    "bomb in a set": b"\x8f(" + BOMB + b"\x90",
    "colliding keys": b"}(" + b"".join(integer(i * (2**61 - 1)) + b"N" for i in range(DEEP)) + b"u",
    "list in itself": b"]q\x00h\x00a",
    "dict in itself": b"}q\x00Nh\x00s",
    "dict as its own key": b"}q\x00h\x00Ns",
    "frame": b"\x95" + b"\xff" * 8 + b"N",
    "frozenset": b"(N\x91",
    "state on a number": b"K\x01}b",
}
END, SENSE, ODD = "no end", "invalid near byte", "unknown opcode"
INVALID = {
    "LONG4": (b"\x8b" + struct.pack("<i", 2**31 - 1), END),
    "negative LONG4": (b"\x8b" + struct.pack("<i", -1), END),
    "BINBYTES": (b"B" + b"\xff" * 4, END),
    "BINBYTES8": (b"\x8e" + struct.pack("<q", 2**40), END),
    "BYTEARRAY8": (b"\x96" + b"\xff" * 8, END),
    "BINUNICODE8": (b"\x8d" + b"\xff" * 8, END),
    "not UTF-8": (b"X\x01\x00\x00\x00\xff", SENSE),
    "long name": (b"c" + b"x" * 5000 + b"\ny\n", "name without an end"),
    "long STACK_GLOBAL": (text("x" * 5000) + text("y") + b"\x93", "no short text"),
    "STACK_GLOBAL of None": (b"NN\x93", "no short text"),
    "empty stack": (b"0" * 9, SENSE),
    "no memo": (b"h\x63", SENSE),
    "call of None": (b"N)R", "calls what has no name"),
    "call with a list": (b"ca\nb\n]R", "calls what has no name"),
    "append to None": (b"NNa", "appends to no list"),
    "items of None": (b"NNNs", "items of no dict"),
    "half an item": (b"}(Nu", "items of no dict"),
    "protocol 9": (b"\x80\x09", "protocol 9, not 2 to 5"),
    "DUP": (b"N2", ODD),
    "PERSID": (b"P0\n", ODD),
    "NEXT_BUFFER": (b"\x97", ODD),
    "no opcode": (b"\xf5", ODD),
    "reference to a number": (b"K\x01Q", "no tensor's storage"),
    "reference to a bomb": (BOMB + b"Q", "no tensor's storage"),
    "reference to a module": (
        group(text("module"), b"ca\nb\n", b"NN") + b"Q",
        "no tensor's storage",
    ),
    "two types": (tensor(kind=b"Int"), "'0' has two types or sizes"),
    "two sizes": (tensor(count=7), "'0' has two types or sizes"),
}


@pytest.mark.parametrize("name", INERT)
def test_skips_what_is_no_weight(tmp_path, name):
    path = write(tmp_path / "file.pth", beside(INERT[name]))
    assert_equal(read_bounded(path), GOOD)
    refuse(write(path, as_weight(INERT[name])), "entry 'w' is of type")
    refuse(write(path, INERT[name]), "it holds a|it has no tensors")


@FORMATS
@pytest.mark.parametrize("name", INVALID)
def test_refuses_invalid_pickles(tmp_path, name, zipped):
    fragment, match = INVALID[name]
    refuse(write(tmp_path / "file.pth", beside(fragment), zipped), match, read_bounded)


def test_refuses_endless_pickles(tmp_path):
    path = write(tmp_path / "file.pth", beside(b"N0" * 600_000))
    refuse(path, "more than 1,000,000 opcodes")


BAD = "no valid storage, offset, size or stride"
OUTSIDE, REPEATS = "not inside its storage", "'w' repeats numbers up to"
TENSORS = {
    "huge": (tensor(size=(2**40,), stride=(1,)), OUTSIDE),
    "huge by stride 0": (tensor(size=(2**40,), stride=(0,)), REPEATS),
    "huge product": (tensor(size=(2**40,) * 9, stride=(0,) * 9), REPEATS),
    "huge and empty": (tensor(size=(0,) + (2**40,) * 9, stride=(0,) * 10), "array is too big"),
    "huger": (tensor(size=(2**90,), stride=(0,)), BAD),
    "negative size": (tensor(size=(-2, 3)), BAD),
    "negative stride": (tensor(offset=5, stride=(-3, -1)), BAD),
    "negative offset": (tensor(offset=-1), BAD),
    "offset": (tensor(offset=1), OUTSIDE),
    "offset of none": (tensor(offset=7, size=(0,), stride=(1,)), OUTSIDE),
    "one stride": (tensor(stride=(1,)), BAD),
    "99 axes": (tensor(size=(1,) * 99, stride=(1,) * 99), BAD),
    "sizes that are true": (tensor().replace(integer(2), b"\x88"), BAD),
    "no storage": (tensor().replace(b"Q", b"0N", 1), BAD),
    "unknown numbers": (tensor(kind=b"QInt8"), "type 'torch QInt8Storage'|not those that"),
    "conjugate": (tensor()[:-2] + b"\x88tR", "lazily conjugated"),
    "two arguments": (b"ctorch._utils\n_rebuild_tensor_v2\nNN\x86R", "is of type|not those"),
    "other key": (tensor(key="../1"), "has no member 'a/data/../1'|not those that"),
    "short storage": (tensor(count=7), "has 24 bytes, not 28|not its declared size"),
    "long storage": (tensor(count=2**47), "has 24 bytes|not its declared size"),
}


@FORMATS
@pytest.mark.parametrize("name", TENSORS)
def test_refuses_invalid_tensors(tmp_path, name, zipped):
    fragment, match = TENSORS[name]
    refuse(write(tmp_path / "file.pth", as_weight(fragment), zipped), match, read_bounded)


@FORMATS
def test_bounds_the_copies_of_one_storage(tmp_path, zipped):
    numbers = np.arange(10_000, dtype="<f4").reshape(100, 100)
    view = tensor(count=10_000, size=(100, 100), stride=(1, 100))
    for views in (4, 5):
        state = mapping(*(text(str(i)) + view for i in range(views)))
        path = write(tmp_path / "file.pth", state, zipped, storages=[("0", numbers)])
        if views == 4:
            transposed = np.ascontiguousarray(numbers.T)
            transposed.flags.writeable = False
            assert_equal(read_bounded(path), dict.fromkeys("0123", transposed))
        else:
            refuse(path, "entry '4' repeats numbers", read_bounded)


def test_refuses_keys_and_dicts_that_hold_no_weights(tmp_path):
    path = tmp_path / "file.pth"
    refuse(write(path, mapping(text("model"), mapping(integer(1), tensor()))), "no text")
    refuse(write(path, mapping(text("model"), mapping(), text("w"), tensor())), "no tensors")
    refuse(write(path, mapping(text("epoch"), integer(3))), "no tensors")
    refuse(write(path, mapping(text("w"), tensor(), text("epoch"), integer(3))), "'epoch' is of")


# --- Containers ---


def test_refuses_other_files(tmp_path):
    path = tmp_path / "file.pth"
    for data, match in {
        b"": "begins with b''",
        b"<!DOCTYPE html>": "begins with b'<!DOCTYP'",
        b"\x80": "no end",
        b"PK\x03\x04": "zip directory is invalid",
        pickle.dumps({"w": 1}, 2): "none of torch.save",
        bytes(257) + b"ustar" + bytes(250): "tar archive",
        (GOLDEN / "legacy.pth").read_bytes() + b"\x00": "bytes where",
        (GOLDEN / "legacy.pth").read_bytes()[:-1]: "bytes where",
        (GOLDEN / "zip.pth").read_bytes()[:-1]: "zip directory is invalid",
    }.items():
        path.write_bytes(data)
        refuse(path, match)
    with pytest.raises(FileNotFoundError):
        read_torch_file(tmp_path / "none.pth")
    with pytest.raises(ValueError, match="is not a regular file"):
        read_torch_file(tmp_path)


@FORMATS
def test_refuses_big_endian(tmp_path, zipped):
    refuse(write(tmp_path / "file.pth", as_weight(tensor()), zipped, machine="big"), "byte order")


def test_refuses_odd_zip_archives(tmp_path):
    path, good = tmp_path / "file.pth", as_weight(tensor())
    refuse(write(path, good, storages=()), "has no member 'a/data/0'")
    refuse(write(path, good, members=[("b/data.pkl", "")]), "not one data.pkl")
    refuse(write(path, good, members=[("a/constants.pkl", "")]), "TorchScript")
    data = write(path, good, members=[("a/data/1", b"")]).read_bytes()
    path.write_bytes(data.replace(b"a/data/1", b"a/data/0"))
    refuse(path, "a name twice")
    size = 9 * 10**6  # of a directory that would become a list of 200,000 objects
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0, 0, size, 4, 0)
    path.write_bytes(b"PK\3\4" + bytes(size) + end)
    refuse(path, "zip directory is invalid .it takes 9000000 bytes")
    zeros = np.zeros(10**7, "<f4")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + as_weight(tensor(count=10**7)) + b".")
        archive.writestr("a/data/0", zeros.tobytes())
    refuse(path, "'a/data.pkl' is compressed")
    data = bytearray(write(path, good).read_bytes())
    data[data.index(NUMBERS.tobytes()) + 5] ^= 1
    path.write_bytes(data)
    refuse(path, "'a/data/0' has a wrong checksum")


def test_refuses_zip_members_that_overlap(tmp_path):
    """Many names for one stretch of the file would be many times its size in memory."""
    path = write(tmp_path / "file.pth", as_weight(tensor()), members=[("a/data/1", bytes(24))])
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        first, second = (archive.getinfo(f"a/data/{i}").header_offset for i in range(2))
    at = data.rindex(struct.pack("<I", second))
    path.write_bytes(data[:at] + struct.pack("<I", first) + data[at + 4 :])
    refuse(path, "overlaps another")


# --- A real size ---


@pytest.mark.slow
@FORMATS
def test_reads_120_megabytes_in_little_memory(tmp_path, zipped):
    count, shape = 120_000, (300, 400)
    arrays = [np.arange(count, dtype="<f4") + i for i in range(250)]
    pairs = [text(f"layer{i}") + tensor(str(i), count, 0, shape, (400, 1)) for i in range(250)]
    storages = [(str(i), array) for i, array in enumerate(arrays)]
    program = mapping(text("model"), mapping(*pairs))
    path = write(tmp_path / "file.pth", program, zipped, storages)
    tracemalloc.start()
    read = read_torch_file(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.1 * path.stat().st_size
    assert list(read) == [f"layer{i}" for i in range(250)]
    for array, expected in zip(read.values(), arrays, strict=True):
        assert array.dtype == np.float32 and np.array_equal(array, expected.reshape(shape))
