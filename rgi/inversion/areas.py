"""Where a mask has area: gross corruption mostly has, what is merely not fitted mostly has not."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from rgi.inversion.memory import Batch
from rgi.inversion.problem import Problem, Render

PART = 3 / 16  # side of a neighbourhood, as a part of the image's


def regular_part(mask: Tensor) -> Tensor:
    """Pixels in whose neighbourhood, as far as it is inside the image, most are masked.

    Args:
        mask: N x H x W in [0, 1].

    Returns:
        N x H x W in {0, 1}.
    """
    reach = _reach(mask)
    marked = (mask > 0.5).to(mask.dtype)[:, None]
    around = avg_pool2d(marked, 2 * reach + 1, 1, reach, count_include_pad=False)
    return (around > 0.5).to(mask.dtype)[:, 0]


def widened(mask: Tensor) -> Tensor:
    """The mask, N x H x W in {0, 1}, and what is in its pixels' neighbourhoods."""
    reach = _reach(mask)
    return max_pool2d(mask[:, None], 2 * reach + 1, 1, reach)[:, 0]


def area(mask: Tensor) -> Tensor:
    """The area of masks that mostly have one, without holes; nothing of the others.

    A pixel in the midst of corrupted ones is corrupted, whatever it looks like. Where no more than
    half of a mask lies in its regular part (single pixels, thin strokes), that says nothing; an
    area of half of the image or more is one that was not fitted.

    Args:
        mask: N x H x W in [0, 1].

    Returns:
        N x H x W in {0, 1}.
    """
    marked = (mask > 0.5).to(mask.dtype)
    regular = regular_part(marked)
    mostly = 2 * (regular * marked).sum((-2, -1)) > marked.sum((-2, -1))
    filled = marked.maximum(regular)
    while True:  # it only grows
        more = marked.maximum(regular_part(filled))
        if torch.equal(more, filled):
            break
        filled = more
    found = regular_part(filled)
    believed = mostly & (found.mean((-2, -1)) < 0.5)
    return found * believed[:, None, None]


def found_mask(problem: Problem, render: Render, latents: Tensor, batch: Batch) -> Tensor:
    """The best M, N x H x W.

    Args:
        problem: N images.
        render: the generator.
        latents: N x K x d; of K descents the mean of their masks.
        batch: rows in one pass.
    """
    count, descents = latents.shape[:2]
    image = torch.arange(count, device=latents.device).repeat_interleave(descents)
    flat = latents.flatten(0, 1)

    @torch.no_grad()
    def find(chosen: Tensor, padded: Tensor) -> Tensor:
        masks = problem.rows(image[padded]).best_mask(render(flat[padded]))
        return masks[: len(chosen)]

    masks = torch.cat(batch.all(len(flat), flat.device, find))
    return masks.unflatten(0, (count, descents)).mean(1)


def _reach(mask: Tensor) -> int:
    return max(1, int(PART * mask.shape[-1] / 2))
