"""Queries that meet latents, against queries that meet the keys expanded from them."""

import copy

import chunkkv
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

from chunkkv.hf.latent import latent_queries  # noqa: E402
from hf_models import MLA_SIZES, make_model  # noqa: E402

NOPE, ROPE, RANK = (MLA_SIZES[name] for name in ("qk_nope_head_dim", "qk_rope_head_dim", "kv_lora_rank"))
HEADS, W, TOKENS = 4, 5, 20


def attention_of(model, layer):
    return model.get_decoder().layers[layer].self_attn


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("name", ["deepseek-v2", "deepseek-v3"])
def test_their_logits_are_those_of_the_expanded_keys(name, layer):
    model, draw = make_model(name), torch.Generator().manual_seed(0)
    queries = torch.randn(W, HEADS, NOPE + ROPE, generator=draw)
    latents, rotated = (torch.randn(TOKENS, size, generator=draw) for size in (RANK, ROPE))
    with torch.no_grad():
        expanded = attention_of(model, layer).kv_b_proj(latents).view(TOKENS, HEADS, -1)[..., :NOPE]
    keys = torch.cat([expanded, rotated[:, None].expand(-1, HEADS, -1)], -1)
    expected = torch.einsum("whd,thd->wht", queries, keys)
    absorbed = latent_queries(model, layer, queries)
    assert absorbed.shape == (W, HEADS, RANK + ROPE)
    logits = torch.einsum("whd,td->wht", absorbed, torch.cat([latents, rotated], -1))
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("change", [lambda weight: weight.to(torch.float8_e4m3fn), lambda weight: weight[:-1],
                                    lambda weight: weight.reshape(-1, 1)], ids=["float8", "cut", "packed"])
def test_a_weight_of_another_kind_is_refused(change):
    model = copy.deepcopy(make_model("deepseek-v3"))
    projection = attention_of(model, 0).kv_b_proj
    projection.weight = torch.nn.Parameter(change(projection.weight.data), requires_grad=False)
    with pytest.raises(chunkkv.Unimplemented, match="UNSUPPORTED_MODEL.*kv_b_proj"):
        latent_queries(model, 0, torch.zeros(W, HEADS, NOPE + ROPE))


def test_a_model_without_latents_is_refused():
    with pytest.raises(chunkkv.Unimplemented, match="UNSUPPORTED_MODEL.*no kv_b_proj"):
        latent_queries(make_model("llama"), 0, torch.zeros(W, HEADS, NOPE + ROPE))
