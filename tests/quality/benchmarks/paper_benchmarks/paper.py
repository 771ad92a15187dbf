"""Figures of the ChunkKV paper, arXiv 2502.00299v5."""

from dataclasses import dataclass

SOURCE = "arXiv 2502.00299v5"
POLICIES = ("streaming_llm", "h2o", "snap_kv", "pyramid_kv", "chunk_kv")


@dataclass(frozen=True)
class PublishedRun:
    """One row of the paper: what it ran, and the score of each policy, the full cache's under `full`."""
    setting: str
    scores: dict[str, float]


def _run(setting, full, *scores):
    return PublishedRun(setting, {"full": full, **dict(zip(POLICIES, scores, strict=True))})


PUBLISHED = {
    "needle": (_run("Llama-3.1-8B, 8k, 128 kept", 74.6, 23.7, 47.9, 58.9, 65.1, 73.8),
               _run("Mistral-7B, 128 kept", 99.8, 44.3, 88.2, 91.6, 99.3, 99.8)),
    "longbench": (_run("Llama-3-8B, keep 10 %", 41.46, 35.74, 37.06, 40.15, 40.08, 40.51),),
    "gsm8k": (_run("Llama-3.1-8B, keep 10 %", 79.5, 47.8, 45.0, 50.3, 48.2, 65.7),),
    "many-shot-gsm8k": (_run("Llama-3.1-8B, keep 10 %", 82.4, 74.3, 51.2, 68.2, 70.3, 79.3),),
    "jailbreakv": (_run("Llama-3.1-8B, keep 10 %", 88.9, 53.1, 65.4, 84.3, 85.5, 87.9),),
}
