"""What tells models apart, and what does not."""

import copy

import chunkkv
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

import chunkkv.hf  # noqa: E402
from hf_models import make_model  # noqa: E402


def identity_with(name, **settings):
    """Of the model with other settings in its config."""
    model = make_model(name)
    before = model.config
    model.config = copy.deepcopy(before)
    try:
        for key, value in settings.items():
            setattr(model.config, key, value)
        return chunkkv.hf.identity_of(model)
    finally:
        model.config = before


@pytest.mark.parametrize("settings", [
    {"swiglu_alpha": 1.702, "swiglu_limit": 7.0}, {"router_aux_loss_coef": 0.5}, {"output_router_logits": True},
    {"ignore_keys_at_rope_validation": None}, {"num_nextn_predict_layers": 1}, {"pretraining_tp": 1},
    {"attention_dropout": 0.1, "resid_pdrop": 0.1}], ids=str)
def test_settings_that_do_not_bear_on_keys_and_values_are_no_part_of_it(settings):
    assert identity_with("gpt-oss", **settings) == identity_with("gpt-oss")


@pytest.mark.parametrize("settings", [{"swiglu_limit": 5.0}, {"num_experts_per_tok": 1}, {"rms_norm_eps": 1e-3},
                                      {"partial_rotary_factor": 0.5}], ids=str)
def test_settings_that_bear_on_keys_and_values_are(settings):
    assert identity_with("gpt-oss", **settings) != identity_with("gpt-oss")


def test_a_rotary_share_that_the_rope_names_too_is_named_once():
    model = make_model("phi3")
    assert model.config.rope_parameters["partial_rotary_factor"] == 1.0
    assert identity_with("phi3", partial_rotary_factor=1.0) == identity_with("phi3")


@pytest.mark.parametrize("count", [1, 255, 256, 257, 511, 512, 1000, 100_001])
def test_the_sample_reaches_from_the_first_element_to_the_last(count):
    module = torch.nn.Linear(1, count, bias=False)
    before = chunkkv.hf.weights_digest(module)
    longest_gap = -(-count // 255)
    for begin in (0, count // 3, count // 2, count - longest_gap):
        other = copy.deepcopy(module)
        with torch.no_grad():
            other.weight[begin:begin + longest_gap] += 1
        assert chunkkv.hf.weights_digest(other) != before
    assert chunkkv.hf.weights_digest(copy.deepcopy(module)) == before


def test_weights_of_any_dtype_and_size():
    module = torch.nn.Module()
    for name, dtype in (("a", torch.float8_e4m3fn), ("b", torch.int8), ("c", torch.bool), ("d", torch.bfloat16)):
        module.register_buffer(name, torch.ones(300).to(dtype))
    module.register_buffer("none", torch.ones(0))
    assert len(chunkkv.hf.weights_digest(module)) == 64
