"""Zip archives, whose members are compared with the file before they are read."""

import struct
import zipfile
import zlib

from keras_regionvit.files import one_line
from keras_regionvit.weights.torch_objects import COPY_AGAIN, SAVE_AGAIN, require, short

_MAX_DIRECTORY = 8 * 2**20  # torch.save writes about 100 bytes for each tensor


class _DirectoryReader:
    """A file for `zipfile`, which reads a zip's directory at once and makes objects of it."""

    def __init__(self, file):
        self.file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, count=-1):  # to the end only near the end
        if count > _MAX_DIRECTORY:
            raise zipfile.BadZipFile(f"it takes {count} bytes")
        return self.file.read(count)


def zip_infos(file):
    """The members of a zip archive.

    Args:
        file: a binary file, opened for reading.

    Returns:
        A dict of `zipfile.ZipInfo` by name.

    Raises:
        ValueError: it is no zip archive, its directory is damaged, or a name is in it twice.
    """
    try:
        infos = zipfile.ZipFile(_DirectoryReader(file)).infolist()
    except Exception as error:  # of whatever kind a damaged directory makes zipfile raise
        raise ValueError(
            f"its zip directory is invalid ({one_line(error)}); {COPY_AGAIN}"
        ) from error
    members = {info.filename: info for info in infos}
    require(len(members) == len(infos), "its zip archive has a name twice", COPY_AGAIN)
    return members


class StoredMembers:
    """The members of a zip archive that is not compressed.

    Args:
        file: a binary file, opened for reading.
        size: its bytes.

    Attributes:
        sizes: `{name: bytes}` that the members declare.

    Raises:
        ValueError: it is no zip archive, its directory is damaged, or a name is in it twice.
    """

    def __init__(self, file, size):
        self.file, self.size = file, size
        infos = zip_infos(file)
        self._infos = dict(sorted(infos.items(), key=lambda item: item[1].header_offset))
        self.sizes = {name: info.file_size for name, info in self._infos.items()}
        starts = [info.header_offset for info in self._infos.values()]
        self._ends = dict(zip(self._infos, [*starts[1:], size], strict=True))

    def read(self, name):
        """The bytes of a member.

        Raises:
            ValueError: there is none, it is compressed, encrypted, not inside of the archive, or
                its checksum is another.
        """
        file, size = self.file, self.size
        found = name in self._infos
        require(found, f"its zip archive has no member {short(name)}", COPY_AGAIN)
        info, member = self._infos[name], f"its zip member {short(name)}"
        stored = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1
        require(stored, f"{member} is compressed or encrypted", SAVE_AGAIN)
        encoding = "utf-8" if info.flag_bits & 0x800 else "cp437"
        start = b"PK\x03\x04", info.orig_filename.encode(encoding)
        valid = 0 <= info.header_offset <= size
        file.seek(info.header_offset if valid else size)
        header = file.read(30)
        lengths = struct.unpack("<HH", header[26:]) if len(header) == 30 else (0, 0)
        valid = valid and (header[:4], file.read(lengths[0])) == start
        place = info.header_offset + 30 + sum(lengths)
        valid = valid and place + info.file_size <= self._ends[name]
        require(valid, f"{member} overlaps another or the end", COPY_AGAIN)
        file.seek(place)
        data = file.read(info.file_size)
        require(zlib.crc32(data) == info.CRC, f"{member} has a wrong checksum", COPY_AGAIN)
        return data
