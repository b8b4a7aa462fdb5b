"""`weights=`: files and downloads. The server is on loopback."""

import functools
import hashlib
import http.server
import threading

import keras
import numpy as np
import pytest

from keras_regionvit import (
    RegionViTBackbone,
    RegionViTTiny,
    build_classifier,
    load_official_weights,
    official_state_dict,
)
from keras_regionvit.weights import download, pretrained
from tests.keras_regionvit.weights import test_torch_file as torch_pickle
from tests.support import synthetic

SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def release(tmp_path_factory, manifests):
    """A folder with a checkpoint of the whole tiny model, as the release lays it out."""
    folder = tmp_path_factory.mktemp("release")
    write_release(folder / "RegionViT-Ti.pth", synthetic.state_dict(manifests["tiny"]))
    return folder


def write_release(path, arrays):
    """A checkpoint as the release lays it out, `{"model": arrays}`."""
    entries, storages = [], []
    for i, (key, array) in enumerate(arrays.items()):
        strides = [stride // 4 for stride in array.strides]
        entries.append(torch_pickle.text(key))
        entries.append(torch_pickle.tensor(str(i), array.size, 0, array.shape, strides))
        storages.append((str(i), array))
    program = torch_pickle.mapping(torch_pickle.text("model"), torch_pickle.mapping(*entries))
    torch_pickle.write(path, program, storages=storages)


@pytest.fixture(scope="module")
def expected(manifests):
    model = RegionViTTiny(weights=None, input_shape=SHAPE)
    load_official_weights(model, synthetic.state_dict(manifests["tiny"]))
    return model.predict(images(), verbose=0)


@pytest.fixture
def server(release, tmp_path, monkeypatch):
    """Serves the folder; `requests` lists what was asked for."""
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            requests.append(self.path)

        def copyfile(self, source, output):
            data = source.read()
            output.write(data[: len(data) // 2] if "cut" in self.path else data)

    handler = functools.partial(Handler, directory=release)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
        httpd.url, httpd.requests = f"http://127.0.0.1:{httpd.server_port}/", requests
        yield httpd
        httpd.shutdown()


def images():
    return np.random.default_rng(0).standard_normal((2, *SHAPE)).astype("float32")


def cached():
    return sorted(p.name.partition("-")[2] or p.name for p in download.cache_folder().iterdir())


@pytest.mark.slow
def test_imagenet_is_fetched_and_converted_once(server, expected, manifests, monkeypatch):
    monkeypatch.setattr(pretrained, "RELEASE", server.url)
    for _ in range(2):
        model = RegionViTTiny(input_shape=SHAPE)
        np.testing.assert_array_equal(model.predict(images(), verbose=0), expected)
    assert server.requests == ["/RegionViT-Ti.pth"]
    assert [p.name for p in download.cache_folder().iterdir()] == ["RegionViT-Ti.weights.h5"]
    # other parts of the same file, and another number of classes
    features = RegionViTTiny(include_top=False, pooling="avg", peg=True, window_size=4)
    assert features.output_shape == (None, 512)
    model = build_classifier(RegionViTBackbone.from_variant("tiny_w14"), classes=3)
    kept = pretrained.initialize_from(model, "imagenet", "tiny_w14")
    assert kept == ["predictions/kernel", "predictions/bias"]
    found, official = official_state_dict(model), synthetic.state_dict(manifests["tiny"])
    for key in ("norm.weight", "layers.3.block.2.attn.qkv.weight"):
        np.testing.assert_array_equal(found[key], official[key])


@pytest.mark.slow
def test_paths_and_urls(release, server, expected, tmp_path):
    path = release / "RegionViT-Ti.pth"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    model = RegionViTTiny(weights=path, input_shape=SHAPE)
    np.testing.assert_array_equal(model.predict(images(), verbose=0), expected)
    model.save(tmp_path / "own.keras")
    model.save_weights(tmp_path / "own.weights.h5")
    for weights in (
        f"{server.url}RegionViT-Ti.pth#sha256={digest}",
        tmp_path / "own.keras",
        str(tmp_path / "own.weights.h5"),
    ):
        found = RegionViTTiny(weights=weights, input_shape=SHAPE).predict(images(), verbose=0)
        np.testing.assert_array_equal(found, expected)
    assert cached() == ["RegionViT-Ti.pth"]

    # another window: our files and official ones end in the same weights
    theirs = RegionViTTiny(weights=path, input_shape=SHAPE, window_size=5)
    ours = RegionViTTiny(weights=tmp_path / "own.keras", input_shape=SHAPE, window_size=5)
    for key, value in official_state_dict(ours).items():
        np.testing.assert_allclose(value, official_state_dict(theirs)[key], atol=1e-6)


def test_own_file_of_another_model(tmp_path):
    other = RegionViTTiny(weights=None, input_shape=SHAPE, classes=5)
    other.save_weights(tmp_path / "five.weights.h5")
    with pytest.raises(ValueError, match=r"five.weights.h5 does not hold the weights of the model"):
        RegionViTTiny(weights=tmp_path / "five.weights.h5", input_shape=SHAPE)
    for name in ("text.keras", "text.weights.h5", "text.pth"):
        (tmp_path / name).write_text("no weights")
        with pytest.raises(ValueError, match=name):
            RegionViTTiny(weights=tmp_path / name, input_shape=SHAPE)


def test_another_variant(release):
    from keras_regionvit import RegionViTSmall

    with pytest.raises(ValueError, match=r"RegionViT-Ti.pth does not fit .*'regionvit_small'"):
        RegionViTSmall(weights=release / "RegionViT-Ti.pth", input_shape=SHAPE)


@pytest.mark.parametrize(
    ("tail", "sentence"),
    [
        ("RegionViT-Ti.pth#sha256=" + 64 * "0", "cannot be downloaded: .*hash"),
        ("RegionViT-Ti.pth#sha256=123", "64 hexadecimal digits"),
        ("nothing.pth", "cannot be downloaded: .*404"),
        ("RegionViT-Ti.pth?cut", "cannot be downloaded: "),
    ],
)
def test_failed_download_leaves_nothing(server, tail, sentence):
    with pytest.raises(ValueError, match=sentence):
        RegionViTTiny(weights=server.url + tail, input_shape=SHAPE)
    assert cached() == []


def test_nobody_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(ValueError, match="cannot be downloaded"):
        RegionViTTiny(weights="http://127.0.0.1:9/a.pth", input_shape=SHAPE)


def test_configuration_of_a_keras_file_is_not_read(tmp_path):
    """Only the weights are taken: a file whose configuration would run code does not run it."""
    import json
    import zipfile

    model = RegionViTTiny(weights=None, input_shape=SHAPE)
    model.save(tmp_path / "good.keras")
    with zipfile.ZipFile(tmp_path / "good.keras") as source:
        members = {name: source.read(name) for name in source.namelist()}
    config = json.loads(members["config.json"])
    config |= {"class_name": "Lambda", "module": "os", "registered_name": None}
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(tmp_path / "odd.keras", "w") as target:
        for name, data in members.items():
            target.writestr(name, data)
    with pytest.raises((TypeError, ValueError)):
        keras.models.load_model(tmp_path / "odd.keras")
    again = RegionViTTiny(weights=tmp_path / "odd.keras", input_shape=SHAPE)
    np.testing.assert_array_equal(again(images()), model(images()))
