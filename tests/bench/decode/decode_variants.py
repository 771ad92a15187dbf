"""What is compared: the same prompt decoded from different caches."""

from dataclasses import dataclass

import chunkkv


@dataclass(frozen=True)
class Variant:
    """spec: of the entry that is put and loaded; None decodes from the prefill's own cache, without the service."""

    name: str
    spec: chunkkv.CompactionSpec | None

    @property
    def is_scored(self) -> bool:
        return self.spec is not None and self.spec.policy in ("chunk_kv", "snap_kv")


IN_PROCESS = "full, in one process"
SERVED_FULL = "full, served"
REUSE = " + reuse"


def make_variants(policies: list[str], keep_ratio: float, window_length: int, reuse_group: int) -> list[Variant]:
    """The full cache with and without the service; each policy at `keep_ratio`, those that score also with reuse."""
    variants = [Variant(IN_PROCESS, None), Variant(SERVED_FULL, chunkkv.CompactionSpec(policy="full"))]
    for policy in policies:
        settings = dict(policy=policy, keep_ratio=keep_ratio, window_length=window_length)
        variants.append(Variant(policy, chunkkv.CompactionSpec(**settings)))
        if variants[-1].is_scored:
            variants.append(Variant(policy + REUSE, chunkkv.CompactionSpec(**settings, reuse_group=reuse_group)))
    return variants


def in_turn(variants: list[Variant], repeat: int) -> list[Variant]:
    """The order of a repeat: each begins with another variant, and every other one goes backwards."""
    first = repeat // 2 % len(variants)
    order = variants[first:] + variants[:first]
    return order[::-1] if repeat % 2 else order
