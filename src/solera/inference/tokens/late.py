"""Late interaction: how well pages answer queries, and how good a ranking is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from solera.errors import BadParameter


def maxsim(query: Tensor, pages: Sequence[Tensor]) -> Tensor:
    """Score pages: for each vector of the query the best inner product on the page, summed (ColBERT, ColPali).

    Shape: query (words, channels), each page (vectors, channels) -> (pages,)

    Cost: words times all vectors.

    Raises:
        BadParameter: there are no pages, a page is empty, or its channels are not the query's.

    Example:
        >>> maxsim(torch.eye(2), [torch.eye(2), torch.tensor([[1.0, 0.0]])]).tolist()
        [2.0, 1.0]
    """
    if not pages:
        raise BadParameter("There are no pages.", want="one or more")
    for page in (query, *pages):
        if page.dim() != 2 or not len(page) or page.shape[-1] != query.shape[-1]:
            want = f"(one or more, {query.shape[-1]}) as the query's channels"
            raise BadParameter("Query and pages do not fit.", got=tuple(page.shape), want=want)
    products = torch.cat(list(pages)) @ query.T
    lengths = [len(page) for page in pages]
    if len(set(lengths)) == 1:
        return products.view(len(pages), lengths[0], -1).amax(1).sum(1)
    return torch.stack([part.amax(0).sum() for part in torch.split(products, lengths)])


def ndcg(scores: Tensor, relevant: Sequence[int] | int, at: int = 5) -> float:
    """Normalised discounted cumulative gain of one ranking, with pages that are relevant or not.

    Args:
        scores: of the pages; equal ones are ranked in order.
        relevant: the page that answers, or those that do.
        at: how many places count.

    Raises:
        BadParameter: nothing is relevant.

    Example:
        >>> ndcg(torch.tensor([0.1, 0.9, 0.5]), 1), round(ndcg(torch.tensor([0.1, 0.9, 0.5]), 2), 4)
        (1.0, 0.6309)
    """
    wanted = {relevant} if isinstance(relevant, int) else set(relevant)
    if not wanted or at < 1:
        raise BadParameter("The ranking cannot be judged.", got=f"{len(wanted)} relevant pages, first {at} places")
    first = scores.argsort(descending=True, stable=True)[:at].tolist()
    gains = 1 / torch.arange(2, at + 2, dtype=torch.float64).log2()
    found = sum(float(gain) for page, gain in zip(first, gains, strict=False) if page in wanted)
    return found / float(gains[: len(wanted)].sum())
