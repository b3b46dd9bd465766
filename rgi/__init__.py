"""RGI Bench: restore grossly corrupted images and find the corrupted pixels."""

__version__ = "0.1.0"
