import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.ops.windows import (
    cut_padded,
    join_cropped,
    merge,
    pad,
    padding_mask,
    partition,
    region_padding,
)


def numbered_map(batch, height, width, channels):
    return np.arange(batch * height * width * channels, dtype="float32").reshape(
        batch, height, width, channels
    )


def test_partition_puts_every_token_where_the_loops_put_it():
    maps = numbered_map(2, 3 * 2, 5 * 2, 7)
    windows = partition(maps, (3, 5), 2)
    assert windows.shape == (2, 15, 4, 7)
    for i, j, m, n in itertools.product(range(3), range(5), range(2), range(2)):
        expected = maps[:, 2 * i + m, 2 * j + n]
        np.testing.assert_array_equal(windows[:, 5 * i + j, 2 * m + n], expected)


@pytest.mark.parametrize(("grid", "window"), [((3, 5), 2), ((2, 1), 3), ((1, 1), 7), ((5, 2), 1)])
def test_merge_inverts_partition(grid, window):
    maps = numbered_map(2, grid[0] * window, grid[1] * window, 3)
    np.testing.assert_array_equal(merge(partition(maps, grid, window), grid, window), maps)


def test_merge_inverts_partition_with_unknown_sizes():
    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
    def there_and_back(maps):
        grid = tf.shape(maps)[1] // 2, tf.shape(maps)[2] // 2
        return merge(partition(maps, grid, 2), grid, 2)

    for shape in [(2, 6, 10, 3), (5, 2, 4, 3)]:
        maps = numbered_map(*shape)
        np.testing.assert_array_equal(there_and_back(maps), maps)


def padding_in_words(height, width, region):
    if height % region == 0 and width % region == 0:
        return 0, 0
    return region - height % region, region - width % region


@pytest.mark.parametrize("region", [1, 2, 7, 12])
def test_region_padding(region):
    sizes = [*itertools.product(range(1, 3 * region + 2), repeat=2)]
    expected = [padding_in_words(*size, region) for size in sizes]
    assert [region_padding(*size, region) for size in sizes] == expected

    dynamic = tf.function(lambda h, w: tf.stack(region_padding(h, w, region), axis=-1))
    heights, widths = tf.constant(sizes, "int32")[:, 0], tf.constant(sizes, "int32")[:, 1]
    np.testing.assert_array_equal(dynamic(heights, widths), expected)


def test_an_axis_that_fits_gains_a_whole_region():
    assert region_padding(28, 29, 28) == (28, 27)


def test_pad():
    maps = numbered_map(1, 2, 3, 1)
    assert pad(maps, 0, 0, 0, 0) is maps
    padded = np.asarray(pad(maps, 1, 2, 3, 4))
    assert padded.shape == (1, 5, 10, 1)
    np.testing.assert_array_equal(padded[:, 1:3, 3:6], maps)
    assert padded.sum() == maps.sum()


@pytest.mark.parametrize(("size", "grid"), [((5, 7), (2, 3)), ((6, 9), (2, 3)), ((1, 2), (1, 2))])
def test_a_map_is_padded_and_cropped_again(size, grid):
    maps = numbered_map(2, *size, 5) + 1
    windows = np.asarray(cut_padded(maps, size, grid, 3))
    assert windows.shape == (2, grid[0] * grid[1], 9, 5)
    assert (windows == 0).sum() == windows.size - maps.size
    np.testing.assert_array_equal(join_cropped(windows, size, grid, 3), maps)


def mask_by_loops(size, grid, window):
    """Official rule: row and column real; in the bottom-right region row or column."""
    tokens = [None, *itertools.product(range(window), repeat=2)]
    mask = np.zeros((grid[0], grid[1], len(tokens), len(tokens)), bool)
    for i, j, (q, query), (k, key) in itertools.product(
        range(grid[0]), range(grid[1]), enumerate(tokens), enumerate(tokens)
    ):
        rows = [i * window + token[0] < size[0] for token in (query, key) if token]
        columns = [j * window + token[1] < size[1] for token in (query, key) if token]
        if (i, j) == (grid[0] - 1, grid[1] - 1):
            mask[i, j, q, k] = all(rows) or all(columns)
        else:
            mask[i, j, q, k] = all(rows) and all(columns)
    return mask.reshape(-1, len(tokens), len(tokens))


MASKS = [  # size of the map, grid, window
    ((5, 9), (2, 3), 3),  # one row short
    ((6, 7), (2, 3), 3),  # two columns short
    ((5, 7), (2, 3), 3),  # both
    ((1, 1), (1, 1), 2),
    ((3, 4), (3, 3), 2),  # whole regions of padding
    ((1, 11), (1, 3), 4),
]


@pytest.mark.parametrize(("size", "grid", "window"), MASKS)
def test_padding_mask(size, grid, window):
    expected = mask_by_loops(size, grid, window)
    static = padding_mask(size, grid, window)
    assert isinstance(static, np.ndarray)
    np.testing.assert_array_equal(static, expected)


@pytest.mark.parametrize("window", [2, 3, 4])
def test_padding_mask_with_unknown_sizes(window):
    scalar = tf.TensorSpec((), "int32")

    @tf.function(input_signature=[scalar] * 4)
    def dynamic(height, width, rows, columns):
        return padding_mask((height, width), (rows, columns), window)

    for size, grid, _ in [case for case in MASKS if case[2] == window]:
        np.testing.assert_array_equal(dynamic(*size, *grid), mask_by_loops(size, grid, window))
    # where static sizes give no mask at all, this one keeps every pair
    assert padding_mask((2 * window, window), (2, 1), window) is None
    assert np.all(dynamic(2 * window, window, 2, 1))
