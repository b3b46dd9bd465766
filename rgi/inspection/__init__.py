"""Single pictures and folders of them: restored, and their defects found, outlined and measured."""

import lazy_loader

# Lazy, so that `python -m rgi --help` does not import torch.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "commands": ["detect", "restore"],
        "inverter": ["Found", "Inverter"],
        "recipe": ["Recipe", "choose_threshold"],
    },
)
