"""Energy-based projection on an autoencoder (Dehaene et al., ICLR 2020), and reconstruction."""

import lazy_loader

# Lazy, so that reading METHODS (the workflow does, for every job) does not import torch.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "engine": ["Projection", "project"],
        "methods": ["METHODS", "Method"],
    },
)
