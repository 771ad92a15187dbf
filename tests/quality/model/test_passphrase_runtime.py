"""The NumPy runtime agrees with itself, with transformers, and answers the questions it was trained for."""

import numpy as np
import pytest

from folder import FOLDER
from llama import Llama
from prompts import ANSWER_LENGTH, make_prompt

WINDOW = 8
LARGEST_FILE = 8 * 2**20


@pytest.fixture(scope="module")
def llama():
    return Llama()


def pairs(prefill):
    return [(layer.k, layer.v) for layer in prefill.layers]


def test_decode_equals_recomputation(llama):
    prompt = make_prompt(300, seed=1)
    decoded = llama.decode(pairs(llama.prefill(prompt.tokens, WINDOW)), 300, prompt.tokens[-1], 4)

    tokens = prompt.tokens
    for expected in decoded:
        assert llama.prefill(tokens, WINDOW).logits[-1].argmax() == expected
        tokens = np.append(tokens, expected)


def test_prefill_of_more_tokens_keeps_the_rows_of_fewer(llama):
    tokens = make_prompt(200, seed=2).tokens
    short, long = llama.prefill(tokens[:150], WINDOW), llama.prefill(tokens, WINDOW)

    for a, b in zip(short.layers, long.layers):
        np.testing.assert_allclose(a.k, b.k[:150], atol=1e-4)
        np.testing.assert_allclose(a.v, b.v[:150], atol=1e-4)


def test_window_queries_and_lse_give_the_attention_that_was_accumulated(llama):
    tokens = make_prompt(128, seed=3).tokens
    layer = llama.prefill(tokens, len(tokens)).layers[1]
    group = layer.queries.shape[1] // layer.k.shape[1]
    logits = np.einsum("ihd,jhd->hij", layer.queries, layer.k.repeat(group, 1)) * layer.k.shape[2] ** -0.5
    visible = np.tri(len(tokens), dtype=bool)
    attention = np.where(visible, np.exp(logits - layer.lse.T[:, :, None]), 0)

    np.testing.assert_allclose(attention.sum(-1), 1, atol=1e-4)
    np.testing.assert_allclose(attention.sum((0, 1)), layer.accumulated, atol=1e-3)


def test_contiguous_positions_decode_alike(llama):
    """Keys rotated to the front of the sequence, without gaps, are the same cache to the model."""
    prompt = make_prompt(256, seed=4, depth=0.9)
    prefill = llama.prefill(prompt.tokens, WINDOW)
    kept = np.arange(120, 256)
    shift = np.full(len(kept), -120)
    original = [(layer.k[kept], layer.v[kept]) for layer in prefill.layers]
    contiguous = [(llama.rotate(k, shift), v) for k, v in original]

    np.testing.assert_array_equal(llama.decode(original, 256, prompt.tokens[-1], ANSWER_LENGTH),
                                  llama.decode(contiguous, 136, prompt.tokens[-1], ANSWER_LENGTH))


def test_answers_at_1024_tokens(llama):
    def is_exact(prompt):
        caches = pairs(llama.prefill(prompt.tokens, WINDOW))
        return bool((llama.decode(caches, 1024, prompt.tokens[-1], ANSWER_LENGTH) == prompt.answer).all())

    assert sum(is_exact(make_prompt(1024, seed=20_000 + index)) for index in range(50)) >= 49


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-4), ("float32", 5e-4)])
def test_logits_equal_those_of_transformers(dtype, tolerance):
    """In float32 both are as far as 2e-4 from float64 at 1,024 tokens, where logits reach 22."""
    torch = pytest.importorskip("torch", reason="compares with transformers, which needs torch")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    tokens = make_prompt(1024, seed=5).tokens
    theirs, loading = transformers.AutoModelForCausalLM.from_pretrained(FOLDER, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    theirs = theirs.to(getattr(torch, dtype))
    ours = Llama()
    ours.weights = {name: weight.astype(dtype) for name, weight in ours.weights.items()}
    with torch.no_grad():
        expected = theirs(torch.from_numpy(tokens.astype(np.int64))[None]).logits[0].numpy()

    np.testing.assert_allclose(ours.prefill(tokens, WINDOW).logits, expected, atol=tolerance, rtol=0)


def test_files_are_small():
    for path in FOLDER.iterdir():
        assert path.stat().st_size <= LARGEST_FILE, path.name
