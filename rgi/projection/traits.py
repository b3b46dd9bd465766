"""What each method on an autoencoder is made of."""

from collections.abc import Mapping
from typing import Any

from rgi.projection.methods import GRADIENT_SCORES, configured
from rgi.traits import NOTHING, Traits, present

LOSSES = {
    "l2-ae": "squared error",
    "dsae": "DSSIM",
    "vae": "likelihood",
    "gamma-vae": "likelihood, learned variance",
}
VARIABLES = {
    "energy": "image",
    "masked": "image under the mask",
    "tuned": "image where it errs",
}


def projection_traits(preset: str, settings: Mapping[str, Any]) -> Traits:
    """Describe a preset with some of its settings replaced.

    Raises:
        InputError: unknown preset or setting.
    """
    method = configured(preset, settings)
    scored = method.score in GRADIENT_SCORES
    return Traits(
        variables=VARIABLES[method.update] if method.steps else NOTHING,
        fidelity=f"score: {method.score}" if scored else LOSSES[method.autoencoder],
        prior=present({"distance moved (lambda)": method.steps}),
        needs=present({f"autoencoder {method.autoencoder}": True, "true mask": method.needs_mask}),
    )
