"""Detectors: anomalib's models, which score pixels without restoring them.

The package `anomalib` is an extra (`make anomalib`); what needs it or torch is imported only where
it is used: `rgi.baselines.detectors.model` and `.training`.
"""

from rgi.baselines.detectors.settings import DetectorSettings, check_model, read_detector

__all__ = ["DetectorSettings", "check_model", "read_detector"]
