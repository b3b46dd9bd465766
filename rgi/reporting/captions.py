"""What each table and figure shows and how to read it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    """A title and the text below it."""

    title: str
    text: str


GROUPED = (
    "Where several images show the same thing, as shots of one tile do, folds and intervals go by "
    "such groups of images."
)

DETECTION = (
    "Dice and AUROC compare a found map with the pixels that were replaced, also those whose new "
    "value happens to equal the old one, so even a perfect method may stay below 1; methods that "
    "are given the mask have neither."
)

OBJECTIVE = (
    "The objective is that of eq. 6 of the RGI paper, the mask at its best for the image found, "
    "without priors; it is compared at the one lambda that is named with it, since objectives of "
    "two lambdas cannot be compared. A method that is given the mask has neither a Dice nor this "
    "objective."
)

TABLES = {
    "inpainting": Caption(
        "Restoration quality",
        "Mean over test images, with its 95% bootstrap interval over images in brackets. Every "
        f"image counts at the lambda chosen on the other folds. {GROUPED} The region says which "
        "pixels are compared with the clean image; an arrow says which way is better. A PSNR above "
        f"58.9 dB, what 8-bit rounding alone costs, counts as 58.9 dB. {DETECTION} Numbers marked "
        "paper stand where resolution and corruption are those of table 1 of the RGI paper. It "
        "calls them means; its own code takes medians over images, of whole images that are first "
        "rescaled one by one to their own minimum and maximum. Medians and RMSE are in the CSV "
        "file.",
    ),
    "anomaly-detection": Caption(
        "Anomaly detection",
        "How well the pixels of defects are found, with 95% bootstrap intervals over images in "
        "brackets. Every number is of the same maps and masks: each image counts at the lambda and "
        "the threshold that together have the best mean Dice on the other folds' images, all kinds "
        f"of defect among them. {GROUPED} Only the oracle's threshold is chosen "
        "with the image's own truth, as in the code of the RGI paper; it is no method's result. "
        "Dice, AUROC of each image and PSNR are means over the images with a defect. Of all pixels "
        "together means one ranking of the pixels of all test images, as in the usual protocol, "
        "also where folds chose other lambdas; a kind of defect is then joined by the defect-free "
        "images. AUPRO gives every connected defect the same weight, whatever its size. AUROC is "
        "misleading where defects are small: almost all pixels are clean. AUROC of images needs "
        "defect-free test images. PSNR compares the restored with the clean image, where that is "
        "known. A method that is given the mask does not appear. Where the lambda chosen on all "
        "images lies at the edge of the grid, named below the first table, a wider grid may do "
        "better. Medians are in the CSV file.",
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
        "Compute per image for one restoration, at the lambda that PSNR or, where that is not "
        "scored, the next metric chooses on all images: mean over test images, with its 95% "
        "bootstrap interval over images, or groups of images that show the same thing, in "
        "brackets. Seconds depend on the machine and on what was restored together; passes through "
        "the network, those with gradient over all starts of an image, do not. The search for "
        "lambda multiplies either by the number of lambdas tried, but where all lambdas explore "
        "together.",
    ),
    "solver": Caption(
        "Solvers of the same problem",
        "What each method of each line achieves and what it costs: mean over images, with its 95% "
        "bootstrap interval over images in brackets, of the whole image. The methods of a line "
        "differ in their budget. PSNR, RMSE and Dice count every image at the lambda that this "
        "metric chooses on the other folds, passes and seconds at the lambda that PSNR chooses "
        f"there. {OBJECTIVE} Passes are those through the generator with a gradient, over all "
        "starts; what all lambdas share counts for each of them. Seconds are what was spent, also "
        "on choosing the starts, shared out over the images and lambdas of one job; they depend "
        "on the machine. The search for lambda multiplies the passes by the number of lambdas "
        "tried. Medians and the other regions are in the CSV file.",
    ),
    "lambda-sensitivity": Caption(
        "Sensitivity to lambda",
        "Mean over all test images at every lambda tried, with its 95% bootstrap interval over "
        "images, or groups of images that show the same thing, in brackets; * marks the lambda "
        "that the metric chooses on all images. These values are not held out; Dice is that of the "
        "pixels whose score is above 0.5. Where the choice lies at the edge of the grid, named "
        "below each table, a wider grid may do better. The other metrics are in the CSV file.",
    ),
}

FIGURES = {
    "methods": Caption(
        "The methods and their kin",
        "What each method looks for (variables), what ties that to the image (fidelity), what else "
        "speaks for or against it (prior), and what it has to know beside the image. Lambda stands "
        "where its weight does. Colours and markers are those of all figures.",
    ),
    "restorations": Caption(
        "Restorations side by side",
        "The first test images of each data set and case, not picked by hand. From left to right: "
        "the corrupted input, the truth, the whole image G(z) or the filter's output by every "
        "method, the true mask and the masks found (white = corrupted). The lambda over a column "
        "is that of PSNR or, where that is not scored, of the next metric; it is chosen on all "
        "test images, those shown among them. A good method looks like the truth, also where the "
        "input is corrupted.",
    ),
    "detections": Caption(
        "Defects found, side by side",
        "The first test image of each kind of defect, not picked by hand (figures 4 and 8 to 10 of "
        "the RGI paper). First column, from the top: the input, the clean image where it is known, "
        "the true mask. Then every method: the background that it restored, empty for those that "
        "restore none; its score map, yellow where it is highest, each map in its own range; the "
        "mask it found (white) with the outline of the true defect, at the lambda and threshold "
        "chosen on other images. A good mask fills its outline and nothing else.",
    ),
    "detection-curves": Caption(
        "Detection: ROC and precision-recall curves",
        "All pixels of all test images in one ranking, at the lambdas of the table. Above: the "
        "part of the corrupted pixels that is found against the part of the clean pixels called "
        "corrupted; nearer to the top left is better. Below: the part of the found pixels that is "
        "corrupted against the part that is found; nearer to the top right is better, and where "
        "defects are small this one tells methods apart.",
    ),
    "dice-by-defect": Caption(
        "Which defects are hard to find",
        "Mean Dice at the held-out threshold against the size of the defect, in pixels of an "
        "image, and against its contrast: mean |corrupted - clean| of its pixels (black to white "
        "is 2) or, where the clean image is unknown, the distance of its mean from that of the "
        "pixels around it. All cases of a data set together; images are put into five groups of "
        "equally many. Bars are 95% bootstrap intervals over images, or groups of images that show "
        "the same thing; points stand slightly apart so that they can be told apart.",
    ),
    "training-size": Caption(
        "How many clean images are needed",
        "Held-out Dice, AUROC and AUPRO of all pixels together against the number of images that "
        "generator and detectors were trained on, test images being the same. Bars are 95% "
        "bootstrap intervals over test images; they do not hold the chance of training.",
    ),
    "steps": Caption(
        "How many steps a projection needs",
        "AUROC of all pixels together against the number of steps (figure 5 of Dehaene et al. "
        "2020), each number of them being a method of its own; a level line is a method without "
        "steps. Bars are 95% bootstrap intervals over images, or groups of images that show the "
        "same thing.",
    ),
    "simulation": Caption(
        "Simulation: error against the mean of the noise",
        "How far the restored image is from the clean one, for corruption of growing brightness "
        "(figure 5 of the RGI paper); the mean is that of the noise before it is clipped to "
        "[-1, 1]. Lower is better, 0 is exact; a flat line means that the method does not care how "
        "gross the corruption is. Bars are 95% bootstrap intervals over images.",
    ),
    "solver": Caption(
        "Solvers: quality and objective against generator passes",
        "One line per way to solve the problem, one point per budget, one column of panels for "
        "each data set and case; simulation_E is x = G(z) + s with noise of mean E, where an exact "
        "restoration exists. PSNR and Dice: higher is better; objective: lower is better. A line "
        "above another, or below it for the objective, is the better solver at the same number of "
        "passes; where two end at the same objective, they solve the problem equally well, "
        f"whatever it costs them. {OBJECTIVE} In every panel the passes are those at the lambda "
        "that PSNR chooses. Bars are 95% bootstrap intervals over images; all lines have the same "
        "images, hence bars that overlap do not make two lines equal.",
    ),
    "solver-seconds": Caption(
        "Solvers: quality and objective against seconds",
        "The same points against the time they took, at the lambda that PSNR chooses. Beside the "
        "passes it counts the solver's own arithmetic and the choice of the starts; what the "
        "lambdas of one job share is spent once. Seconds depend on the machine and on how many "
        "images and lambdas were solved together.",
    ),
    "lambda-sensitivity": Caption(
        "How much the choice of lambda matters",
        "Mean over test images against lambda, one panel for each data set, case and metric, "
        "higher is better. Bands are 95% bootstrap intervals over images, or groups of images that "
        "show the same thing, the ringed point is the lambda chosen on all images; a ring at the "
        "end of its line means that a wider grid may do better. Level lines without points are "
        "methods that have no lambda.",
    ),
}
