"""Mathematics without weights: pure functions of tensors, each beside its plain formula."""
