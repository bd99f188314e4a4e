"""A retrieval toy: pages of handwritten numbers, and a small encoder that is really trained to find numbers on them.

A page is an image of 192 x 192 pixels, 576 patches of 8 x 8. On it stand some 45 numbers of three digits, each digit a
scan of scikit-learn's data set (split as in the testbed vision-8, so that pages that are searched are in handwriting
that training never saw), in lines with margins, gaps and blank space, under noise. Pages become one vector of unit norm
for each patch, by a network that sees a few patches to the left and right; queries are three numbers of one page, one
vector for each. No downloaded weight: what is measured is what pooling does to late interaction, not how well
anything reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, normalize

from solera.inference.tokens.pooling import clusters, means, pooled_count
from solera.testbeds.vision.images import Part, digits, split

SIDE, PATCH = 192, 8
GRID = SIDE // PATCH
DIGITS, NUMBERS = 3, 1000
ASKED = 3
NOISE = 0.1
TEMPERATURE = 0.07
HELD_OUT = 450
Pooling = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Page:
    """An image (1, side, side) in [0, 1], ink is 1; its numbers, and the first patch of each."""

    pixels: Tensor
    numbers: Tensor
    places: Tensor


@dataclass(frozen=True)
class Hand:
    """Scans of digits: (digit, which) -> pixels (8, 8)."""

    scans: tuple[Tensor, ...]

    @classmethod
    def of(cls, part: Part, seed: int) -> Hand:
        """The scans of one side of the split."""
        found = split(digits(), seed, HELD_OUT)[part]
        pixels = torch.as_tensor(found.pixels).float() / 255
        return cls(tuple(pixels[torch.as_tensor(found.classes == digit)] for digit in range(10)))

    def page(self, draw: torch.Generator) -> Page:
        """One page."""

        def pick(low: int, high: int) -> int:
            return int(torch.randint(low, high, (), generator=draw))

        left, right = pick(0, 4), GRID - pick(0, 5)
        places = [
            row * GRID + column
            for row in range(pick(0, 4), GRID - pick(0, 8))
            for column in range(left + pick(0, 3), right - DIGITS, DIGITS + 1)
            if pick(0, 5) < 2
        ]
        numbers = torch.randint(0, NUMBERS, (len(places),), generator=draw)
        cells = torch.zeros(GRID * GRID, PATCH, PATCH)
        for place, number in zip(places, numbers.tolist(), strict=True):
            for k, digit in enumerate(f"{number:03d}"):
                scans = self.scans[int(digit)]
                cells[place + k] = scans[pick(0, len(scans))]
        cells = (cells + NOISE * torch.randn(cells.shape, generator=draw)).clamp(0, 1)
        pixels = cells.view(GRID, GRID, PATCH, PATCH).transpose(1, 2).reshape(1, SIDE, SIDE)
        return Page(pixels, numbers, torch.tensor(places))


class Encoder(nn.Module):
    """Pages and numbers as vectors of unit norm."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, channels, PATCH, stride=PATCH)
        self.each = nn.Conv2d(channels, channels, 1)
        self.along = nn.ModuleList(nn.Conv2d(channels, channels, (1, 3), padding=(0, 1)) for _ in range(3))
        self.out = nn.Conv2d(channels, channels, 1)
        self.digits = nn.Embedding(10 * DIGITS, channels)
        self.joined = nn.Sequential(
            nn.Linear(channels * DIGITS, channels * 2), nn.GELU(), nn.Linear(channels * 2, channels)
        )

    def pages(self, pixels: Tensor) -> Tensor:
        """(pages, 1, side, side) -> (pages, patches, channels)."""
        x = gelu(self.each(gelu(self.patch(pixels))))
        for layer in self.along:
            x = x + gelu(layer(x))
        return normalize(self.out(x).flatten(2).transpose(1, 2), dim=-1)

    def queries(self, numbers: Tensor) -> Tensor:
        """(...) -> (..., channels)."""
        each = torch.stack([numbers // 100, numbers // 10 % 10 + 10, numbers % 10 + 20], dim=-1)
        return normalize(self.joined(self.digits(each).flatten(-2)), dim=-1)


def query_of(page: Page, draw: torch.Generator) -> Tensor:
    """Some of a page's numbers."""
    return page.numbers[torch.randperm(len(page.numbers), generator=draw)[:ASKED]]


def loss_of(model: Encoder, pages: Sequence[Page], draw: torch.Generator, pool: Pooling | None) -> Tensor:
    """Contrastive loss of queries against all pages of the batch, and which number stands on each patch."""
    vectors = model.pages(torch.stack([page.pixels for page in pages]))
    kept = list(vectors) if pool is None else [pool(one) for one in vectors]
    asked = model.queries(torch.stack([query_of(page, draw) for page in pages]))
    scores = torch.stack([(asked @ one.T).amax(-1).sum(-1) for one in kept], dim=1) / ASKED
    contrast = cross_entropy(scores / TEMPERATURE, torch.arange(len(pages)))
    known = torch.cat([one[page.places + k] for one, page in zip(vectors, pages, strict=True) for k in range(DIGITS)])
    number = torch.cat([page.numbers.repeat(DIGITS) for page in pages])
    every = model.queries(torch.arange(NUMBERS))
    return contrast + cross_entropy(known @ every.T / TEMPERATURE, number)


def fit(
    model: Encoder, hand: Hand, steps: int, rate: float, seed: int, *, rows: int = 16, pool: Pooling | None = None
) -> float:
    """Train in place with AdamW on fresh pages; returns the mean loss of the last tenth."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    turn = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=max(2, steps), pct_start=0.1)
    draw, losses = torch.Generator().manual_seed(1000 + seed), []
    model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        loss = loss_of(model, [hand.page(draw) for _ in range(rows)], draw, pool)
        torch.autograd.backward(loss)
        optimiser.step()
        turn.step()
        losses.append(loss.item())
    model.eval()
    last = losses[-max(1, steps // 10) :]
    return sum(last) / len(last) if last else math.nan


def fresh(seed: int) -> Encoder:
    """An encoder with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Encoder()


def clustered(factor: int) -> Pooling:
    """Merging in the loop: clusters are constants, means have gradients."""

    def pool(page: Tensor) -> Tensor:
        return means(page, clusters(page, [pooled_count(len(page), factor)], linkage="ward")[0])

    return pool


@torch.no_grad()
def encoded(model: Encoder, pages: Sequence[Page]) -> list[Tensor]:
    """Vectors of each page."""
    found: list[Tensor] = []
    for start in range(0, len(pages), 32):
        found += list(model.pages(torch.stack([page.pixels for page in pages[start : start + 32]])))
    return found


def asked(model: Encoder, pages: Sequence[Page], count: int, seed: int) -> list[tuple[int, Tensor]]:
    """Queries: the page that answers, and the vectors."""
    draw = torch.Generator().manual_seed(2000 + seed)
    chosen = torch.randperm(len(pages), generator=draw)[:count].tolist()
    with torch.no_grad():
        return [(page, model.queries(query_of(pages[page], draw))) for page in chosen]


def picture(page: Page, path: Any) -> None:
    """Write a page as it would be printed."""
    from PIL import Image

    Image.fromarray((255 - page.pixels[0] * 255).byte().numpy()).resize((2 * SIDE, 2 * SIDE)).save(path)
