"""The methods as values: which autoencoder, which update, when to stop, what the score is."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from rgi.errors import InputError
from rgi.settings import read_settings

LARGEST_RATE = 0.1  # of Adam, whose first steps move each pixel, in [0, 1], by just that
KINDS = ("l2-ae", "dsae", "vae", "gamma-vae")  # rgi.models.autoencoder.KINDS, without torch
# Zimmerer et al.: L_r, |grad_x L|, |grad_x KL| of each pixel and their products; L = L_r + KL.
GRADIENT_SCORES = ("loss", "gradient", "gradient-loss", "divergence", "divergence-loss")

Update = Literal["energy", "masked", "tuned"]
Score = Literal[
    "dssim", "given", "loss", "gradient", "gradient-loss", "divergence", "divergence-loss"
]


@dataclass(frozen=True)
class Method:
    """One way to bring an image to an autoencoder's normal images.

    With no steps it is the reconstruction f(x_0). Else the input descends on (Dehaene et al. 2020)

        E(x) = L_r(x) + lam ||x - x_0||_1                                                  (eq. 4)

    for images in [0, 1], where each step's gradient is taken as it is (`energy`, eq. 5), within the
    given mask (`masked`, eq. 7), or times (x - f(x))^2 (`tuned`, eq. 8: blind inpainting).
    """

    autoencoder: str  # one of KINDS
    steps: int = 0  # at most, of each image
    update: Update = "energy"
    # The plain step of eq. 5 is learning_rate x variance x gradient, with the decoder's variance of
    # a pixel: 1 in the paper but for the gamma-VAE, where 0.5 diverges as soon as gamma^2 < 0.25.
    solver: Literal["gradient", "adam"] = "gradient"
    learning_rate: float = 0.5
    # An image stops where L_r is at most this quantile of the training images' (0: the smallest; 1
    # would be the largest) ...
    quantile: float | None = 0.0
    # ... or where 10 steps lower E by a smaller part than this; 0: never.
    tolerance: float = 1e-4
    score: Score = "dssim"
    batch: int = 16  # images in one pass; the last one is filled up to this size

    def __post_init__(self) -> None:
        contradiction = _contradiction(self)
        if contradiction is not None:
            raise InputError(contradiction)

    @property
    def needs_mask(self) -> bool:
        """Whether the true mask is handed in."""
        return self.update == "masked"

    @property
    def has_lambda(self) -> bool:
        """Whether there is an energy, with a weight lambda."""
        return self.steps > 0


def _contradiction(method: Method) -> str | None:
    """What is wrong with a method's settings."""
    if method.steps < 0:
        return f"steps {method.steps}: allowed: at least 1"
    if not method.learning_rate > 0:
        return f"learning_rate {method.learning_rate}: allowed: above 0"
    if method.solver == "adam" and method.learning_rate > LARGEST_RATE:
        return (
            f"learning_rate {method.learning_rate}: allowed with solver adam: at most "
            f"{LARGEST_RATE}, by which each pixel in [0, 1] moves"
        )
    if method.quantile is not None and not 0 <= method.quantile <= 1:
        return f"quantile {method.quantile}: allowed: 0 to 1, or null"
    if method.tolerance < 0:
        return f"tolerance {method.tolerance}: allowed: at least 0"
    if method.batch < 1:
        return f"batch {method.batch}: allowed: at least 1"
    return None


STEPS = 100


def _family(kind: str) -> dict[str, Method]:
    """An autoencoder alone, and its projections."""
    descent = Method(kind, steps=STEPS)
    return {
        kind: Method(kind),
        f"{kind}-grad": descent,
        f"{kind}-grad-blind": replace(descent, update="tuned"),
        f"{kind}-grad-with-mask": replace(descent, update="masked", score="given"),
    }


METHODS: Mapping[str, Method] = {
    **{name: method for kind in KINDS for name, method in _family(kind).items()},
    **{f"vae-{score}": Method("vae", score=score) for score in GRADIENT_SCORES},
}

SETTINGS = tuple(
    field.name for field in fields(Method) if field.name not in ("autoencoder", "update", "score")
)


def configured(preset: str, settings: Mapping[str, Any]) -> Method:
    """The preset with some of its SETTINGS replaced; without steps, only `batch` can be.

    Raises:
        InputError: unknown preset or setting, or a value out of its range.
    """
    if preset not in METHODS:
        raise InputError(f"preset {preset!r} is unknown; allowed: {', '.join(METHODS)}")
    chosen = METHODS[preset]
    allowed = SETTINGS if chosen.steps else ("batch",)
    unknown = sorted(set(settings) - set(allowed))
    if unknown:
        raise InputError(
            f"{preset}: setting {unknown[0]!r} is unknown; allowed: {', '.join(allowed)}"
        )
    if settings.get("steps", 1) == 0:
        raise InputError(
            f"{preset}: steps 0: allowed: at least 1; without steps: {chosen.autoencoder}"
        )
    try:
        return read_settings(Method, {**vars(chosen), **settings}, "settings")
    except InputError as error:
        raise InputError(f"{preset}: {error}") from None
