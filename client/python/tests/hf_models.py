"""Small decoder models with seeded random weights, and decoding from a full cache whose dropped keys are masked."""

import functools
import inspect
import sys
from contextlib import contextmanager

import torch
import transformers
from transformers.masking_utils import AttentionMaskInterface, eager_mask

torch.set_num_threads(1)

VOCABULARY = 128
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
         "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 1024,
         "initializer_range": 0.1, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None}
MLA_SIZES = {"kv_lora_rank": 24, "q_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12,
             "num_key_value_heads": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1,
             "moe_intermediate_size": 32, "n_shared_experts": 1, "first_k_dense_replace": 1, "head_dim": 8}
ALTERNATING = {"num_hidden_layers": 4, "sliding_window": 24,
               "layer_types": ["sliding_attention", "full_attention"] * 2}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 256}

# name: (class prefix, what differs from SIZES)
MODELS = {
    "llama": ("Llama", {"rope_parameters": {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0,
                                            "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                            "original_max_position_embeddings": 128}}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "mistral-sliding": ("Mistral", {"sliding_window": 24}),
    "qwen2": ("Qwen2", {"use_sliding_window": False}),
    "qwen3": ("Qwen3", {"use_sliding_window": False, "rope_parameters": YARN}),
    "gemma2": ("Gemma2", {**ALTERNATING, "query_pre_attn_scalar": 32, "attn_logit_softcapping": 2.0,
                           "attn_implementation": "eager"}),  # SDPA has no softcap
    "gemma3": ("Gemma3", {**ALTERNATING, "query_pre_attn_scalar": 32}),
    "phi3": ("Phi3", {"rope_parameters": {"rope_type": "longrope", "rope_theta": 10000.0,
                                          "original_max_position_embeddings": 64,
                                          "short_factor": [1.0] * 8, "long_factor": [1.0 + i / 2 for i in range(8)]},
                      "original_max_position_embeddings": 64}),
    "gpt-oss": ("GptOss", {**ALTERNATING, "num_local_experts": 4, "num_experts_per_tok": 2,
                           "rope_parameters": {**YARN, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False}}),
    "deepseek-v2": ("DeepseekV2", MLA_SIZES),
    "deepseek-v3": ("DeepseekV3", MLA_SIZES),
}
CONFIGS = {"Gemma3": "Gemma3TextConfig"}


@functools.cache
def make_model(name):
    """The same weights whenever it is made."""
    prefix, differing = MODELS[name]
    config = getattr(transformers, CONFIGS.get(prefix, f"{prefix}Config"))(**{**SIZES, **differing})
    torch.manual_seed(7)
    model = getattr(transformers, f"{prefix}ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith("sinks"):
                parameter.normal_()
    return model


def cache_name(model):
    """The argument that takes the cache."""
    return "cache" if "cache" in inspect.signature(type(model).forward).parameters else "past_key_values"


def make_tokens(length, seed=0, batch=1):
    """[batch, length] ids that are no special ones."""
    return torch.randint(3, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(seed))


def padded(prompts, side):
    """tokens and attention mask, [batch, longest]; side: of the padding."""
    width = max(map(len, prompts))
    tokens, mask = torch.zeros(2, len(prompts), width, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        begin = width - len(prompt) if side == "left" else 0
        tokens[row, begin:begin + len(prompt)] = prompt
        mask[row, begin:begin + len(prompt)] = 1
    return tokens, mask


def prefill(model, tokens, **inputs):
    """A new cache of the tokens, and the logits."""
    cache = transformers.DynamicCache(config=model.config)
    with torch.no_grad():
        output = model(tokens, use_cache=True, **{cache_name(model): cache}, **inputs)
    return cache, output.logits


DROPPING = "chunkkv_test_dropping"
_dropped = {}


def _dropping_attention(module, query, key, value, attention_mask, **kwargs):
    """The model's own eager attention, with the columns that `dropping` named hidden from this layer."""
    columns = _dropped.get(module.layer_idx)
    if columns is not None:
        attention_mask = attention_mask.expand(len(query), 1, query.shape[2], key.shape[2]).clone()
        attention_mask[:, 0, :, :columns.shape[-1]].masked_fill_(columns[..., None, :],
                                                                 torch.finfo(query.dtype).min)
    eager = sys.modules[type(module).__module__].eager_attention_forward
    return eager(module, query, key, value, attention_mask, **kwargs)


transformers.AttentionInterface.register(DROPPING, _dropping_attention)
AttentionMaskInterface.register(DROPPING, eager_mask)


@contextmanager
def dropping(model, dropped):
    """Layers attend to all columns but those of `dropped`: layer to [columns] or [batch, columns] bool."""
    before = model.config._attn_implementation
    model.set_attn_implementation(DROPPING)
    _dropped.update(dropped)
    try:
        yield
    finally:
        _dropped.clear()
        model.set_attn_implementation(before)


def dropped_columns(positions, token_count):
    """[token_count] bool of each layer with a list of kept positions."""
    dropped = {}
    for layer, kept in enumerate(positions):
        if kept is not None:
            dropped[layer] = torch.ones(token_count, dtype=torch.bool)
            dropped[layer][torch.as_tensor(kept).long()] = False
    return dropped


def decode(model, cache, tokens, next_position, step=1):
    """Logits [1, new, vocabulary] of the given tokens [1, new] after a cache of all tokens."""
    logits = []
    with torch.no_grad():
        for begin in range(0, tokens.shape[1], step):
            ids = tokens[:, begin:begin + step]
            positions = next_position + begin + torch.arange(ids.shape[1])[None]
            logits.append(model(ids, position_ids=positions, **{cache_name(model): cache}).logits)
    return torch.cat(logits, 1)


def decode_served(model, served, tokens, step=1):
    """The same after a loaded cache, [batch, new, vocabulary]."""
    logits = []
    with torch.no_grad():
        for begin in range(0, tokens.shape[1], step):
            logits.append(model(**served.forward_inputs(tokens[:, begin:begin + step])).logits)
    return torch.cat(logits, 1)
