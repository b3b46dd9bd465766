"""What each table and figure shows and how to read it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    """A title and the text below it."""

    title: str
    text: str


DETECTION = (
    "Dice and AUROC compare a found map with the pixels that were replaced, also those whose new "
    "value happens to equal the old one, so even a perfect method may stay below 1; methods that "
    "are given the mask have neither."
)

TABLES = {
    "inpainting": Caption(
        "Restoration quality",
        "Mean over test images, with its 95% bootstrap interval over images in brackets. Every "
        "image counts at the lambda chosen on the other folds. The region says which pixels are "
        "compared with the clean image; an arrow says which way is better. A PSNR above 58.9 dB, "
        f"what 8-bit rounding alone costs, counts as 58.9 dB. {DETECTION} Numbers marked paper "
        "stand where resolution and corruption are those of table 1 of the RGI paper. It calls "
        "them means; its own code takes medians over images, of whole images that are first "
        "rescaled one by one to their own minimum and maximum. Medians and RMSE are in the CSV "
        "file.",
    ),
    "simulation": Caption(
        "Simulation",
        "Corrupted images made of the generator's own images, so an exact restoration exists. "
        "RMSE is the root of the mean square over pixels and images (appendix C of the RGI "
        "paper), with its 95% bootstrap interval over images in brackets; 0 is exact. Columns are "
        "methods, rows the mean of the noise before it is clipped to [-1, 1], as an image is. "
        f"Every image counts at the lambda chosen on the other folds. {DETECTION}",
    ),
    "cost": Caption(
        "Cost",
        "Compute per image for one restoration at the lambda of the figure of restorations: mean "
        "over test images, with its 95% bootstrap interval over images in brackets. Seconds depend "
        "on the machine and on how many images were restored together; passes through the "
        "generator do not. The search for lambda multiplies either by the number of lambdas tried.",
    ),
    "lambda-sensitivity": Caption(
        "Sensitivity to lambda",
        "Mean over all test images at every lambda tried, with its 95% bootstrap interval over "
        "images in brackets; * marks the lambda that the metric chooses on all images. These "
        "values are not held out. Where the choice lies at the edge of the grid, named below each "
        "table, a wider grid may do better. The other metrics are in the CSV file.",
    ),
}

FIGURES = {
    "restorations": Caption(
        "Restorations side by side",
        "The first test images of each data set and case, not picked by hand. From left to right: "
        "the corrupted input, the truth, the whole image G(z) or the filter's output by every "
        "method, the true mask and the masks found (white = corrupted). The lambda over a column "
        "is that of PSNR or, where that is not scored, of the next metric; it is chosen on all "
        "test images, those shown among them. A good method looks like the truth, also where the "
        "input is corrupted.",
    ),
    "simulation": Caption(
        "Simulation: error against the mean of the noise",
        "How far the restored image is from the clean one, for corruption of growing brightness "
        "(figure 5 of the RGI paper); the mean is that of the noise before it is clipped to "
        "[-1, 1]. Lower is better, 0 is exact; a flat line means that the method does not care how "
        "gross the corruption is. Bars are 95% bootstrap intervals over images.",
    ),
    "lambda-sensitivity": Caption(
        "How much the choice of lambda matters",
        "Mean over test images against lambda, one panel for each data set, case and metric, "
        "higher is better. Bands are 95% bootstrap intervals over images, the ringed point is the "
        "lambda chosen on all images; a ring at the end of its line means that a wider grid may do "
        "better. Level lines without points are methods that have no lambda.",
    ),
}
