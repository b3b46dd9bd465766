"""The methods as values: which variables, which fidelity, which priors, which schedule."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from rgi.errors import InputError


@dataclass(frozen=True)
class Method:
    """One way to invert a generator; everything the engine needs to know of it.

    The objective of one image x is, with r = x - G(z; theta) summed over channels and pixels,

        fidelity((1 - M) r) + lam ||M||_1
            - critic_weight D(G) + feature_weight ||f_D(x) - f_D(G)||_1

    where M is learned (`mask` among the variables), given (`needs_mask`) or zero.
    """

    variables: tuple[Literal["latent", "mask", "weights"], ...] = ("latent",)
    fidelity: Literal["l2", "l1"] = "l2"
    needs_mask: bool = False  # the true mask is handed in
    critic_weight: float = 0.0  # Yeh et al. 2017; RGI section 4.2: 0.1
    feature_weight: float = 0.0  # AnoGAN's feature matching, DGP's discriminator features
    iterations: int = 2000  # generator passes with gradient, RGI table 1
    learning_rate: float = 0.1  # latent and mask, RGI section 4
    weights_iterations: int = 0  # theta joins for the last ... iterations (R-RGI)
    weights_learning_rate: float = 1e-5  # RGI section 4
    batch: int = 16  # images minimised together; the last batch is filled up to this size
    pool: int = 512  # Gaussian latents scored for the starts; 0: starts are drawn per image
    starts: int = 1  # descents per image; the lowest objective wins

    @property
    def learns_mask(self) -> bool:
        """Whether M is a variable (RGI and R-RGI)."""
        return "mask" in self.variables

    @property
    def learns_weights(self) -> bool:
        """Whether each image fine-tunes generator weights of its own (R-RGI, DGP)."""
        return "weights" in self.variables

    @property
    def has_lambda(self) -> bool:
        """Whether the objective has the sparsity weight lambda."""
        return self.learns_mask

    @property
    def finds_mask(self) -> bool:
        """Whether the score is a mask in [0, 1] that the method found."""
        return self.learns_mask

    @property
    def needs_discriminator(self) -> bool:
        """Whether a prior looks through the discriminator."""
        return self.critic_weight != 0 or self.feature_weight != 0

    @property
    def passes(self) -> int:
        """Generator passes for one image alone: start candidates, then steps of every start."""
        return (
            self.pool
            + self.starts * (self.iterations - self.weights_iterations)
            + (self.weights_iterations)
        )


METHODS: Mapping[str, Method] = {
    "l2": Method(),
    "l1": Method(fidelity="l1"),
    "yeh-without-mask": Method(critic_weight=0.1),
    "yeh-with-mask": Method(needs_mask=True, critic_weight=0.1),
    "pan-with-mask": Method(
        variables=("latent", "weights"),
        needs_mask=True,
        feature_weight=0.1,
        weights_iterations=500,
    ),
    "anogan": Method(fidelity="l1", feature_weight=1.0),
    "rgi": Method(variables=("latent", "mask"), critic_weight=0.1),
    "r-rgi": Method(
        variables=("latent", "mask", "weights"), critic_weight=0.1, weights_iterations=500
    ),
}

SETTINGS = tuple(
    field.name for field in fields(Method) if field.name not in ("variables", "needs_mask")
)


def configured(preset: str, settings: Mapping[str, Any]) -> Method:
    """The preset with some of its SETTINGS replaced.

    Raises:
        InputError: unknown preset or setting, or a schedule that contradicts itself.
    """
    if preset not in METHODS:
        raise InputError(
            f"preset {preset!r} (without the key `preset`, the method's own name) is unknown; "
            f"allowed: {', '.join(METHODS)}"
        )
    unknown = sorted(set(settings) - set(SETTINGS))
    if unknown:
        raise InputError(
            f"{preset}: setting {unknown[0]!r} is unknown; allowed: {', '.join(SETTINGS)}"
        )
    method = replace(METHODS[preset], **settings)
    if method.weights_iterations > method.iterations:
        raise InputError(
            f"{preset}: weights_iterations {method.weights_iterations} is more than "
            f"iterations {method.iterations}"
        )
    if method.pool and method.starts > method.pool:
        raise InputError(f"{preset}: starts {method.starts} is more than pool {method.pool}")
    if method.weights_iterations and not method.learns_weights:
        raise InputError(f"{preset}: weights_iterations is set, but its weights are fixed")
    return method
