"""Llama models of random weights."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

SHAPES = {
    "100m": dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, num_key_value_heads=3,
                 intermediate_size=2048, vocab_size=32000),
    "1b": dict(hidden_size=2048, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8,
               intermediate_size=8192, vocab_size=128256),
    "8b": dict(hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8,
               intermediate_size=14336, vocab_size=128256),
    "tiny": dict(hidden_size=64, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
                 intermediate_size=128, vocab_size=100),
}
"""100m: 123 M parameters, four query heads a KV head as Llama 3 has them; 1b, 8b: the shapes of Llama 3.2 1B and 3 8B;
tiny: for tests."""


def make_model(shape: str, longest: int, dtype: torch.dtype, device: str, seed: int = 0) -> LlamaForCausalLM:
    """For up to `longest` positions; the same weights for the same seed."""
    torch.manual_seed(seed)
    config = LlamaConfig(**SHAPES[shape], max_position_embeddings=longest, attn_implementation="sdpa", dtype=dtype,
                         bos_token_id=None, eos_token_id=None, pad_token_id=None)
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(default)
