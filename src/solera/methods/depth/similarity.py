"""How alike layers are: a diffusion map of what each gives, and the information that two maps share.

Source: "Pruning via Merging" (MKA, arXiv:2406.16330), section 3; constants of the official code. Estimators: Kraskov et
al., "Estimating mutual information" (arXiv:cond-mat/0305641); Kozachenko and Leonenko, as in the same paper, eq. 20.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from solera.errors import BadParameter, NonFinite

SIGMA, ALPHA, DIMENSIONS = 8.0, 0.5, 2
NEIGHBOURS, ENTROPY_NEIGHBOURS = 5, 50
LEAST = 2 * NEIGHBOURS
"""Examples below which nothing can be estimated."""


def diffusion_map(x: Tensor, *, sigma: float = SIGMA, alpha: float = ALPHA, dimensions: int = DIMENSIONS) -> Tensor:
    """Coordinates of examples on the manifold that they lie on.

    With K = exp(-(distance / sigma)^(1/2)), K / (p p')^alpha where p are the sums of its rows, made symmetric by the
    roots of the new sums: the coordinates are its leading singular vectors, divided by the first.

    Shape: (examples, channels) -> (examples, dimensions), in float64; signs are of no meaning

    Cost: examples^2 channels products, and one symmetric eigenproblem of that size.

    Example:
        >>> x = torch.linspace(0, 1, 12, dtype=torch.float64)[:, None] * torch.ones(1, 3)
        >>> first = diffusion_map(x)[:, 0]
        >>> bool((first.diff() > 0).all() or (first.diff() < 0).all())
        True
    """
    wide = x.to(torch.float64)
    kernel = (-(torch.cdist(wide, wide, compute_mode="donot_use_mm_for_euclid_dist") / sigma).sqrt()).exp()
    sums = kernel.sum(0)
    kernel = kernel / (sums[:, None] * sums).pow(alpha)
    roots = kernel.sum(0).sqrt()
    values, vectors = torch.linalg.eigh(kernel / (roots[:, None] * roots))
    leading: Tensor = vectors[:, values.abs().argsort(descending=True)[: dimensions + 1]]
    return leading[:, 1:] / leading[:, :1]


def ranks(coordinates: Tensor) -> Tensor:
    """Each coordinate's place in the order of its column, from 0.

    Example:
        >>> ranks(torch.tensor([[0.3], [-1.0], [0.9]])).flatten().tolist()
        [1.0, 0.0, 2.0]
    """
    order = coordinates.argsort(dim=0, stable=True)
    places = torch.arange(len(coordinates), dtype=torch.float64)[:, None].expand_as(coordinates)
    return torch.empty_like(coordinates, dtype=torch.float64).scatter(0, order, places)


def mutual_information(a: Tensor, b: Tensor, neighbours: int = NEIGHBOURS) -> float:
    """Information in nats that two variables share, by distances to nearest neighbours (Kraskov's first estimator).

    Shape: (examples,) twice; never negative

    Example:
        >>> x = torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> mutual_information(x, x.flip(0)) < 0.1 < 2 < mutual_information(x, x)
        True
    """
    apart = (a[:, None] - a).abs(), (b[:, None] - b).abs()
    joint = torch.maximum(*apart).fill_diagonal_(math.inf)
    reach = joint.kthvalue(neighbours, dim=1).values[:, None]
    inside = [(one.fill_diagonal_(math.inf) < reach).sum(1).double() for one in apart]
    known = torch.tensor([len(a), neighbours], dtype=torch.float64).digamma().sum()
    found = known - sum(torch.digamma(count + 1).mean() for count in inside)
    return max(0.0, float(found))


def entropy(points: Tensor, neighbours: int = ENTROPY_NEIGHBOURS) -> float:
    """Entropy in nats of points, by the distance to a near neighbour (Kozachenko and Leonenko).

    Shape: (examples, dimensions)

    Args:
        points: ranks, so that the unit is one place in the order and the entropy is positive.
        neighbours: fewer where there are fewer examples.

    Example:
        >>> grid = torch.cartesian_prod(torch.arange(20.0), torch.arange(20.0))
        >>> abs(entropy(grid) - math.log(400)) < 0.4
        True
    """
    count, dimensions = points.shape
    k = min(neighbours, count - 1)
    wide = points.to(torch.float64)
    reach = torch.cdist(wide, wide).fill_diagonal_(math.inf).kthvalue(k, dim=1).values
    ball = dimensions / 2 * math.log(math.pi) - math.lgamma(dimensions / 2 + 1)
    psi = torch.tensor([count, k], dtype=torch.float64).digamma()
    return float(psi[0] - psi[1] + ball + dimensions * reach.log().mean())


def shared_information(a: Tensor, b: Tensor, neighbours: int = NEIGHBOURS) -> float:
    """Mean mutual information over all pairs of coordinates."""
    pairs = [(a[:, i], b[:, j]) for i in range(a.shape[1]) for j in range(b.shape[1])]
    return sum(mutual_information(*pair, neighbours) for pair in pairs) / len(pairs)


def layer_similarity(outputs: Tensor) -> Tensor:
    """Similarity of all pairs of layers: what their maps share, by the root of the product of their entropies (NPIB).

    Shape: outputs (layers, examples, channels) -> (layers, layers), symmetric, in [0, 1]

    Args:
        outputs: what each layer gives for each example, averaged over tokens.

    Raises:
        BadParameter: fewer than 10 examples, or no such shape. NonFinite: NaN or infinity in the outputs.

    Cost: layers^2 / 2 times examples^2; seconds for 32 layers and 256 examples.

    Differs:
        The official script looks at the first 57 tokens of one prompt, and at what enters a layer; here it is the mean
        over the tokens of every prompt, of what leaves it. Its entropy leaves out the ball's volume and has units in
        which it is negative, so that the root may not exist; here the unit is one place in the order. Mutual
        information is exact, where scikit-learn adds noise to break ties.

    Example:
        >>> x = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(0))
        >>> found = layer_similarity(torch.stack([x[0], x[0] * 1.01, x[1]]))
        >>> bool(found[0, 1] > found[0, 2])
        True
    """
    if outputs.dim() != 3 or outputs.shape[1] < LEAST:
        got, want = f"{tuple(outputs.shape)}", f"(layers, examples, channels), {LEAST} examples or more"
        raise BadParameter("Layers cannot be compared on this.", got=got, want=want, fix="measure on more examples")
    if not bool(outputs.isfinite().all()):
        raise NonFinite("A layer gives NaN or infinity.", fix="look at the data, and at the model in its own precision")
    maps = [ranks(diffusion_map(one)) for one in outputs]
    widths = [max(entropy(one), math.log(len(one)) / 2) for one in maps]
    found = torch.zeros(len(maps), len(maps), dtype=torch.float64)
    for i, a in enumerate(maps):
        for j, b in enumerate(maps[: i + 1]):
            share = shared_information(a, b) / math.sqrt(widths[i] * widths[j])
            found[i, j] = found[j, i] = min(1.0, share)
    return found
