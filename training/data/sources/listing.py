"""What lies in a folder: the images below it, and what else there is, so that nothing is lost."""

import collections
import os
from pathlib import Path

from training.data.sources.formats import SUFFIXES, UNREAD
from training.data.sources.words import shown

# What systems leave in folders; never data.
OF_SYSTEMS = ("lost+found", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "@eaDir")
MOST_KINDS = 6


class PassedOver:
    """What lies in a data folder and is not learnt from, counted.

    Example:

    >>> passed = PassedOver()
    >>> passed.file("photos/cat/a.heic")
    >>> passed.notes()
    ('passed over: 1 .heic (such as photos/cat/a.heic)',)
    """

    def __init__(self):
        self.kinds: collections.Counter[str] = collections.Counter()
        self.first = {}
        self.folders = []

    def file(self, path):
        """Counts a file, by the end of its name."""
        kind = os.path.splitext(path)[1].lower()
        kind = kind if 1 < len(kind) <= 8 and kind.isprintable() else "without an ending"
        self.kinds[kind] += 1
        self.first.setdefault(kind, path)

    def folder(self, path, why):
        """Notes a folder, and why it is passed over."""
        self.folders.append((path, why))

    def add(self, other):
        """Takes over what another one has noted."""
        self.kinds += other.kinds
        self.first = other.first | self.first
        self.folders += other.folders

    def notes(self):
        """Sentences about it, strings of bounded length."""
        said = [f"passed over: {shown(path)}, {why}" for path, why in self.folders[:MOST_KINDS]]
        if len(self.folders) > MOST_KINDS:
            said.append(f"passed over: {len(self.folders) - MOST_KINDS} more folders")
        common = self.kinds.most_common(MOST_KINDS)
        if common:
            words = [f"{n:,} {kind} (such as {shown(self.first[kind])})" for kind, n in common]
            rest = sum(self.kinds.values()) - sum(n for _, n in common)
            words += [f"{rest:,} other files"] if rest else []
            said.append(f"passed over: {', '.join(words)}")
        return tuple(said)

    def photos(self):
        """Words for the photos of formats that are not read, such as "12 .heic"; "" for none."""
        return ", ".join(f"{self.kinds[kind]:,} {kind}" for kind in UNREAD if self.kinds[kind])


def entries(folder):
    """What lies in a folder, without what is hidden, sorted by name.

    Args:
        folder: a path.

    Returns:
        A list of `os.DirEntry`.

    Raises:
        ValueError: it is no folder, or it cannot be opened.

    Example:

    >>> [entry.name for entry in entries("flowers")]
    ['daisy', 'rose']
    """
    try:
        with os.scandir(folder) as found:
            listed = [e for e in found if e.name[0] != "." and e.name not in OF_SYSTEMS]
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"{shown(folder)} is not a folder; a folder with one folder a class was expected."
        ) from None
    except OSError as error:
        raise ValueError(
            f"{shown(folder)} cannot be opened: {error.strerror}; make it readable, or move it "
            "away."
        ) from None
    return sorted(listed, key=lambda entry: entry.name)


def folders_in(folder):
    """The folders in a folder, and links to folders: a list of `Path`, sorted."""
    return [Path(entry.path) for entry in entries(folder) if is_folder(entry)]


def is_folder(entry):
    """Whether an `os.DirEntry` is a folder or leads to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def identity(folder):
    """What two paths of one folder have in common."""
    try:
        found = os.stat(folder)
    except OSError as error:
        raise ValueError(f"{shown(folder)} cannot be opened: {error.strerror}.") from None
    return found.st_dev, found.st_ino


def images_below(folder, passed, seen, within=""):
    """The images below a folder, in folders of any depth and behind links.

    Args:
        folder: a path.
        passed: a `PassedOver`, told of all else.
        seen: dict from the `identity` of folders to the pair of `folder` and the path under which
            they were seen; those of this call are added.
        within: what the paths that are returned begin with.

    Returns:
        Paths within `folder`, strings with `/`, sorted.

    Raises:
        ValueError: a folder cannot be opened, or was seen from another `folder`.

    Example:

    >>> images_below("flowers/rose", PassedOver(), {}, "rose/")
    ['rose/1.jpg', 'rose/old/1.jpg']
    """
    found, folder = [], str(folder)
    waiting = [(folder, within)]
    while waiting:
        place, prefix = waiting.pop()
        before = seen.setdefault(identity(place), (folder, place))
        if before != (folder, place):
            _refuse_twice(folder, place, before)
            passed.folder(place, f"which leads to {shown(before[1])} again")
            continue
        for entry in entries(place):
            if is_folder(entry):
                waiting.append((entry.path, f"{prefix}{entry.name}/"))
            elif entry.name.lower().endswith(SUFFIXES) and _may_be_read(entry):
                found.append(prefix + entry.name)
            else:
                passed.file(entry.path)
    return sorted(found)


def _refuse_twice(folder, place, before):
    """Raises a `ValueError` where a folder was seen as a part of another class."""
    owner, path = before
    if owner not in (None, folder):
        raise ValueError(
            f"{shown(place)} is the same folder as {shown(path)}, so its images would be of two "
            "classes; remove one of them."
        )


def _may_be_read(entry):
    """Whether a file is no pipe or device; a link that leads nowhere counts, to be named later."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True
