"""The roofline gives the worked numbers of the performance page."""

from dataclasses import replace

import pytest

from gpu.roofline import Rates, limit_ms, limit_terms, moved_bytes, scoring_terms
from gpu.shapes import parse_shape

H200 = Rates(copy_bytes_per_s=4.3e12, matmul_flops=788e12, multiprocessors=132, clock_hz=1.755e9,
             host_copy_bytes_per_s=50e9)
LLAMA8B = parse_shape("request/llama8b/8192/0.3/32/1/token_major/BF16")


@pytest.mark.parametrize("tokens, milliseconds", [(8192, 0.27), (32768, 1.10), (131072, 4.39)])
def test_a_request_takes_what_its_bytes_take(tokens, milliseconds):
    kv_bytes = replace(LLAMA8B, tokens=tokens).kv_bytes
    assert round(1e3 * moved_bytes(kv_bytes, 0.3, 1) / H200.copy_bytes_per_s, 2) == milliseconds


@pytest.mark.parametrize("tokens", [8192, 32768, 131072])
def test_a_requests_limit_is_scoring_selecting_and_gathering(tokens):
    shape = replace(LLAMA8B, tokens=tokens)
    terms = limit_terms(shape, H200)
    by_bytes = 1e3 * moved_bytes(shape.kv_bytes, shape.budget / tokens, 1) / H200.copy_bytes_per_s
    assert list(terms) == ["bytes", "products", "exponentials", "select", "gather"]
    assert limit_ms(terms) == pytest.approx(by_bytes + 0.005)


def test_reuse_of_two_saves_23_percent_at_keep_30():
    assert moved_bytes(1, 0.3, 2) / moved_bytes(1, 0.3, 1) == pytest.approx(0.77, abs=0.005)
    assert moved_bytes(1, 0.3, 2, scores_all=True) == moved_bytes(1, 0.3, 1)


def test_reuse_of_two_halves_the_arithmetic_of_scoring():
    alone, shared = (scoring_terms(replace(LLAMA8B, reuse=reuse), H200) for reuse in (1, 2))
    assert shared == pytest.approx({name: term / 2 for name, term in alone.items()})


def test_at_128_rows_memory_speed_asks_550_of_788_teraflops_and_58_percent_of_the_exponentials():
    assert LLAMA8B.rows_per_kv_head == 128
    terms = scoring_terms(LLAMA8B, H200)
    assert terms["products"] / terms["bytes"] == pytest.approx(550 / 788, abs=0.001)
    assert terms["exponentials"] / terms["bytes"] == pytest.approx(0.58, abs=0.001)
    assert limit_ms(terms) == terms["bytes"]


def test_at_256_rows_arithmetic_decides():
    shape = parse_shape("score_lse/llama70b/8192/0.3/32/1/token_major/BF16")
    terms = limit_terms(shape, H200)
    assert shape.rows_per_kv_head == 256 and limit_ms(terms) == terms["products"] == max(terms.values())


def test_other_benches_have_one_term():
    bytes_kept = LLAMA8B.kept_bytes
    assert bytes_kept == 2458 * 2 * 32 * 8 * 128 * 2
    for bench, milliseconds in (("select", 0.005), ("gather", 2e3 * bytes_kept / 4.3e12),
                                ("to_host", 1e3 * bytes_kept / 50e9)):
        assert limit_ms(limit_terms(replace(LLAMA8B, bench=bench), H200)) == pytest.approx(milliseconds)


def test_a_name_comes_back_as_it_went():
    for name in ("score_chunk/llama70b/131072/0.05/4/2/head_major/F16", "gather/llama8b/8192/1/32/1/paged/F8_E4M3"):
        assert str(parse_shape(name)) == name


@pytest.mark.parametrize("name, reason", [
    ("request/llama8b/8192", "3 parts"),
    ("guess/llama8b/8192/0.3/32/1/token_major/BF16", "bench 'guess'"),
    ("request/llama9b/8192/0.3/32/1/token_major/BF16", "model 'llama9b'"),
    ("request/llama8b/8192/0.3/32/1/nhd/BF16", "layout 'nhd'"),
    ("request/llama8b/8192/0.3/32/1/token_major/bf16", "dtype 'bf16'"),
    ("request/llama8b/8k/0.3/32/1/token_major/BF16", "are numbers"),
    ("request/llama8b/8192/nan/32/1/token_major/BF16", "no prompt"),
    ("request/llama8b/32/0.3/32/1/token_major/BF16", "no prompt"),
    ("request/llama8b/8192/0.3/32/0/token_major/BF16", "no prompt"),
])
def test_a_wrong_name_is_refused_with_its_reason(name, reason):
    with pytest.raises(ValueError, match=reason):
        parse_shape(name)
