"""What the arguments of a backbone must be."""

import itertools

import keras

from keras_regionvit.ops.windows import region_padding

HEAD_DIM = 32  # channels per attention head (paper, Table 2)


def check_stages(embed_dims, depths, num_heads, window_size):
    """`num_heads` and `window_size` with one entry a stage.

    Args:
        embed_dims: tuple of ints, channels of each stage.
        depths: tuple of ints, encoders of each stage.
        num_heads: ints, heads of each stage; `None` means 32 channels a head.
        window_size: int M, or one a stage.

    Returns:
        `{"num_heads": tuple of ints, "window_size": tuple of ints}`.

    Raises:
        ValueError: an argument has not one fitting entry for each stage.
    """
    stages = len(embed_dims)
    if stages == 0 or len(depths) != stages:
        raise ValueError(
            "`embed_dims` and `depths` must have one entry a stage. "
            f"Received: embed_dims={embed_dims}, depths={depths}"
        )
    if any(depth < 1 for depth in depths):
        raise ValueError(f"`depths` must be at least 1 in every stage. Received: depths={depths}")
    for previous, width in itertools.pairwise(embed_dims):
        if width != 2 * previous:
            raise ValueError(
                "`embed_dims` must double from stage to stage, as the downsampling does. "
                f"Received: embed_dims={embed_dims}"
            )
    if num_heads is None:
        num_heads = tuple(max(width // HEAD_DIM, 1) for width in embed_dims)
    num_heads = tuple(num_heads)
    if len(num_heads) != stages:
        raise ValueError(
            f"`num_heads` must have one entry for each of the {stages} stages. "
            f"Received: num_heads={num_heads}"
        )
    windows = (window_size,) * stages if isinstance(window_size, int) else tuple(window_size)
    if len(windows) != stages or not all(isinstance(m, int) and m > 0 for m in windows):
        raise ValueError(
            "`window_size` must be a positive integer or have one for each of the "
            f"{stages} stages. Received: window_size={window_size}"
        )
    return {"num_heads": num_heads, "window_size": windows}


def check_input_shape(input_shape, input_tensor=None):
    """The shape of the image, checked.

    Args:
        input_shape: `(height, width, channels)` in pixels; height and width may be `None`.
        input_tensor: optional Keras tensor (B, height, width, channels), whose shape it then is.

    Returns:
        A tuple `(height, width, channels)`.

    Raises:
        ValueError: the shape has not three entries or an empty one, has no channels, or the
            images of this Keras are channels first.
    """
    if keras.config.image_data_format() == "channels_first":
        raise ValueError(
            "RegionViT needs images with channels last, but "
            "`keras.config.image_data_format()` is 'channels_first'; set it to 'channels_last'."
        )
    if input_tensor is not None:
        if not keras.backend.is_keras_tensor(input_tensor):
            raise ValueError(
                f"`input_tensor` must be a Keras tensor. Received: {type(input_tensor).__name__}"
            )
        input_shape = input_tensor.shape[1:]
    shape = tuple(input_shape)
    if len(shape) != 3 or shape[-1] is None or any(s is not None and s < 1 for s in shape):
        raise ValueError(
            "`input_shape` must be (height, width, channels) with no empty side. "
            f"Received: input_shape={shape}"
        )
    return shape


def check_coverage(input_shape, patch_size, window_size, tokenizer):
    """That the regions of every stage cover its local map.

    The grid halves from stage to stage as the map does, so windows that do not shrink
    always cover it; smaller ones only up to some size.

    Args:
        input_shape: `(height, width, channels)` of the image.
        patch_size: int, pixels per local token side.
        window_size: tuple of ints, local tokens per region side of each stage.
        tokenizer: the layer that makes the local tokens.

    Raises:
        ValueError: some stage's regions do not cover its map.
    """
    if all(a <= b for a, b in itertools.pairwise(window_size)):
        return
    height, width = input_shape[:2]
    fits = height is not None and width is not None
    if fits:
        region = patch_size * window_size[0]
        rows, columns = region_padding(height, width, region)
        grid = (height + rows) // region, (width + columns) // region
        size = tokenizer.compute_output_shape((None, *input_shape))[1:3]
        for window in window_size:
            fits = fits and all(g * window >= s for g, s in zip(grid, size, strict=True))
            grid, size = (tuple((n + 1) // 2 for n in sizes) for sizes in (grid, size))
    if not fits:
        raise ValueError(
            f"`window_size`={tuple(window_size)} does not cover the map of every stage at "
            f"input_shape={tuple(input_shape)}; window_size={max(window_size)} covers any size."
        )
