"""Budgets of every model, and the counter behind the GMACs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.flops import count_macs
from benchmarks.model_table import ROWS, build, format_row, main
from keras_regionvit import list_models
from keras_regionvit.variants import VARIANTS

# 1000 classes; counted on the official PyTorch modules.
PARAMETERS = {
    "tiny": 13_842_676,
    "tiny_plus": 14_336_820,
    "small": 30_586_618,
    "small_plus": 31_327_834,
    "medium": 41_215_906,
    "medium_plus": 41_997_442,
    "base": 72_747_232,
    "base_plus": 73_789_280,
    "tiny_w14": 14_354_740,
    "small_w14": 31_354_714,
    "medium_w14": 42_024_322,
    "base_w14": 73_825_120,
    "tiny_w14_peg": 14_363_380,
    "small_w14_peg": 31_367_674,
    "medium_w14_peg": 42_037_282,
    "base_w14_peg": 73_842_400,
    "base_plus_384": 76_514_080,
}


# --- the models ----------------------------------------------------------------------------


@pytest.fixture
def without_values():
    """Variables made in the test have shapes but no values: building takes no memory."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.backend.clear_session()  # forgets them, so that nobody initialises them later


def test_no_model_is_missing():
    assert set(list_models()) <= set(PARAMETERS)
    assert set(PARAMETERS) == set(ROWS)
    assert [row.variant for row in ROWS.values()][: len(VARIANTS)] == list_models()


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name, without_values):
    assert build(ROWS[name]).count_params() == PARAMETERS[name]


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.paper])
def test_parameters_round_to_the_papers(name):
    assert round(PARAMETERS[name] / 1e6, 1) == ROWS[name].paper.parameters


def test_table(capsys):
    main(["--models", "tiny", "small_plus"])
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ["model", "image", "parameters", "GMACs"]
    assert [line.split() for line in lines] == [
        ["tiny", "224", "13,842,676", "2.415", "13.8", "+0.3", "2.4", "+0.6"],
        ["small_plus", "224", "31,327,834", "5.695", "31.3", "+0.1", "5.7", "-0.1"],
    ]
    assert len({len(line) for line in [header, *lines]}) == 1


def test_table_refuses_an_unknown_model(capsys):
    with pytest.raises(SystemExit):
        main(["--models", "tiny", "huge"])
    assert "'huge'" in capsys.readouterr().err


def test_exact_count():
    # the official module's 5,339,039,232, less two encoders' regional attention of one token,
    # a query times a key and a weight times a value of 768 channels
    assert count_macs(build(ROWS["small"])) == 5_339_039_232 - 2 * 2 * 768


def test_row_without_paper():
    line = format_row("small_w14", ROWS["small_w14"], 31_354_714, 7_887_000_000)
    assert line.split() == ["small_w14", "224", "31,354,714", "7.887", "-", "-", "-", "-"]


def test_row_with_note():
    line = format_row("base_plus_384", ROWS["base_plus_384"], 76_500_000, 45_591_000_000)
    values = ["base_plus_384", "384", "76,500,000", "45.591", "76.5", "+0.0", "42.6", "+7.0"]
    assert line.split()[:8] == values
    assert line.endswith("  the paper's GFLOPs are not reproduced")


# --- the counter ---------------------------------------------------------------------------


class Apply(keras.layers.Layer):
    """A TensorFlow function of the input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)

    def compute_output_spec(self, x):  # Keras must not trace it: only the counter does
        return keras.KerasTensor(x.shape, dtype=x.dtype)


def sequence(input_shape, *layers, dtype="float32"):
    x = image = keras.Input(input_shape, dtype=dtype)
    for layer in layers:
        x = (layer if isinstance(layer, keras.layers.Layer) else Apply(layer))(x)
    return keras.Model(image, x)


layers = keras.layers

LAYERS = {
    "dense": ((7, 11), layers.Dense(13), 7 * 11 * 13),
    "dense of a vector": ((11,), layers.Dense(13), 11 * 13),
    # 13x19 under a 2x3 kernel -> 12x17
    "convolution": ((13, 19, 5), layers.Conv2D(7, (2, 3)), 12 * 17 * 7 * 2 * 3 * 5),
    # rows 0, 3, .. 9 and columns 0, 3, .. 15 begin a kernel
    "strided": ((13, 19, 5), layers.Conv2D(7, (2, 3), strides=3), 4 * 6 * 7 * 2 * 3 * 5),
    "padded": ((13, 19, 5), layers.Conv2D(7, (2, 3), padding="same"), 13 * 19 * 7 * 2 * 3 * 5),
    "one axis": ((13, 5), layers.Conv1D(7, 3), 11 * 7 * 3 * 5),
    "three axes": ((7, 11, 13, 5), layers.Conv3D(17, (2, 3, 1)), 6 * 9 * 13 * 17 * 6 * 5),
    # every input entry meets each tap and filter
    "transposed": ((13, 19, 5), layers.Conv2DTranspose(7, (2, 3), strides=2), 247 * 5 * 7 * 6),
    "transposed, three axes": (
        (2, 3, 7, 5),
        layers.Conv3DTranspose(11, (1, 2, 3)),
        42 * 5 * 11 * 6,
    ),
    "depthwise": ((13, 19, 5), layers.DepthwiseConv2D((2, 3)), 12 * 17 * 5 * 2 * 3),
    "depthwise, more channels": (
        (13, 19, 5),
        layers.DepthwiseConv2D((2, 3), depth_multiplier=7),
        12 * 17 * 5 * 7 * 2 * 3,
    ),
    # Keras compiles it on its own: a called function; each filter sees 10 / 2 channels
    "groups": ((13, 19, 10), layers.Conv2D(14, (2, 3), groups=2), 12 * 17 * 14 * 2 * 3 * 5),
}


@pytest.mark.parametrize(("shape", "layer", "macs"), LAYERS.values(), ids=LAYERS)
def test_layer(shape, layer, macs):
    assert count_macs(sequence(shape, layer)) == macs


@tf.function
def _gram(x):
    return tf.matmul(x, x, transpose_b=True)


# of x (1, 2, 3, 5)
FUNCTIONS = {
    "einsum": (lambda x: tf.einsum("bgqd,bgkd->bgqk", x, x[:, :, :1]), 2 * 3 * 1 * 5),
    "einsum, an outer product": (lambda x: tf.einsum("bgqd,e->bqdge", x, tf.ones(7)), 30 * 7),
    "einsum, ellipsis": (lambda x: tf.einsum("...qd,dk->...qk", x, tf.ones((5, 7))), 30 * 7),
    "einsum, broadcast": (lambda x: tf.einsum("...d,...d->...", x, tf.ones((7, 1, 1, 5))), 7 * 30),
    "einsum, a transpose": (lambda x: tf.einsum("bgqd->bdqg", x), 0),
    "einsum, a sum": (lambda x: tf.einsum("bgqd->bg", x), 0),
    "matmul": (lambda x: tf.matmul(x, tf.ones((5, 7))), 30 * 7),
    "matmul, left transposed": (lambda x: tf.matmul(x, tf.ones((3, 7)), transpose_a=True), 30 * 7),
    "matmul, right transposed": (lambda x: tf.matmul(x, x, transpose_b=True), 2 * 3 * 3 * 5),
    "matmul, broadcast": (lambda x: tf.matmul(tf.ones((7, 1, 11, 3)), x), 7 * 2 * 11 * 3 * 5),
    "matmul of two axes": (lambda x: tf.matmul(x[0, 0], tf.ones((3, 7)), transpose_a=True), 105),
    "not a product": (lambda x: tf.nn.softmax(x * 2) + 1, 0),
    "a function, called twice": (lambda x: _gram(x) + _gram(2 * x), 2 * 2 * 3 * 3 * 5),
    "a loop without products": (
        lambda x: tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y + 1), (0, x))[1],
        0,
    ),
}


@pytest.mark.parametrize(("function", "macs"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_function(function, macs):
    assert count_macs(sequence((2, 3, 5), function)) == macs


def test_a_small_network():
    model = sequence(
        (13, 19, 5),
        layers.Conv2D(7, (2, 3)),  # -> 12x17x7
        layers.DepthwiseConv2D(3, strides=5),  # -> 2x3x7
        layers.LayerNormalization(),
        lambda x: tf.einsum("bhwc,bhvc->bhwv", x, x),  # -> 2x3x3
        layers.Flatten(),
    )
    assert count_macs(model) == 12 * 17 * 7 * 30 + 2 * 3 * 7 * 9 + 2 * 3 * 3 * 7


def test_inference_path():
    class InTraining(layers.Layer):
        def call(self, x, training=False):
            return tf.matmul(x, x, transpose_b=True) if training else x

    assert count_macs(sequence((2, 3, 5), InTraining(), layers.Dropout(0.5))) == 0


def test_input_shape():
    model = sequence((None, None, 5), layers.Conv2D(7, (2, 3)), dtype="float16")
    assert count_macs(model, input_shape=(13, 19, 5)) == 12 * 17 * 7 * 30
    with pytest.raises(ValueError, match=r"`input_shape` must be the integer sizes"):
        count_macs(model)


def test_subclassed_model():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(7)

        def call(self, x):
            return self.dense(x)

    assert count_macs(Model(), input_shape=(11,)) == 77
    with pytest.raises(ValueError, match="a model of 0 inputs"):
        count_macs(Model())


def _loop(x):
    return tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, _gram(y)), (0, x))[1]


def _branch(x):
    return tf.cond(tf.reduce_sum(x) > 0, lambda: _gram(x), lambda: x)


def _sparse(x):
    return tf.sparse.sparse_dense_matmul(tf.sparse.from_dense(x[0, 0]), tf.ones((5, 7)))


REFUSED = {
    "loop": (_loop, "holds a node of type BatchMatMulV2, which cannot be counted"),
    "branch": (_branch, "holds a node of type BatchMatMulV2, which cannot be counted"),
    "no rule": (_sparse, "no rule to count node .* of type SparseTensorDenseMatMul"),
    "Python code": (lambda x: tf.numpy_function(np.sin, [x], tf.float32), "of type PyFunc"),
    "unknown shape": (
        lambda x: tf.matmul(tf.boolean_mask(x, x[..., 0] > 0), tf.ones((5, 7))),
        r"MatMul' of type MatMul cannot be counted: its tensor .* Received: \(None, 5\)",
    ),
}


@pytest.mark.parametrize(("function", "message"), REFUSED.values(), ids=REFUSED)
def test_never_silently_skipped(function, message):
    shape = (3, 3, 3) if function is _loop else (2, 3, 5)
    with pytest.raises(ValueError, match=message):
        count_macs(sequence(shape, function))


def test_two_inputs():
    inputs = [keras.Input((3,)), keras.Input((5,))]
    with pytest.raises(ValueError, match="a model of 2 inputs"):
        count_macs(keras.Model(inputs, layers.Concatenate()(inputs)))


def test_another_backend(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"backend 'tensorflow'.* 'jax'"):
        count_macs(keras.Sequential([layers.Dense(3)]))
