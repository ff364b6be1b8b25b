"""How far each word of a prompt goes into each token of the text encoder's answer.

A text encoder that reads from left to right can keep what a word means in any token after it, in its padding too, and
a denoiser that looks for the word looks there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fusionkit_accdiffusion.words import Word, spelled

if TYPE_CHECKING:
    from torch import Tensor


def influence(words: Sequence[Word], embed: Callable[[str], Tensor], blank: str) -> Tensor:
    """The share of each word in each token (W, L), 0..1, float32; the words' shares of a token add up to 1.

    It is how much the token's embedding changes, by its length, when the word's tokens are blank. Tokens that no word
    changes, such as the one that begins a prompt, have zeros.

    Args:
        words: The prompt's words.
        embed: Answers a prompt's embedding, (1, L, D).
        blank: A token that says nothing, as a prompt has it.
    """
    import torch

    everything = range(len(words))
    whole = embed(spelled(words, everything)).detach().float().cpu()[0]
    changes = []
    for number, word in enumerate(words):
        if not word.positions:
            changes.append(torch.zeros(len(whole)))
            continue
        without = list(words)
        without[number] = replace(word, text=blank * len(word.positions))
        other = embed(spelled(without, everything)).detach().float().cpu()[0]
        changes.append((other[: len(whole)] - whole).norm(dim=-1))
    found = torch.stack(changes)
    total = found.sum(0)
    return torch.where(total > 1e-4 * total.max(), found / total.clamp_min(1e-12), torch.zeros(()))
