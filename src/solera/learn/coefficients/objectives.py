"""What makes coefficients good, without labels: predictions that are sure, or that are those of the experts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from solera.errors import BadParameter
from solera.learn.coefficients.contract import Answer


def entropy(merged: Answer, expert: Answer | None, options: Mapping[str, float]) -> Tensor:  # noqa: ARG001
    """Mean entropy of the predictions, in nats; of sequences, over all tokens that are no padding.

    Example:
        >>> round(entropy(Answer(torch.tensor([[2.0, 0.0, 0.0]])), None, {}).item(), 6)
        0.665573
    """
    log = merged.logits.float().log_softmax(-1)
    return _mean(-(log.exp() * log).sum(-1), merged.real)


def alignment(merged: Answer, expert: Answer | None, options: Mapping[str, float]) -> Tensor:
    """Cross-entropy to the expert's predictions, and the squared distance of hidden states from its own.

    T^2 CE(softmax(z_expert / T), log_softmax(z / T)) + w * mean over layers of MSE(h, h_expert)

    Options: ``temperature`` T; ``hidden`` w, 0 leaves hidden states out.

    Raises:
        BadParameter: there is no expert to compare with, or it has other answers.

    Example:
        >>> sure = Answer(torch.tensor([[9.0, -9.0]]))
        >>> round(alignment(sure, sure, {"temperature": 1.0, "hidden": 0.0}).item(), 4)
        0.0
    """
    if expert is None or expert.logits.shape != merged.logits.shape:
        got = "no expert" if expert is None else f"{tuple(expert.logits.shape)} and {tuple(merged.logits.shape)}"
        raise BadParameter("Merged model and expert do not answer alike.", got=got, want="logits of equal shape")
    temperature = options["temperature"]
    wanted = (expert.logits.float() / temperature).softmax(-1)
    given = (merged.logits.float() / temperature).log_softmax(-1)
    loss = _mean(-(wanted * given).sum(-1), merged.real) * temperature**2
    if options["hidden"] and merged.hidden:
        pairs = zip(merged.hidden, expert.hidden, strict=True)
        distances = [_mean((mine.float() - theirs.float()).square().mean(-1), merged.real) for mine, theirs in pairs]
        loss = loss + options["hidden"] * torch.stack(distances).mean()
    return loss


def _mean(values: Tensor, real: Tensor | None) -> Tensor:
    """Mean over examples, and over the tokens that are no padding."""
    if real is None or real.shape != values.shape:
        return values.mean()
    return values[real].mean()
