"""What each table and figure shows and how to read it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    """A title and the text below it."""

    title: str
    text: str


TABLES = {
    "inpainting": Caption(
        "Restoration quality",
        "Mean over test images, with its 95% bootstrap interval over images in brackets. Every "
        "image counts at the lambda chosen on the other folds. The region says which pixels are "
        "compared with the clean image; an arrow says which way is better. A PSNR above 58.9 dB, "
        "what 8-bit rounding alone costs, counts as 58.9 dB. Numbers marked paper are "
        "those printed in table 1 of the RGI paper. Methods named with-mask are told the true "
        "mask, so their Dice is 1 and no finding. Medians and RMSE are in the CSV file.",
    ),
    "simulation": Caption(
        "Simulation",
        "Corrupted images made of the generator's own images, so an exact restoration exists. "
        "RMSE is the root of the mean square over pixels and images (appendix C of the RGI "
        "paper), with its 95% bootstrap interval over images in brackets; 0 is exact. Columns are "
        "methods, rows the mean of the noise. Every image counts at the lambda chosen on the "
        "other folds.",
    ),
    "cost": Caption(
        "Cost",
        "Compute per image for one restoration at the chosen lambda: mean over test images, with "
        "its 95% bootstrap interval over images in brackets. Seconds depend on the machine and on "
        "how many images were restored together; passes through the generator do not. The "
        "search for lambda multiplies either by the number of lambdas tried.",
    ),
    "lambda-sensitivity": Caption(
        "Sensitivity to lambda",
        "Mean over all test images at every lambda tried, with its 95% bootstrap interval over "
        "images in brackets; * marks the lambda that the metric chooses on all images. These "
        "values are not held out. The other metrics are in the CSV file.",
    ),
}

FIGURES = {
    "restorations": Caption(
        "Restorations side by side",
        "The first test images of each data set and case, not picked by hand. From left to right: "
        "the corrupted input, the truth, the whole image G(z) or the filter's output by every "
        "method at the lambda that PSNR chooses, the true mask and the masks found (white = "
        "corrupted). A good method looks like the truth, also where the input is corrupted.",
    ),
    "simulation": Caption(
        "Simulation: error against the mean of the noise",
        "How far the restored image is from the clean one, for corruption of growing brightness "
        "(figure 5 of the RGI paper). Lower is better, 0 is exact; a flat line means that the "
        "method does not care how gross the corruption is. Bars are 95% bootstrap intervals over "
        "images.",
    ),
    "lambda-sensitivity": Caption(
        "How much the choice of lambda matters",
        "Mean over test images against lambda, one panel for each data set, case and metric, "
        "higher is better. Bands are 95% bootstrap intervals over images, the ringed point is the "
        "lambda chosen on all images. Level lines without points are methods that have no lambda.",
    ),
}
