"""A rendezvous before TensorFlow starts: all workers are there, and all are to do the same.

Each listens at its own address and asks the others, a line of JSON either way. The addresses are
free again afterwards, for TensorFlow's own servers.
"""

import contextlib
import json
import socket
import threading
import time

MAX_LINE = 1 << 20  # bytes
LONGEST = 200  # characters of a value that a message shows


def rendezvous(workers, index, shared, wait=60.0):
    """Waits for all workers and compares what they are about to do.

    Args:
        workers: addresses "host:port" of all, the same list everywhere.
        index: which of them this one is.
        shared: a dict of plain data; the workers must agree on every entry.
        wait: seconds to wait for the others.

    Raises:
        ValueError: an address is taken, a worker does not come, or one differs; one sentence
            that names it.

    Example:

    >>> rendezvous(["10.0.0.1:7000", "10.0.0.2:7000"], 0, {"seed": 0})
    """
    shared = json.loads(json.dumps({**shared, "workers": list(workers)}))
    deadline = time.monotonic() + wait
    others = [i for i in range(len(workers)) if i != index]
    asked: set[int] = set()
    server = _listen(workers[index])
    over = threading.Event()
    thread = threading.Thread(
        target=_answer, args=(server, index, shared, asked, over), daemon=True
    )
    thread.start()
    try:
        answers = {i: _ask(workers, index, i, deadline, wait) for i in others}
        while time.monotonic() < deadline and not asked >= set(others):
            time.sleep(0.02)
        for i in others:
            if i not in asked:
                raise ValueError(
                    f"worker {i} ({workers[i]}) did not reach this worker {index} "
                    f"({workers[index]}) within {wait:g} s; check addresses and firewalls."
                )
    finally:
        over.set()
        thread.join()
        server.close()
    for i, answer in answers.items():
        _compare(shared, answer["shared"], index, f"{i} ({workers[i]})")


def split_address(address):
    """`(host, port)` of "host:port".

    Raises:
        ValueError: it is none.

    Example:

    >>> split_address("10.0.0.1:7000")
    ('10.0.0.1', 7000)
    """
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(
            f"a worker must be host:port, such as 10.0.0.1:7000. Received: {address!r}"
        )
    return host.strip("[]"), int(port)


def _listen(address):
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("", port))
        server.listen(128)
    except OSError as error:
        server.close()
        raise ValueError(
            f"this worker cannot listen on port {port} of {address}: {error.strerror}."
        ) from None
    server.settimeout(0.1)
    return server


def _answer(server, index, shared, asked, over):
    """Answers all who ask, and notes them in `asked`, until `over` is set."""
    line = json.dumps({"index": index, "shared": shared}).encode() + b"\n"
    while not over.is_set():
        try:
            caller, _ = server.accept()
        except OSError:
            continue
        # a stranger, or one that hangs up, is no worker: wait on
        with caller, contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            caller.settimeout(2)
            caller.sendall(line)
            asked.add(int(_line(caller)["index"]))


def _ask(workers, index, other, deadline, wait):
    """What another worker says, as soon as it is there."""
    address = split_address(workers[other])
    reason = "no answer"
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(address, timeout=2) as connection:
                answer = _line(connection)
                if answer.get("index") != other or not isinstance(answer.get("shared"), dict):
                    raise ValueError("another program, or a worker with another --index, answered")
                connection.sendall(json.dumps({"index": index}).encode() + b"\n")
                return answer
        except OSError as error:
            reason = error.strerror or str(error)
        except ValueError as error:
            reason = str(error).splitlines()[0]
        time.sleep(0.1)
    raise ValueError(
        f"worker {other} ({workers[other]}) cannot be reached within {wait:g} s: {reason}."
    )


def _line(connection):
    """The JSON of one line.

    Raises:
        ValueError: it is none.
    """
    data = b""
    while not data.endswith(b"\n"):
        more = connection.recv(65536)
        if not more or len(data) > MAX_LINE:
            raise ValueError("another program answered")
        data += more
    answer = json.loads(data)
    if not isinstance(answer, dict):
        raise ValueError("another program answered")
    return answer


def _compare(mine, theirs, index, who):
    """Checks that another worker is to do the same; says the first difference."""
    difference = _difference(mine, theirs)
    if difference is not None:
        (first, *rest), here, there = difference
        name = f"{first}: {'.'.join(rest)}" if rest else first
        raise ValueError(
            f"worker {who} is about to do something else than this worker {index}: {name} is "
            f"{repr(there)[:LONGEST]} there and {repr(here)[:LONGEST]} here; start all with the "
            "same command but --index, on machines alike."
        )


def _difference(mine, theirs):
    """`(keys that lead there, here, there)` of the first difference of two dicts, or `None`."""
    for key in sorted({*mine, *theirs}):
        here, there = mine.get(key), theirs.get(key)
        if isinstance(here, dict) and isinstance(there, dict):
            within = _difference(here, there)
            if within is not None:
                return [key, *within[0]], *within[1:]
        elif here != there:
            return [key], here, there
    return None
