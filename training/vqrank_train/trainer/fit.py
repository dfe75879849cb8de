"""The trainer: resumable, seeded, validated by time."""

from __future__ import annotations

import itertools
import json
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from tqdm import tqdm

from vqrank_train.checkpoint import CheckpointError, check_state, read_checkpoint, save_checkpoint
from vqrank_train.config import Config, ConfigError
from vqrank_train.errors import DataError, RunError, one_line
from vqrank_train.model import Ranker
from vqrank_train.model.dmqn import Dmqn
from vqrank_train.model.hstu import CausalBlock
from vqrank_train.model.vql import Vql
from vqrank_train.trainer.blocks import blocks
from vqrank_train.trainer.dataset import DataSet, Moments, Sample
from vqrank_train.trainer.inputs import Inputs, draw_events, fill_template
from vqrank_train.trainer.quantizers import check_same, read_quantizers
from vqrank_train.trainer.revive import revive, start_codebooks
from vqrank_train.trainer.scoring import logits, score
from vqrank_train.trainer.start import start, widen_head

FREE = 0.1  # of the rate: codewords, projections, norms, and biases but those by place and time


@dataclass
class Options:
    """The `training` part of a training config."""

    steps: int = 2000
    batch: int = 4  # blocks a step
    block: int = 16  # consecutive moments of one user a block
    shared: int = 4  # consecutive moments scored against one encoded history: the first one's
    exact: float = 0.75  # share of the steps after which every moment gets its own history
    positives: int = 4  # at most, a moment
    warm_up: int = 50  # steps over which the rate rises
    rate: float = 2e-3  # of Adam at its highest; falls to zero along a cosine
    table_rate: float = 2e-3
    table_decay: float = 1e-2  # decoupled weight decay of embedding tables
    decay: float = 1e-3  # of everything else
    tau: tuple[float, float] = (0.5, 0.05)  # temperature from, to: falls geometrically
    gradient_events: int = 256  # events of a block that carry the straight-through gradient
    history: int = 8192  # in training, blocks with longer histories are left out
    validate: int = 250  # steps between validations
    patience: int = 4  # validations without a better one
    validation_moments: int = 2000


class Batches:
    """Endless blocks of training moments: every pass visits each user's moments in blocks, in a new random order."""

    def __init__(self, moments: Moments, options: Options) -> None:
        self.moments, self.options = moments, options
        edges = np.concatenate([[0], np.flatnonzero(np.diff(moments.user)) + 1, [len(moments)]])
        self.spans = [
            (int(low), int(min(low + options.block, high)))
            for a, high in itertools.pairwise(edges)
            for low in range(a, high, options.block)
            if moments.history[min(low + options.block, high) - 1] <= options.history
        ]
        if not self.spans:
            raise ConfigError(
                "training.history: expected training moments in blocks with at most so many events before them, found "
                f"none with {options.history}"
            )
        self.steps_per_pass = len(self.spans) / options.batch
        self.order: tuple[int, int, np.ndarray] | None = None  # seed, pass and the order of its spans

    def at(self, step: int, seed: int) -> np.ndarray:
        """Spans of a step; a function of seed and step alone, so that training can resume anywhere."""
        size, n = self.options.batch, len(self.spans)
        places = np.arange(step * size, (step + 1) * size)
        return np.array([self.spans[self.order_of(seed, int(p) // n)[int(p) % n]] for p in places])

    def order_of(self, seed: int, number: int) -> np.ndarray:
        """The order of spans in one pass."""
        if self.order is None or self.order[:2] != (seed, number):
            self.order = (seed, number, np.random.default_rng((seed, number)).permutation(len(self.spans)))
        return self.order[2]

    def sample(self, data: DataSet, step: int, seed: int) -> Sample:
        """What a step scores: until `exact`, `shared` moments at a time count as their first."""
        options = self.options
        spans = self.at(step, seed)
        which = np.concatenate([np.arange(low, high) for low, high in spans])
        sample = data.sample(self.moments, np.random.default_rng((seed, 2, step)), which, cap=options.positives)
        if step < options.exact * options.steps:
            first = np.concatenate(
                [np.arange(high - low) // options.shared * options.shared + low for low, high in spans]
            )
            leader = dict(zip(which.tolist(), first.tolist(), strict=True))
            sample.moment = np.array([leader[m] for m in sample.moment.tolist()])
            sample = without_contradictions(sample)
        return sample


def without_contradictions(sample: Sample) -> Sample:
    """The sample without negatives that are positives of the same moment: moments that share one drew them apart."""
    keys = sample.moment * (sample.item.max() + 1) + sample.item
    positive = sample.label.astype(bool)
    keep = positive | ~np.isin(keys, keys[positive])
    return Sample(sample.moment[keep], sample.item[keep], sample.label[keep])


def parameter_groups(module: Ranker, options: Options) -> list[dict[str, Any]]:
    """Tables have a rate and a decay of their own; codewords, biases, slopes and norms do not decay, and are slower.
    The biases of scores that HSTU over events has by place and time learn and decay as weights do."""
    tables, plain, free = [], [], []
    relative = {
        parameter
        for block in module.modules()
        if isinstance(block, CausalBlock)
        for parameter in block.parameters(recurse=False)
    }  # by place and time: what order says is in nothing else
    slow = (".bias", ".alpha", ".codebook", ".projection")
    for name, parameter in module.named_parameters():
        if name.startswith("tables."):
            tables.append(parameter)
        elif parameter not in relative and (name.endswith(slow) or "norm" in name):
            free.append(parameter)
        else:
            plain.append(parameter)
    return [
        {"params": tables, "lr": options.table_rate, "peak": options.table_rate, "weight_decay": options.table_decay},
        {"params": plain, "lr": options.rate, "peak": options.rate, "weight_decay": options.decay},
        {"params": free, "lr": options.rate, "peak": options.rate * FREE, "weight_decay": 0.0},
    ]


def loss_of(module: Ranker, inputs: Inputs, moments: Moments, sample: Sample, options: Options, tau: float) -> Tensor:
    """Mean binary cross-entropy of a sample under training's noisy assignment, and what vql codebooks add."""
    batch = list(blocks(moments, sample, options.block))
    losses: list[Tensor] = []
    found = logits(module, inputs, batch, tau, options.gradient_events, losses)
    present = torch.from_numpy(np.concatenate([b.present.ravel() for b in batch])).to(inputs.device)
    label = torch.from_numpy(np.concatenate([b.label.ravel() for b in batch])).to(inputs.device)
    every = torch.cat([part.flatten() for part in found])
    loss = nn.functional.binary_cross_entropy_with_logits(every[present], label[present].float())
    return loss + sum(losses, start=loss.new_zeros(()))


def health(module: Ranker, inputs: Inputs, events: int = 50000) -> dict[str, list[dict[str, float]]]:
    """Per sequence and codebook over events drawn from all: share of codewords used, perplexity / W."""
    index = draw_events(inputs, events, 0)
    found = {}
    with torch.no_grad():
        e = module.embed("event", inputs.event(index.to(inputs.device)), (len(index),))
        for sequence in module.config.sequences:
            own = module.sequences[sequence.name]
            if not isinstance(own, Dmqn | Vql):
                continue
            rows = []
            for scores in own.scores(e):
                codewords = scores.shape[-1]
                share = torch.bincount(scores.argmax(-1), minlength=codewords).double() / len(index)
                entropy = -(share[share > 0] * share[share > 0].log()).sum().item()
                used = (share > 0).double().mean().item()
                rows.append({"used": used, "perplexity": math.exp(entropy) / codewords})
            found[sequence.name] = rows
    return found


def check_smaller(config: Config, own: Config, path: Path) -> bool:
    """Refuse a model that is not `own` without some of the last sequences; tells whether any are missing."""
    names, known = ([s.name for s in c.sequences] for c in (config, own))
    if config.groups != own.groups or names != known[: len(names)]:
        raise RunError(
            f"{path}: expected a model of the same features whose sequences are the first of {', '.join(known)}, found "
            f"{'other features' if config.groups != own.groups else ', '.join(names)}"
        )
    if len(names) == len(known):
        return False
    if own.sequences[len(names)].kind != "dmqn":
        raise RunError(f"{path}: expected a model that lacks sequences of kind dmqn, found {known[len(names)]} missing")
    if len(config.head.hidden) != len(own.head.hidden) or not own.head.hidden:
        raise RunError(
            f"{path}: expected as many hidden layers in its head as here, at least one, found "
            f"{len(config.head.hidden)} for {len(own.head.hidden)}"
        )
    return True


def place_of(name: str, tensor: Tensor, own: dict[str, Tensor], config: Config, grows: bool, path: Path) -> Any:
    """Where a smaller model's tensor goes in `own` of its name: everywhere, or a corner, or the rows of ids."""
    found, table = own.get(name), config.tables.get(name.removeprefix("tables.").removesuffix(".weight"))
    if found is not None and found.shape == tensor.shape:
        return ...
    if found is not None and table is not None and table.keys and found.shape[1:] == tensor.shape[1:]:
        ids = [key for key in table.keys if isinstance(key, int) and 0 <= key < len(found)]
        if len(ids) == len(table.keys) == len(tensor) - 1:  # a vocabulary's rows into a direct table
            return torch.tensor([0, *ids])
    wide = grows and name.startswith("head.") and found is not None and found.dim() == tensor.dim()
    if wide and found is not None and all(a <= b for a, b in zip(tensor.shape, found.shape, strict=True)):
        return tuple(slice(size) for size in tensor.shape)
    raise RunError(f"{path}: this model has no {name} of shape {list(tensor.shape)}")


class Trainer:
    """One run: `out` gets model.safetensors (the best so far), log.jsonl, and state.pt to go on from.

    `seconds` is the processor's time of the steps, of all threads together: other work beside the run does not count.
    """

    def __init__(
        self,
        data: DataSet,
        spec: dict[str, Any],
        out: Path,
        seed: int,
        device: torch.device,
        files: Path = Path(),
    ) -> None:
        """`files`: the folder of the files that the spec names."""
        self.out, self.seed, self.device = out, seed, device
        self.options = Options(**spec.get("training", {}))
        self.data = data
        self.training, self.validation, _ = data.parts()
        for part, moments in (("training", self.training), ("validation", self.validation)):
            if not len(moments):
                raise DataError(f"{part} part of the data: expected moments to predict, found none")
        torch.manual_seed(seed)
        config = Config.read(fill_template(spec["model"], data))
        self.quantizers = read_quantizers(config, spec["start"], files, seed)
        self.inputs = Inputs(data, config, device, self.quantizers)
        self.inputs.context(self.training.context)  # refuses columns that are not there
        self.module = Ranker(config)
        for name, quantizer in self.quantizers.items():
            self.module.quantizers[name].load_state_dict(quantizer.state_dict())
        start(self.module, spec["start"], data.share)
        self.module.to(device)
        start_codebooks(self.module, self.inputs, seed)
        self.batches = Batches(self.training, self.options)
        self.optimizer = torch.optim.AdamW(parameter_groups(self.module, self.options), betas=(0.9, 0.99))
        rng = np.random.default_rng((1, 1))  # the same sample for every seed
        count = min(self.options.validation_moments, len(self.validation))
        which = np.sort(rng.choice(len(self.validation), count, replace=False))
        self.validation_sample = data.sample(self.validation, rng, which, cap=8)
        if len(np.unique(self.validation_sample.label)) < 2:
            raise DataError("validation part of the data: expected positives and negatives, found one kind")
        self.step, self.best, self.waited, self.seconds = 0, 0.0, 0, 0.0

    def go_on_from(self, path: Path) -> list[str]:
        """Take over the tensors of a smaller model's checkpoint; returns the names that it lacks.

        The smaller model may lack HSTU layers and the last sequences; the head's first units are then the old ones.
        """
        source, tensors = read_checkpoint(path)
        try:
            config = Config.read(source)
            check_state(config, tensors)
        except (ConfigError, CheckpointError) as error:
            raise RunError(f"{path}: {error}") from None
        grows = check_smaller(config, self.module.config, path)
        check_same(self.quantizers, tensors, path)
        own = self.module.state_dict()
        moved = {name: place_of(name, tensor, own, config, grows, path) for name, tensor in tensors.items()}
        if grows:
            widen_head(self.module, len(config.sequences), config.head.hidden[0])
        for name, place in moved.items():
            own[name][place] = tensors[name].to(own[name])
            if isinstance(place, Tensor):
                own[name][0] = tensors[name][0]  # also where 0 is an id
        return sorted(set(own) - set(tensors))

    def resume(self) -> None:
        """Go on from state.pt; with the same seed and options the run ends as it would have without a break."""
        path = self.out / "state.pt"
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            made = json.loads(state["options"]) | {"seed": state["seed"]}
            asked = json.loads(json.dumps(asdict(self.options))) | {"seed": self.seed}
            if made != asked:
                differ = [key for key in asked if made.get(key) != asked[key]]
                wanted, found = (", ".join(f"{key} {has.get(key)}" for key in differ) for has in (asked, made))
                raise RunError(
                    f"{self.out}: expected a run with {wanted}, found one with {found}; ask for that, or give another "
                    "folder"
                )
            check_same(self.quantizers, state["module"], path)
            self.module.load_state_dict(state["module"])
            self.optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["random"].cpu())
            self.step, self.best, self.waited = state["step"], state["best"], state["waited"]
            self.seconds = state["seconds"]
        except (OSError, RunError):
            raise
        except Exception as error:  # whatever PyTorch makes of a damaged file, or of another model's
            raise RunError(
                f"{path}: expected the state of a run of this model, found {one_line(error)}; remove it to start anew"
            ) from None

    def save(self) -> None:
        """Write state.pt, replaced by rename."""
        state = {
            "module": self.module.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step,
            "best": self.best, "waited": self.waited, "seconds": self.seconds, "seed": self.seed,
            "options": json.dumps(asdict(self.options)), "random": torch.get_rng_state(),
        }  # fmt: skip
        torch.save(state, self.out / "state.pt.part")
        os.replace(self.out / "state.pt.part", self.out / "state.pt")

    def update(self) -> float:
        """One step; returns its loss."""
        options, done = self.options, self.step / self.options.steps
        for group in self.optimizer.param_groups:
            group["lr"] = (
                group["peak"] * 0.5 * (1 + math.cos(math.pi * done)) * min(1.0, (self.step + 1) / options.warm_up)
            )
        tau = options.tau[0] * (options.tau[1] / options.tau[0]) ** done
        sample = self.batches.sample(self.data, self.step, self.seed)
        self.module.train()
        loss = loss_of(self.module, self.inputs, self.training, sample, options, tau)
        if not torch.isfinite(loss):
            raise RunError(f"step {self.step}: expected a finite loss, found {loss.item()}; lower the rates")
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        revive(self.module, self.inputs, self.step, options.steps)
        return loss.item()

    def validate(self, loss: float) -> bool:
        """Score the validation part, keep the best, and tell whether to stop."""
        sample = self.validation_sample
        found = score(self.module, self.inputs, self.validation, sample)
        auc = float(roc_auc_score(sample.label, found))
        if auc > self.best:
            self.best, self.waited = auc, 0
            save_checkpoint(self.out / "model.safetensors", self.module)
        else:
            self.waited += 1
        books = [
            [round(row["used"], 3), round(row["perplexity"], 3)]
            for rows in health(self.module, self.inputs, 10000).values()
            for row in rows
        ]
        line = {"step": self.step, "seconds": round(self.seconds, 1), "loss": loss, "auc": auc, "codebooks": books}
        with open(self.out / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        tqdm.write(f"step {self.step}: loss {loss:.4f}, validation AUC {auc:.4f}, best {self.best:.4f}")
        return self.waited >= self.options.patience

    def run(self) -> float:
        """Train to the end or until validation stops improving; returns the best validation AUC."""
        options = self.options
        tqdm.write(f"{options.steps / self.batches.steps_per_pass:.2f} passes, {len(self.training)} training moments")
        mean = 0.0
        with tqdm(total=options.steps, initial=self.step, unit="step", smoothing=0.05) as bar:
            while self.step < options.steps:
                began = time.process_time()
                loss = self.update()
                mean = loss if not mean else 0.98 * mean + 0.02 * loss
                self.seconds += time.process_time() - began
                bar.update()
                bar.set_postfix(loss=f"{mean:.4f}", refresh=False)
                if self.step % options.validate == 0 or self.step == options.steps:
                    stop = self.validate(mean)
                    self.save()
                    if stop:
                        tqdm.write(f"stopped: no better one in {options.patience} validations")
                        break
        return self.best
