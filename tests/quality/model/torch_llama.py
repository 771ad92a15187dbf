"""The decoder in PyTorch for training; its modules are named as those of transformers' LlamaForCausalLM."""

import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads, self.kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
        self.head_dim = config["head_dim"]
        hidden = config["hidden_size"]
        self.q_proj = nn.Linear(hidden, self.heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(hidden, self.kv_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(hidden, self.kv_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.head_dim, hidden, bias=False)

    def forward(self, x, rotation, tail):
        """x [B, L, hidden] -> the last `tail` positions [B, tail, hidden]."""
        batch, length, _ = x.shape
        split = lambda y: y.view(batch, y.shape[1], -1, self.head_dim).transpose(1, 2)
        q = rotate(split(self.q_proj(x[:, -tail:])), rotation[:, -tail:])
        k, v = rotate(split(self.k_proj(x)), rotation), split(self.v_proj(x))
        k, v = (y.repeat_interleave(self.heads // self.kv_heads, 1) for y in (k, v))
        if tail == length:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            seen = torch.ones(tail, length, dtype=torch.bool).tril(length - tail)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return self.o_proj(out.transpose(1, 2).reshape(batch, tail, -1))


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        hidden, inner = config["hidden_size"], config["intermediate_size"]
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        norm = lambda: nn.RMSNorm(config["hidden_size"], eps=config["rms_norm_eps"])
        self.input_layernorm, self.post_attention_layernorm = norm(), norm()
        self.self_attn, self.mlp = Attention(config), MLP(config)

    def forward(self, x, rotation, tail):
        x = x[:, -tail:] + self.self_attn(self.input_layernorm(x), rotation, tail)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embed_tokens = nn.Embedding(config["vocab_size"], config["hidden_size"])
        self.layers = nn.ModuleList(Layer(config) for _ in range(config["num_hidden_layers"]))
        self.norm = nn.RMSNorm(config["hidden_size"], eps=config["rms_norm_eps"])
        half = config["head_dim"] // 2
        inv_freq = config["rope_theta"] ** (-torch.arange(half, dtype=torch.float64) / half)
        angles = torch.outer(torch.arange(config["max_position_embeddings"], dtype=torch.float64), inv_freq)
        self.rotation = torch.stack([angles.cos(), angles.sin()]).float()

    def forward(self, tokens, tail):
        x = self.embed_tokens(tokens)
        length = tokens.shape[1]
        for layer in self.layers[:-1]:
            x = layer(x, self.rotation[:, :length], length)
        return self.norm(self.layers[-1](x, self.rotation[:, :length], tail))


class LlamaForCausalLM(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.model = Decoder(config)
        self.lm_head = nn.Linear(config["hidden_size"], config["vocab_size"], bias=False)
        for weight in self.parameters():
            if weight.dim() == 2:
                of_words = weight.shape[0] == config["vocab_size"]
                nn.init.normal_(weight, std=0.02 if of_words else weight.shape[1] ** -0.5)
        for layer in self.model.layers:
            for projection in (layer.self_attn.o_proj, layer.mlp.down_proj):
                projection.weight.data *= (2 * len(self.model.layers)) ** -0.5

    def forward(self, tokens, mask):
        """tokens int64 [B, L], mask bool [B, L - 1] over the tokens after the first -> float32 logits that predict the
        masked tokens [mask.sum(), vocabulary]."""
        first = int(mask.any(0).nonzero()[0])
        tail = mask.shape[1] - first
        x = self.model(tokens[:, :-1], tail)
        return self.lm_head(x[mask[:, first:]])


def rotate(x, rotation):
    """x [B, H, L, D], rotation [2, L, D/2]: rotary embedding of the halves."""
    cos, sin = rotation
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
