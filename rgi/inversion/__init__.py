"""Robust GAN inversion: every generator method as one minimisation (RGI, eqs. 1-4)."""

import lazy_loader

# Lazy, so that reading METHODS (the workflow does, for every job) does not import torch.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "engine": ["Restoration", "invert", "invert_grid"],
        "methods": ["METHODS", "Method"],
        "objective": ["closed_form_mask", "profile_fidelity"],
        "progress": ["Checkpoint"],
    },
)
