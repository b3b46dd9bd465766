"""The methods as values: which variables, which fidelity, which priors, which schedule."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

from rgi.errors import InputError

# Raise it by hand with every change that makes the same settings find something else.
INVERSION_VERSION = 7


@dataclass(frozen=True)
class Method:
    """One way to invert a generator; everything the engine needs to know of it.

    The objective of one image x is, with r = x - G(z; theta) summed over channels and pixels,

        fidelity((1 - M) r) + lam ||M||_1
            - critic_weight D(G) + feature_weight ||f_D(x) - f_D(G)||_1

    where M is learned (`mask` among the variables), eliminated by its closed form (`profile`,
    eq. 6), given (`needs_mask`) or zero. Where the degradation is a known operator A
    (`needs_operator`), y is observed of x, r = y - A G, and the fidelity becomes

        fidelity_weight fidelity(r) + perceptual_weight |y| LPIPS(G + A^+ r, G),

    with |y| the count of numbers in y. Features of G's layers may be variables after the latent.
    """

    variables: tuple[Literal["latent", "mask", "weights", "features"], ...] = ("latent",)
    fidelity: Literal["l2", "l1"] = "l2"
    profile: bool = False  # M is eliminated by its closed form, RGI eq. 6
    needs_mask: bool = False  # the true mask is handed in
    needs_operator: bool = False  # what is observed is handed in, and the operator by which
    fidelity_weight: float = 1.0  # beside a perceptual term; 0: that alone
    perceptual_weight: float = 0.0  # of LPIPS, ILO
    critic_weight: float = 0.0  # Yeh et al. 2017; RGI section 4.2: 0.1
    feature_weight: float = 0.0  # AnoGAN's feature matching, DGP's discriminator features
    pool: int = 512  # Gaussian latents scored for the starts; 0: starts are drawn per image
    encoded_start: bool = False  # the first start is what an encoder makes of the image (f-AnoGAN)
    # Successive halving, (starts, steps) per stage: after a stage the starts with the lowest
    # objective go on. RGI table 1: one start, 2000 generator passes.
    stages: tuple[tuple[int, int], ...] = ((1, 2000),)
    solver: Literal["adam", "projected-adam", "lbfgs"] = "adam"
    sphere: bool = False  # latents keep the length sqrt(d) (PULSE)
    # After the stages, (layer, steps) for each round in which the features behind a layer of the
    # generator descend: 1 has 4 x 4 pixels, 2 twice as many (ILO).
    rounds: tuple[tuple[int, int], ...] = ()
    ball: Literal["l2", "l1"] = "l2"  # to which features keep, around where their round began
    radius: float = 0.0  # its size: a root mean square (l2) or mean (l1) of changes; 0: no ball
    learning_rate: float = 0.1  # of Adam for latent, mask and features, RGI section 4
    ramp_down: float = 0.0  # last part of Adam's steps, or of a round, in which its rate falls to 0
    # > 0: lambda of all that comes before the last stage; all lambdas share it.
    explore_lam: float = 0.0
    explore_critic_weight: float = 0.0  # of the critic there: it chooses, the last stage fits
    # Before the last stage, (steps, steps) for each try to leave a valley: with the regular part of
    # the mask given, then with M eliminated (rgi.inversion.escapes).
    escapes: tuple[tuple[int, int], ...] = ()
    # In the last stage and after it the area of the mask found so far costs nothing: M is 1 there,
    # also where corrupted pixels happen to fit (rgi.inversion.areas).
    area_masked: bool = False
    # First part of the last stage's passes that have explore_lam, so that a grid shares them, too;
    # no tolerance ends them.
    settle: float = 0.0
    # L-BFGS and projected Adam stop, and a round gives way to the next, where 10 passes lower the
    # objective by no more than this part of what clean pixels cost (Problem.misfit); 0: never.
    tolerance: float = 0.0
    weights_iterations: int = 0  # steps after the stages, in which theta learns, too (R-RGI)
    weights_learning_rate: float = 1e-5  # RGI section 4
    batch: int = 16  # rows of latents in one generator pass; the last one is filled up to this size

    def __post_init__(self) -> None:
        contradiction = _contradiction(self)
        if contradiction is not None:
            raise InputError(contradiction)

    @property
    def learns_mask(self) -> bool:
        """Whether M is a variable of the descent (RGI and R-RGI)."""
        return "mask" in self.variables

    @property
    def learns_weights(self) -> bool:
        """Whether each image fine-tunes generator weights of its own (R-RGI, DGP)."""
        return "weights" in self.variables

    @property
    def learns_features(self) -> bool:
        """Whether features descend in rounds of their own after the latent (ILO)."""
        return "features" in self.variables

    @property
    def finds_mask(self) -> bool:
        """Whether the score is a mask in [0, 1] that the method found."""
        return self.learns_mask or self.profile

    @property
    def has_lambda(self) -> bool:
        """Whether the objective has the sparsity weight lambda."""
        return self.finds_mask

    @property
    def settling_passes(self) -> int:
        """Passes of the last stage that are taken before lambdas part, rounded down."""
        return int(self.settle * self.stages[-1][1])

    @property
    def needs_discriminator(self) -> bool:
        """Whether a prior looks through the discriminator."""
        return any((self.critic_weight, self.explore_critic_weight, self.feature_weight))

    def holding_a_mask(self) -> Self:
        """The same with a mask given, not eliminated: a found one, the true one is not known."""
        return replace(
            self,
            profile=False,
            needs_mask=True,
            explore_lam=0.0,
            explore_critic_weight=0.0,
            escapes=(),
            area_masked=False,
            settle=0.0,
        )

    def in_round(self, layer: int, steps: int) -> Self:
        """The same as a round of features alone: one descent, with a rate that falls anew."""
        return replace(
            self,
            stages=((1, steps),),
            rounds=((layer, steps),),
            solver="projected-adam",
            explore_lam=0.0,
            explore_critic_weight=0.0,
            escapes=(),
            area_masked=False,
            settle=0.0,
        )


def _contradiction(method: Method) -> str | None:
    """What is wrong with a method's settings taken together."""
    starts = [count for count, _ in method.stages]
    steps = [count for _, count in method.stages]
    if not starts or min(starts) < 1 or min(steps) < 0:
        return (
            f"stages {list(method.stages)}: allowed: pairs of starts and steps, at least one pair"
        )
    # What learns weights, too, goes on from there; others would end where they start.
    if 0 in (steps[:-1] if method.learns_weights else steps):
        return (
            f"stages {list(method.stages)}: 0 steps are allowed only in the last stage of a method "
            "whose weights learn after it"
        )
    if starts != sorted(starts, reverse=True):
        return f"stages {list(method.stages)}: starts must not increase from stage to stage"
    if method.pool and starts[0] > method.pool:
        return f"stages begin with {starts[0]} starts, more than pool {method.pool}"
    if method.encoded_start and method.pool and starts[0] == 1:
        return "its one start is encoded; set pool to 0, or let stages begin with more starts"
    if method.weights_iterations and not method.learns_weights:
        return "weights_iterations is set, but its weights are fixed"
    if method.learns_weights and not method.weights_iterations:
        return "its weights are variables, but weights_iterations is 0"
    return _contradiction_of_observation(method) or _contradiction_of_solver(method)


def _contradiction_of_observation(method: Method) -> str | None:
    if method.needs_operator and (method.needs_mask or method.finds_mask or method.feature_weight):
        return "with a known operator there is neither a mask nor feature_weight"
    if method.perceptual_weight and not method.needs_operator:
        return "perceptual_weight needs a method with a known operator"
    if method.fidelity_weight != 1 and not method.perceptual_weight:
        return "fidelity_weight is only for methods with perceptual_weight above 0"
    return _contradiction_of_rounds(method)


def _contradiction_of_rounds(method: Method) -> str | None:
    layers = [layer for layer, _ in method.rounds]
    if method.rounds and not method.learns_features:
        return "rounds are set, but its features are no variables"
    if method.learns_features and not method.rounds:
        return "its features are variables, but rounds is empty"
    if method.learns_features and method.learns_weights:
        return "features and weights cannot both be variables"
    if layers != sorted(set(layers)) or any(min(pair) < 1 for pair in method.rounds):
        return (
            f"rounds {list(method.rounds)}: allowed: pairs of layer and steps, each from 1, the "
            "layers in rising order"
        )
    if method.radius and not method.rounds:
        return "radius is of features; its rounds are none"
    return None


def _contradiction_of_solver(method: Method) -> str | None:
    if method.batch < 1:
        return f"batch {method.batch}: allowed: at least 1"
    if method.learns_mask and method.solver != "adam":
        return f"solver {method.solver} keeps no variable in [0, 1], as M must be; allowed: adam"
    if method.explore_lam and not (method.finds_mask and len(method.stages) > 1):
        return "explore_lam needs a mask that is found and a stage that follows"
    if method.explore_critic_weight and not method.explore_lam:
        return "explore_critic_weight needs explore_lam"
    if not 0 <= method.settle < 1:
        return f"settle {method.settle}: allowed: from 0 to less than 1"
    if method.settle and not (method.explore_lam and method.profile):
        return "settle needs explore_lam, and a mask that is eliminated; set settle: 0"
    if method.tolerance and method.solver == "adam":
        return "tolerance needs solver lbfgs or projected-adam; Adam's objective may rise"
    if method.sphere and method.solver != "projected-adam":
        return "sphere needs solver projected-adam"
    return _contradiction_of_areas(method)


def _contradiction_of_areas(method: Method) -> str | None:
    """Of what goes by the area of masks."""
    if method.escapes and (not method.profile or method.feature_weight):
        return (
            "escapes need a method that eliminates its mask, without feature_weight; "
            "set escapes: []"
        )
    if any(len(pair) != 2 or min(pair) < 1 for pair in method.escapes):
        return f"escapes {list(method.escapes)}: allowed: pairs of steps, each from 1"
    if method.area_masked and (not method.profile or method.feature_weight):
        return (
            "area_masked needs a method that eliminates its mask, without feature_weight; "
            "set area_masked: false"
        )
    if method.area_masked and len(method.stages) < 2 and not method.escapes:
        return (
            "area_masked needs a stage before the last one, or escapes, that find a mask; "
            "set area_masked: false"
        )
    return _contradiction_of_rate(method)


def _contradiction_of_rate(method: Method) -> str | None:
    begins_anew = method.explore_lam or method.escapes or method.area_masked
    if method.ramp_down and begins_anew and method.solver != "lbfgs":
        return (
            "ramp_down with explore_lam, escapes or area_masked: the last stage begins anew, at "
            "the full rate"
        )
    if method.ramp_down and method.solver == "lbfgs" and not method.rounds:
        return "ramp_down needs solver adam; L-BFGS searches each step's length"
    if method.ramp_down and method.learns_weights and method.solver == "projected-adam":
        return "ramp_down with weights_iterations needs solver adam: weights are moved by Adam"
    return None


# One recipe for every data set, chosen by measurement: docs/solver.md.
_PROFILE = Method(
    profile=True,
    pool=4096,
    solver="lbfgs",
    stages=((12, 8), (3, 20), (1, 944)),
    escapes=((40, 60), (40, 60)),
    area_masked=True,
    explore_lam=0.05,
    explore_critic_weight=0.3,
    settle=0.33,
    tolerance=0.0005,
)

# Known operators: a descent as in ILO, whose lowest point counts. A latent's length says nothing to
# a generator that normalises it, so the sphere alone is PULSE's prior.
_CSGM = Method(needs_operator=True, solver="projected-adam", ramp_down=0.75)
_ILO = replace(
    _CSGM,
    variables=("latent", "features"),
    stages=((1, 800),),
    rounds=((1, 800), (2, 400)),
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
        stages=((1, 1500),),
        weights_iterations=500,
    ),
    "anogan": Method(fidelity="l1", feature_weight=1.0),
    "rgi": Method(variables=("latent", "mask"), critic_weight=0.1),
    "r-rgi": Method(
        variables=("latent", "mask", "weights"),
        critic_weight=0.1,
        stages=((1, 1500),),
        weights_iterations=500,
    ),
    "rgi-profile": _PROFILE,
    # While weights learn, the discriminator holds them, as in R-RGI.
    "r-rgi-profile": replace(
        _PROFILE,
        variables=("latent", "weights"),
        critic_weight=0.1,
        explore_critic_weight=0.1,
        weights_iterations=500,
    ),
    "csgm": _CSGM,
    "pulse": replace(_CSGM, pool=0, sphere=True, learning_rate=0.4),
    "ilo": replace(_ILO, perceptual_weight=1.0),
    "ilo-mse": _ILO,
    "ilo-lpips": replace(_ILO, fidelity_weight=0.0, perceptual_weight=1.0),
    "robust-ilo": replace(
        _PROFILE,
        variables=("latent", "features"),
        ramp_down=0.75,
        rounds=((1, 200), (2, 200)),
        # Chosen on training images; without a ball features make the corruption, too.
        ball="l1",
        radius=0.03,
    ),
}

SETTINGS = tuple(
    field.name
    for field in fields(Method)
    if field.name not in ("variables", "profile", "needs_mask", "needs_operator")
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
    known = METHODS[preset]
    pairs = {
        name: tuple(map(tuple, settings.get(name, getattr(known, name))))
        for name in ("stages", "rounds", "escapes")
    }
    try:
        return replace(known, **{**settings, **pairs})
    except InputError as error:
        raise InputError(f"{preset}: {error}") from None
