"""What each method that inverts a generator is made of."""

from collections.abc import Mapping
from typing import Any

from rgi.inversion.methods import Method, configured
from rgi.traits import Traits, present

ERRORS = {"l2": "squared error", "l1": "absolute error"}


def inversion_traits(preset: str, settings: Mapping[str, Any]) -> Traits:
    """Describe a preset with some of its settings replaced.

    Raises:
        InputError: unknown preset or setting.
    """
    method = configured(preset, settings)
    return Traits(
        variables=", ".join(method.variables),
        fidelity=present(
            {_error(method): method.fidelity_weight, "LPIPS": method.perceptual_weight}
        ),
        prior=present(
            {
                "sparse mask (lambda)": method.finds_mask,
                "area of the mask": method.area_masked,
                "discriminator": method.critic_weight or method.explore_critic_weight,
                "discriminator's features": method.feature_weight,
                "latent on a sphere": method.sphere,
                f"features in an {method.ball} ball": method.radius,
            }
        ),
        needs=present(
            {
                "generator": True,
                "discriminator": method.needs_discriminator,
                "encoder": method.encoded_start,
                "true mask": method.needs_mask,
                "operator": method.needs_operator,
                "LPIPS weights": method.perceptual_weight,
            }
        ),
    )


def _error(method: Method) -> str:
    name = ERRORS[method.fidelity]
    if method.profile:
        return f"{name} outside the best mask"
    return f"{name} outside the mask" if method.learns_mask or method.needs_mask else name
