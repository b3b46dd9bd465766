"""Public sets of images: where their files are, how they are known, on which terms, whom to cite.

docs/data.md shows this table; a test holds the two together.
"""

from dataclasses import dataclass

from rgi.settings import choose

_DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="
_CARS = "https://huggingface.co/datasets/tanganke/stanford_cars/resolve/main"
_MVTEC = "https://www.mydrive.ch/shares"


@dataclass(frozen=True)
class Archive:
    """One of a publisher's files.

    `name` is its own; `urls` are tried in turn. `checksum` is ALGORITHM:HEXADECIMAL and empty
    where none is known; `known_by` says who gives it. `size` is in megabytes, about.
    """

    name: str
    urls: tuple[str, ...]
    checksum: str
    known_by: str
    size: float


@dataclass(frozen=True)
class Publication:
    """A public set of images; a mirror keeps its files as `folder`/NAME.

    `by_hand` says how a person gets the files if no address works.
    """

    title: str
    folder: str
    files: tuple[Archive, ...]
    page: str
    licence: str
    citation: str
    by_hand: str

    def file(self, name: str) -> Archive:
        """Return the file called `name`.

        Raises:
            InputError: there is none.
        """
        return choose({file.name: file for file in self.files}, name, f"{self.title}: file")


PUBLICATIONS = {
    "celeba": Publication(
        title="CelebA, aligned faces",
        folder="celeba",
        files=(
            Archive(
                "img_align_celeba.zip",
                (
                    f"{_DRIVE}0B7EVK8r0v71pZjFTYXZWM3FlRnM",
                    "https://cseweb.ucsd.edu/~weijian/static/datasets/celeba/img_align_celeba.zip",
                    "https://huggingface.co/datasets/Yuehao/celeba/resolve/main/img_align_celeba.zip",
                ),
                "md5:00d2c5bc6d35e252742224ab0c1e8fcb",
                "torchvision",
                1443,
            ),
        ),
        page="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        licence="non-commercial research only",
        citation="Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, ICCV 2015",
        by_hand="download Img/img_align_celeba.zip from the Google Drive of the publisher's page; "
        "the Drive refuses programs once many have downloaded",
    ),
    "cars": Publication(
        title="Stanford cars",
        folder="stanford_cars",
        files=(
            Archive(
                "cars_train.tgz",
                (
                    "https://ai.stanford.edu/~jkrause/car196/cars_train.tgz",
                    f"{_CARS}/cars_train.tgz",
                ),
                "sha256:b97deb463af7d58b6bfaa18b2a4de9829f0f79e8ce663dfa9261bf7810e9accd",
                "torchvision 0.14 (prototype)",
                979,
            ),
            Archive(
                "cars_test.tgz",
                (
                    "https://ai.stanford.edu/~jkrause/car196/cars_test.tgz",
                    f"{_CARS}/cars_test.tgz",
                ),
                "sha256:bffea656d6f425cba3c91c6d83336e4c5f86c6cffd8975b0f375d3a10da8e243",
                "torchvision 0.14 (prototype)",
                977,
            ),
            Archive(
                "car_devkit.tgz",
                (
                    "https://ai.stanford.edu/~jkrause/cars/car_devkit.tgz",
                    f"{_CARS}/car_devkit.tgz",
                    "https://github.com/pytorch/vision/files/11644847/car_devkit.tgz",
                ),
                "sha256:512b227b30e2f0a8aab9e09485786ab4479582073a144998da74d64b801fd288",
                "torchvision 0.14 (prototype)",
                0.3,
            ),
        ),
        page="https://ai.stanford.edu/~jkrause/cars/car_dataset.html (gone since 2023)",
        licence="non-commercial research; the publisher's page is gone",
        citation="Krause, Stark, Deng, Fei-Fei: 3D Object Representations for Fine-Grained "
        "Categorization, 3DRR 2013",
        by_hand="get the images from kaggle.com/datasets/jessicali9530/stanford-cars-dataset and "
        "car_devkit.tgz from github.com/pytorch/vision/issues/7545, unpack both into one folder "
        "and set the data set's `archive:` to it",
    ),
    "lsun-bedroom": Publication(
        title="LSUN, bedrooms",
        folder="lsun",
        files=(
            Archive(
                "bedroom_train_lmdb.zip",
                (
                    "http://dl.yf.io/lsun/scenes/bedroom_train_lmdb.zip",
                    "https://dl.yf.io/lsun/scenes/bedroom_train_lmdb.zip",
                ),
                "md5:f2c5d904a82a6295dbdccb322b4b0a99",
                "dorarad/gansformer",
                45900,
            ),
            Archive(
                "bedroom_val_lmdb.zip",
                (
                    "http://dl.yf.io/lsun/scenes/bedroom_val_lmdb.zip",
                    "https://dl.yf.io/lsun/scenes/bedroom_val_lmdb.zip",
                ),
                "",
                "",
                4.5,
            ),
        ),
        page="https://www.yf.io/p/lsun",
        licence="none stated; research",
        citation="Yu, Seff, Zhang, Song, Funkhouser, Xiao: LSUN: Construction of a Large-scale "
        "Image Dataset using Deep Learning with Humans in the Loop, arXiv:1506.03365",
        by_hand="run download.py -c bedroom of github.com/fyu/lsun",
    ),
    "btad": Publication(
        title="BTAD, beanTech anomaly detection",
        folder="btad",
        files=(
            Archive(
                "btad.zip",
                (
                    "https://avires.dimi.uniud.it/papers/btad/btad.zip",
                    "http://avires.dimi.uniud.it/papers/btad/btad.zip",
                ),
                "sha256:461c9387e515bfed41ecaae07c50cf6b10def647b36c9e31d239ab2736b10d2a",
                "anomalib 2.7",
                1229,
            ),
        ),
        page="https://github.com/pankajmishra000/VT-ADL",
        licence="CC BY-NC-SA 4.0",
        citation="Mishra, Verk, Fornasier, Piciarelli, Foresti: VT-ADL: A Vision Transformer "
        "Network for Image Anomaly Detection and Localization, ISIE 2021",
        by_hand="follow the link to the data set in the README of the publisher's page",
    ),
    "mvtec-ad": Publication(
        title="MVTec AD",
        folder="mvtec_ad",
        files=(
            Archive(
                "mvtec_anomaly_detection.tar.xz",
                (
                    f"{_MVTEC}/150996/b52ecdcbf521176e9db9c731f2304b27/download/"
                    "420938113-1629960298/mvtec_anomaly_detection.tar.xz",
                    f"{_MVTEC}/38536/3830184030e49fe74747669442f0f282/download/"
                    "420938113-1629952094/mvtec_anomaly_detection.tar.xz",
                ),
                "sha256:cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
                "anomalib 2.7",
                5265,
            ),
        ),
        page="https://www.mvtec.com/company/research/datasets/mvtec-ad",
        licence="CC BY-NC-SA 4.0",
        citation="Bergmann, Batzner, Fauser, Sattlegger, Steger: The MVTec Anomaly Detection "
        "Dataset, IJCV 2021",
        by_hand="fill in the form of the publisher's page and download the whole data set",
    ),
    "magnetic-tile": Publication(
        title="Magnetic tiles",
        folder="magnetic_tile",
        files=(
            Archive(
                "Magnetic-tile-defect-datasets.-master.zip",
                (
                    "https://github.com/abin24/Magnetic-tile-defect-datasets./archive/refs/heads/"
                    "master.zip",
                    "https://codeload.github.com/abin24/Magnetic-tile-defect-datasets./zip/refs/"
                    "heads/master",
                ),
                "sha256:edb425745c1e3ed4a93a6c32cd53c547152ce9c609d484327601bd994298c7c4",
                "this project; GitHub may make the archive anew with other bytes",
                53,
            ),
        ),
        page="https://github.com/abin24/Magnetic-tile-defect-datasets.",
        licence="none stated; the authors ask to be cited",
        citation="Huang, Qiu, Yuan: Surface defect saliency of magnetic tile, The Visual Computer "
        "2020",
        by_hand="download the repository of the publisher's page as a zip file",
    ),
}
