import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.layers import PEG, Downsampling
from keras_regionvit.ops.depthwise import depthwise, nine_products, plain_depthwise
from keras_regionvit.ops.xla import compiled_by_xla
from tests.oracles import numpy_regionvit

# odd, even and one on each axis
SIZES = [(1, 1), (1, 2), (2, 1), (5, 4), (4, 7), (6, 8), (3, 1)]
KINDS = pytest.mark.parametrize(("stride", "multiplier"), [(1, 1), (1, 2), (2, 1), (2, 2)])


def inputs(height, width, stride, multiplier):
    rng = np.random.default_rng(100 * height + width)
    maps = rng.standard_normal((2, height, width, 3)).astype("float32")
    kernel = rng.standard_normal((3, 3, 3, multiplier)).astype("float32")
    size = -(-height // stride), -(-width // stride)
    upstream = rng.standard_normal((2, *size, 3 * multiplier)).astype("float32")
    return maps, kernel, upstream


def outputs_and_gradients(function, maps, kernel, upstream):
    with tf.GradientTape() as tape:
        tape.watch([maps, kernel])
        outputs = function(maps, kernel)
    return [outputs, *tape.gradient(outputs, [maps, kernel], upstream)]


def check(function, height, width, stride, multiplier):
    """`function` of maps, kernel and upstream gives the convolution and its gradients."""
    arrays = [tf.constant(array) for array in inputs(height, width, stride, multiplier)]
    expected = outputs_and_gradients(lambda *args: plain_depthwise(*args, stride), *arrays)
    names = ("outputs", "maps", "kernel")
    for name, a, b in zip(names, function(*arrays), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5, err_msg=f"{name} {height}x{width}")


def products(stride):
    def function(maps, kernel):
        return nine_products(maps, kernel, stride)

    return lambda *arrays: outputs_and_gradients(function, *arrays)


@KINDS
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_forward_is_the_convolution_of_the_official_weights(height, width, stride, multiplier):
    maps, kernel, _ = inputs(height, width, stride, multiplier)
    official = kernel.transpose(2, 3, 0, 1).reshape(3 * multiplier, 1, 3, 3)
    for function in (nine_products, plain_depthwise, depthwise):
        for x, y in zip(maps, np.asarray(function(maps, kernel, stride)), strict=True):
            by_loops = numpy_regionvit.convolution(
                {"weight": official}, x, stride, 1, depthwise=True
            )
            np.testing.assert_allclose(y, by_loops, rtol=1e-5, atol=1e-5)


@KINDS
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_gradient_of_the_products_is_that_of_the_convolution(height, width, stride, multiplier):
    check(products(stride), height, width, stride, multiplier)


@KINDS
def test_gradient_with_unknown_sizes(stride, multiplier):
    unknown = [(None, None, None, 3), (3, 3, 3, multiplier), (None, None, None, 3 * multiplier)]
    graph = tf.function(products(stride), [tf.TensorSpec(shape) for shape in unknown])
    for height, width in SIZES:
        check(graph, height, width, stride, multiplier)
    assert graph.experimental_get_tracing_count() == 1


@KINDS
@pytest.mark.parametrize("jit", [False, True])
def test_form_and_gradient_in_graphs_and_under_xla(stride, multiplier, jit):
    kinds = []

    @tf.function(jit_compile=jit)
    def step(*arrays):
        kinds.append({op.type for op in tf.compat.v1.get_default_graph().get_operations()})
        found = outputs_and_gradients(lambda *args: depthwise(*args, stride), *arrays)
        kinds.append({op.type for op in tf.compat.v1.get_default_graph().get_operations()})
        return found

    check(step, 5, 4, stride, multiplier)
    assert ("DepthwiseConv2dNative" in kinds[-1]) is not jit


@pytest.mark.parametrize("layer", [PEG(3), Downsampling(3)])
def test_layers_have_no_depthwise_convolution_under_xla(layer):
    def operations(jit):
        found = []

        @tf.function(jit_compile=jit)
        def call(x):
            y = layer(x)
            found.extend(op.type for op in tf.compat.v1.get_default_graph().get_operations())
            return y

        return call(tf.ones((1, 5, 4, 3))), found

    (by_loop, loop), (by_convolution, convolution) = operations(True), operations(False)
    np.testing.assert_allclose(by_loop, by_convolution, rtol=1e-5, atol=1e-6)
    assert "DepthwiseConv2dNative" in convolution and "DepthwiseConv2dNative" not in loop


@KINDS
def test_products_in_bfloat16(stride, multiplier):
    arrays = [tf.cast(array, "bfloat16") for array in inputs(5, 4, stride, multiplier)]
    found = products(stride)(*arrays)
    wide = [tf.cast(array, "float32") for array in arrays]
    expected = outputs_and_gradients(lambda *args: plain_depthwise(*args, stride), *wide)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == "bfloat16"
        np.testing.assert_allclose(tf.cast(a, "float32"), b, rtol=0.05, atol=0.2)


def test_xla_is_seen_through_functions_and_gradients():
    seen = []

    def look(x):
        seen.append(compiled_by_xla(x))
        return x * 2

    def compiled(function):
        return tf.function(function, jit_compile=True)

    cases = [
        (look, False),
        (tf.function(look), False),
        (compiled(look), True),
        (tf.function(lambda x: compiled(look)(x)), True),
        (compiled(lambda x: tf.function(look)(x)), True),
        (compiled(lambda x: tf.recompute_grad(look)(x)), True),
    ]
    for function, _ in cases:
        function(tf.ones((2,)))
    assert seen == [expected for _, expected in cases]


@pytest.mark.parametrize("jit", [False, True])
def test_xla_is_seen_in_fit(jit):
    seen = []

    class Look(keras.layers.Layer):
        def call(self, x):
            seen.append(compiled_by_xla(x))
            return x

    model = keras.Sequential([Look(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=jit)
    model.build((None, 2))
    seen.clear()
    model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
    assert set(seen) == {jit}
