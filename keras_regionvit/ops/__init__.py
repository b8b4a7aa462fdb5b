"""Pure functions of tensors: mathematics without weights.

Where a form is written for speed or memory, the plain formula stands beside it, as a rule under a
name that begins with `plain_`, and a test holds the two equal. What a form is worth is said beside
it, measured on RegionViT-S with 8 images of 224 x 224 on two CPU cores in graph mode: "peak" is the
most memory that TensorFlow's allocator handed out while a training step computed its gradients
(947 MiB with all forms) or a call its answer (75 MiB).
"""
