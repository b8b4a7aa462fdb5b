"""Whether XLA compiles what is being traced."""

import keras


def compiled_by_xla(x):
    """Whether XLA compiles the computation that `x` is part of.

    For forms that XLA makes one loop of where a runtime that calls operation by operation would
    be slow, or the other way round. Where it cannot be told the answer is no.

    Args:
        x: a tensor.

    Returns:
        True on JAX; on TensorFlow inside a function with `jit_compile=True`; otherwise False.
    """
    if keras.backend.backend() != "tensorflow":
        return keras.backend.backend() == "jax"
    graph = getattr(x, "graph", None)  # an eager tensor has none
    while graph is not None:
        # TensorFlow enters such a context, in a graph or the one around it, before it traces
        context = graph._get_control_flow_context()
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False
