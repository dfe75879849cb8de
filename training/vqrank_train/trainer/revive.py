"""Codewords of vql sequences that no event chooses start again where keys are."""

from __future__ import annotations

import torch

from vqrank_train.model import Ranker
from vqrank_train.model.vql import Vql
from vqrank_train.trainer.inputs import Inputs, draw_events

EVERY = 25  # steps
EVENTS = 20000  # drawn to see which codewords are in use
UNTIL = 0.8  # of a run: codewords that moved late have no time to learn


def vqls_of(module: Ranker) -> list[Vql]:
    """The modules of sequences of kind vql."""
    every = [module.sequences[sequence.name] for sequence in module.config.sequences]
    return [own for own in every if isinstance(own, Vql)]


@torch.no_grad()
def revive(module: Ranker, inputs: Inputs, step: int, steps: int) -> None:
    """Now and then: codewords without any event take a random event's key; keeps `mix` above 0 at every step.

    What is drawn depends on the step alone, so that a run that was stopped goes on as it would have.
    """
    vqls = vqls_of(module)
    for own in vqls:
        if own.sequence.decay_terms:
            own.vql.mix.clamp_(min=1e-4)
    if not vqls or step % EVERY or step > UNTIL * steps:
        return
    start_codebooks(module, inputs, step, dead_only=True)


@torch.no_grad()
def start_codebooks(module: Ranker, inputs: Inputs, seed: int, dead_only: bool = False) -> None:
    """Codewords of every vql sequence as keys of random events: all of them, or those that no event chooses."""
    index = draw_events(inputs, EVENTS, seed)
    e = module.embed("event", inputs.event(index), (len(index),))
    generator = torch.Generator().manual_seed(seed)
    for own in vqls_of(module):
        for (group, codebook), scores in zip(own.groups, own.scores(e), strict=True):
            used = torch.bincount(scores.argmax(-1), minlength=len(codebook)) > 0
            place = (~used).nonzero()[:, 0] if dead_only else torch.arange(len(codebook))
            drawn = torch.randint(len(e), (len(place),), generator=generator)
            codebook[place] = own.keys(e[drawn], group)
