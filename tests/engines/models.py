"""Models that the engine serves: the shipped one, and random ones that a test makes once."""
import os
from pathlib import Path

import torch
from programs import ROOT
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

SHIPPED = ROOT / "tests/quality/model/passphrase-llama"
SHIPPED_VOCABULARY = 500  # ids that any prompt may have
CACHE = Path(os.environ.get("CHUNKKV_ENGINES_CACHE") or Path.home() / ".cache/chunkkv-engines")
KINDS = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen3": (Qwen3Config, Qwen3ForCausalLM)}
SHAPE = {"vocab_size": 8192, "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12,
         "num_attention_heads": 12, "num_key_value_heads": 4, "head_dim": 64, "max_position_embeddings": 8192,
         "tie_word_embeddings": False}  # 88 million parameters


def model_folder(kind: str) -> Path:
    """Of the shipped model, or of one with seeded weights, wide enough that its tokens differ from prompt to prompt."""
    if kind == "shipped":
        return SHIPPED
    folder = CACHE / "models" / kind
    if not (folder / "config.json").exists():
        config, model = KINDS[kind]
        torch.manual_seed(0)
        model(config(**SHAPE, initializer_range=0.05)).save_pretrained(folder)
    return folder
