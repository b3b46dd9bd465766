"""How good a restoration and a found mask are, and which lambda was best."""

from rgi.evaluation.metrics import METRICS, Metric, auroc, dice, lpips, psnr, rmse, ssim

__all__ = ["METRICS", "Metric", "auroc", "dice", "lpips", "psnr", "rmse", "ssim"]
