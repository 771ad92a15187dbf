"""Trains passphrase-llama: copying first, then longer and longer haystacks.

    pip install -r requirements-train.txt
    python train.py --work build/passphrase-llama        # run again after an interruption: it goes on

Writes WORK/checkpoint.pt, WORK/log.txt and the best weights so far, WORK/model.safetensors, every few minutes; at the
end those weights go to passphrase-llama/.
"""

import argparse
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import folder
from practice import copy_sequence
from prompts import make_prompt, practice_sequence, ANSWER_LENGTH
from torch_llama import LlamaForCausalLM

PEAK_RATE = 2e-3
WARMUP_STEPS = 100
EVALUATION_EVERY = 250
LONGEST_PROMPT = 1024
LONGEST_SEQUENCE = LONGEST_PROMPT + 16


@dataclass(frozen=True)
class Stage:
    """`steps` of `tokens` each, of which the share `copying` is copy practice; lengths grow from `shortest[0]` to
    `shortest[1]` and `longest` alike over the stage; the learning rate goes from `rate[0]` to `rate[1]` by a cosine."""
    steps: int
    tokens: int
    copying: float
    shortest: tuple
    longest: tuple
    rate: tuple = (1.0, 1.0)


STAGES = [
    Stage(2000, 2500, 0.5, (80, 80), (96, 96)),
    Stage(700, 2500, 0.5, (80, 160), (96, 320)),
    Stage(2600, 4608, 0.1, (128, 384), (LONGEST_SEQUENCE, LONGEST_SEQUENCE), (1.0, 0.0)),
    Stage(1900, 4608, 0.1, (640, 900), (LONGEST_SEQUENCE, LONGEST_SEQUENCE), (0.5, 0.0)),
]


def locate(step):
    """The stage of a step and how far into it the step is, in [0, 1)."""
    for stage in STAGES:
        if step < stage.steps:
            return stage, step / stage.steps
        step -= stage.steps
    return None, 1.0


def blend(ends, share):
    return ends[0] + (ends[1] - ends[0]) * share


def learning_rate(stage, share, step):
    cosine = blend(stage.rate, (1 - math.cos(math.pi * share)) / 2)
    return PEAK_RATE * cosine * min(1.0, (step + 1) / WARMUP_STEPS)


def draw_batch(kind, length, tokens, rng):
    """About `tokens` tokens in sequences of `length`: tokens int64 [B, length], mask bool [B, length - 1]."""
    pairs = [kind(length, rng) for _ in range(max(1, round(tokens / length)))]
    return (torch.from_numpy(np.stack([pair[0] for pair in pairs]).astype(np.int64)),
            torch.from_numpy(np.stack([pair[1] for pair in pairs]))[:, 1:])


def loss_of(model, batch):
    tokens, mask = batch
    logits = model(tokens, mask)
    targets = tokens[:, 1:][mask]
    return F.cross_entropy(logits, targets), (logits.argmax(-1) == targets).float().mean().item()


@torch.no_grad()
def exact_answers(model, length, prompts):
    """Share of prompts whose whole answer is the greedy one."""
    right = 0
    for seed in range(prompts):
        prompt = make_prompt(length, 10**6 + seed)
        tokens = torch.from_numpy(np.concatenate([prompt.tokens, prompt.answer]).astype(np.int64))[None]
        mask = torch.zeros(1, tokens.shape[1] - 1, dtype=torch.bool)
        mask[:, -ANSWER_LENGTH:] = True
        right += bool((model(tokens, mask).argmax(-1) == tokens[0, -ANSWER_LENGTH:]).all())
    return right / prompts


def train(work):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    work.mkdir(parents=True, exist_ok=True)
    folder.write_descriptions()
    model = LlamaForCausalLM(folder.CONFIG)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.95), weight_decay=0.01)
    checkpoint, step, best = work / "checkpoint.pt", 0, -1.0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, best = state["step"], state["best"]
    started = time.monotonic()

    while (located := locate(step))[0]:
        stage, share = located
        rng = np.random.default_rng([7, step])
        length = int(rng.integers(blend(stage.shortest, share), blend(stage.longest, share) + 1))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(stage, share, step)
        optimizer.zero_grad()
        needle_loss, needle_right = loss_of(
            model, draw_batch(practice_sequence, length, stage.tokens * (1 - stage.copying), rng))
        copy_loss, copy_right = loss_of(
            model, draw_batch(copy_sequence, min(length, 320), stage.tokens * stage.copying, rng))
        (needle_loss + copy_loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1

        if step % 25 == 0:
            report(work, f"{step:6d} {time.monotonic() - started:6.0f} s  length {length:4d}  "
                         f"needles {needle_loss:.3f} {needle_right:.2f}  copying {copy_loss:.3f} {copy_right:.2f}")
        if step % EVALUATION_EVERY == 0 or not locate(step)[0]:
            shares = {asked: exact_answers(model, asked, 40) for asked in (128, 256, 512, LONGEST_PROMPT)}
            report(work, f"{step:6d} exact " + "  ".join(f"{asked}: {value:.2f}" for asked, value in shares.items()))
            if sum(shares.values()) >= best:
                best = sum(shares.values())
                save_file(model.state_dict(), work / "model.safetensors", metadata={"format": "pt"})
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "best": best},
                       checkpoint)
    shutil.copy(work / "model.safetensors", folder.FOLDER)


def report(work, line):
    print(line, flush=True)
    with open(work / "log.txt", "a") as log:
        log.write(line + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the checkpoint and the log")
    train(parser.parse_args().work)
