"""How good a restoration and a found mask are, and which lambda was best."""

from rgi.evaluation.metrics import (
    METRICS,
    Metric,
    aupro,
    auroc,
    average_precision,
    dice,
    lpips,
    psnr,
    rmse,
    ssim,
)

__all__ = [
    "METRICS",
    "Metric",
    "aupro",
    "auroc",
    "average_precision",
    "dice",
    "lpips",
    "psnr",
    "rmse",
    "ssim",
]
