"""Spans of real text: chunk_starts cuts where a reader would."""

import subprocess
import sys
from pathlib import Path

import chunkkv
import numpy as np
import pytest

pytest.importorskip("tokenizers")

from tokenizers import Tokenizer  # noqa: E402

from chunking_tokenizers import KINDS, byte_fallback, byte_level  # noqa: E402
from chunkkv.chunking import LIMITS, chunk_starts  # noqa: E402

SHIPPED_MODEL = Path(__file__).resolve().parents[3] / "tests" / "quality" / "model"
TOKENIZER = byte_level()


def spans(text, by="sentences", tokenizer=TOKENIZER, **limits):
    """The text's spans, white space around them left out."""
    ids = tokenizer.encode(text).ids
    starts = chunk_starts(ids, tokenizer, by, **{"shortest": 1, "longest": 1000, **limits})
    pieces = np.split(np.array(ids), starts[1:])
    return [tokenizer.decode(piece, skip_special_tokens=False).strip() for piece in pieces]


@pytest.mark.parametrize("between, sentences", [
    (" ", ["It is here.", "Is it?", "It is!", "And then…", "It went... on and on."]),
    (" ", ["It costs 3.14 dollars, i.e. little.", "See Fig. 3 of Dr. J. R. Smith vs. Mr. Jones.", "No. 7 is here."]),
    (" ", ["I said no.", "Then it was 5 p.m.", "They left in 1999.", "He went."]),
    (" ", ['"Is it?" she asked.', '"It is."', "(It was.)", "*So.*", "„Ja.“", "It went."]),
    (" ", ["see www.example.org for more."]),
    (" ", ["all is small here.", "and so it goes.", "is it?", "yes!"]),
    ("\n", ["1. The first thing.", "2. The second thing.", "a. A third."]),
    ("", ["今天天气很好。", "我们去公园吧！", "「你呢？」", "是的，很好。", "３．１４就是它。"]),
    ("", ["日本語の文です。", "そうですか？", "はい。"]),
    (" ", ["สวัสดีครับ", "วันนี้อากาศดี", "ไปเที่ยวกัน"]),
    (" ", ["Привет, мир.", "Как дела?", "А. С. Пушкин был тут."]),
    (" ", ["यह एक वाक्य है।", "यह दूसरा है।"]),
    (" ", ["ما هذا؟", "هذا كتاب."]),
    (" ", ["Où est-il ?", "Là-bas !"]),
])
def test_sentences(between, sentences):
    assert spans(between.join(sentences)) == sentences


def test_a_line_that_runs_on_is_one_sentence_and_others_end_with_their_line():
    assert spans("# Heading\nThe text runs\nover two lines. It ends\n\n- An item\n- Another\n") == [
        "# Heading", "The text runs\nover two lines.", "It ends", "- An item", "- Another"]


def test_lines_and_paragraphs():
    text = "One line\nanother\n\n    Indented.\r\n\r\nLast. Line"
    assert spans(text, "lines") == ["One line", "another", "Indented.", "Last. Line"]
    assert spans(text, "paragraphs") == ["One line\nanother", "Indented.", "Last. Line"]


@pytest.mark.parametrize("make", [byte_level, byte_fallback])
def test_code_without_fences(make):
    first, second, third = ("import os", "def f(x):\n    if x:\n        return x\n\n    return 1",
                            "@wrap\ndef g():\n    pass\nelse:\n    pass")
    assert spans(f"{first}\n\n\n{second}\n\n\n{third}\n", "code", make()) == [first, second, third]


def test_code_in_fences_and_the_prose_around_it():
    first, second = "```python\ndef f():\n    pass", "def g():\n    pass\n```"
    assert spans(f"Look here:\n\n{first}\n\n{second}\nAnd so on,\nfurther.\n\nEnd.", "code") == [
        "Look here:", first, second, "And so on,\nfurther.", "End."]


def test_a_fence_is_closed_by_its_own_mark():
    assert spans("~~~\ntext\n```\ntext\n~~~\nbehind", "code") == ["~~~\ntext\n```\ntext\n~~~", "behind"]


def test_a_fence_is_closed_by_as_many_marks_alone_on_their_line():
    block = "````markdown\ntext\n```python\ntext\n```\ntext\n````"
    assert spans(f"{block}\nbehind", "code") == [block, "behind"]
    block = "```\ntext\n```python\ntext\n`````"
    assert spans(f"{block}\nbehind", "code") == [block, "behind"]
    assert spans("```not a fence``` but\nprose", "code") == ["```not a fence``` but\nprose"]


@pytest.mark.parametrize("line", ["default = 3", "end = 4", "end: int = 4", "end += 1", "default()", "case = 5",
                                  "else_of = 1", "case $x in", "catch = f"])
def test_names_that_are_keywords_elsewhere_begin_a_piece(line):
    assert spans(f"f(1)\n\n{line}\n", "code") == ["f(1)", line]


@pytest.mark.parametrize("line", ["end", "end)", "end;", "else:", "else if (x) {", "case 3:", "case Some(x) => 1",
                                  "default:", "default :", "catch (e) {", "rescue => e", "finally:", "} else {"])
def test_lines_that_go_on_with_a_block_begin_no_piece(line):
    assert spans(f"f(1)\n  g(1)\n{line}\n", "code") == [f"f(1)\n  g(1)\n{line}"]


def test_braces_close_what_stands_above():
    first, second = "int f()\n{\n  return 1;\n}", "int g() {\n  if (x) {\n  }\n\n  return 2;\n}"
    assert spans(f"{first}\n\n{second}\n", "code") == [first, second]


CHAT = ["<|im_start|>system\nBe kind. Be short.<|im_end|>", "<|im_start|>user\nIs it here?<|im_end|>",
        "<|im_start|>assistant"]


def test_turns_by_special_tokens_bound_every_kind():
    text = "<s>" + "\n".join(CHAT)
    wanted = ["<s>" + CHAT[0], *CHAT[1:]]
    assert spans(text, "turns") == wanted
    assert spans(text, "paragraphs") == wanted
    assert spans(text) == ["<s><|im_start|>system", "Be kind.", "Be short.<|im_end|>", "<|im_start|>user",
                           "Is it here?<|im_end|>", "<|im_start|>assistant"]


@pytest.mark.parametrize("turns", [
    ["[INST] Is it here? [/INST]", "It is.", "[INST] And now? [/INST]"],
    ["<start_of_turn>user\nIs it here?<end_of_turn>", "<start_of_turn>model\nIt is.<end_of_turn>"],
    ["<|start_header_id|>user<|end_header_id|>\n\nIs it?<|eot_id|>", "<|start_header_id|>assistant<|end_header_id|>"],
    ["<｜User｜>Is it here?", "<｜Assistant｜>It is.<｜end▁of▁sentence｜>", "<｜User｜>And now?"],
    ["User: is it here?", "Assistant: it is.", "User: and now?"],
    ["Human: is it here?", "AI: it is.", "Model: and there."],
    ["user: is it here?", "assistant: it is."],
    ["**User:** is it here?", "**Assistant:** it is.", "**User**: and now?"],
    ["### Instruction:\nIs it here?", "### Response:\nIt is."],
])
def test_turns_written_out(turns):
    assert spans("\n".join(turns), "turns") == turns


def test_special_tokens_are_no_part_of_words():
    assert spans("<s>Dr. Smith is here.<|im_end|>It is.") == ["<s>Dr. Smith is here.<|im_end|>", "It is."]


def test_marks_inside_a_line_are_no_turns():
    assert spans("The User: field and the System: field", "turns") == ["The User: field and the System: field"]


def test_short_spans_join_over_the_weaker_boundary():
    text = "The first paragraph is here and long enough. Ok.\n\n# A\n\nThe second one is here and is long enough."
    assert spans(text, shortest=7) == ["The first paragraph is here and long enough. Ok.",
                                       "# A\n\nThe second one is here and is long enough."]


def test_many_short_lines_become_spans_of_the_shortest_length_not_one():
    ids = TOKENIZER.encode("a\n" * 50).ids
    lengths = np.diff(chunk_starts(ids, TOKENIZER, "lines", shortest=6, longest=64), append=len(ids))
    assert set(lengths[:-1]) == {6} and lengths[-1] >= 6


def test_long_spans_are_cut_at_clauses_into_near_even_pieces():
    clauses = ["one fox is here,", "two dogs jump,", "three or so,"] * 12
    text = " ".join(clauses)
    pieces = spans(text, shortest=4, longest=60)
    assert len(pieces) > 4 and all(piece.endswith(",") for piece in pieces)
    counts = [len(TOKENIZER.encode(piece).ids) for piece in pieces]
    assert max(counts) <= 60 and max(counts) <= 2 * min(counts)


def test_long_words_without_any_boundary_are_cut_between_characters():
    text = "很" * 400
    pieces = spans(text, longest=32)
    assert "".join(pieces) == text and "�" not in "".join(pieces)


@pytest.mark.parametrize("kind", KINDS)
def test_starts_are_ascending_unique_and_within_limits(kind):
    tokenizer = KINDS[kind]()
    rng = np.random.default_rng(7)
    for _ in range(60):
        length, sink = int(rng.integers(1, 400)), int(rng.integers(0, 12))
        longest = int(rng.integers(1, 80))
        shortest = int(rng.integers(1, longest + 1))
        ids = rng.integers(0, tokenizer.get_vocab_size() + 3, length)
        for by in LIMITS:
            starts = chunk_starts(ids, tokenizer, by, shortest=shortest, longest=longest, sink_tokens=sink)
            assert starts.dtype == np.int32 and starts.ndim == 1
            if sink >= length:
                assert not len(starts)
                continue
            assert starts[0] == sink
            lengths = np.diff(starts, append=length)
            assert lengths.min() >= 1 and lengths.max() <= longest
            if 2 * shortest <= longest and length - sink >= shortest:
                assert lengths.min() >= shortest


def test_limits_given_alone_move_the_other_default():
    ids = TOKENIZER.encode("a" * 300).ids
    assert np.diff(chunk_starts(ids, TOKENIZER, longest=2)).max() <= 2
    assert np.diff(chunk_starts(ids, TOKENIZER, shortest=100)).min() >= 100


@pytest.mark.parametrize("wrong, message", [
    ({"by": "words"}, "by is 'words'"), ({"shortest": 0}, "shortest is 0"),
    ({"shortest": 9, "longest": 8}, "longest 8"),
    ({"sink_tokens": -1}, "sink_tokens is -1"), ({"tokens": [[1]]}, "list of ids"), ({"tokens": [1.5]}, "list of ids"),
    ({"tokens": [-1]}, "list of ids"),
])
def test_wrong_arguments_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        chunk_starts(**{"tokens": [1, 2], "tokenizer": TOKENIZER, **wrong})


def test_no_tokens_and_empty_tokens():
    assert chunk_starts([], TOKENIZER).tolist() == []
    assert chunk_starts([10**6] * 5, TOKENIZER).tolist() == [0]


@pytest.mark.parametrize("unit", ['"', "。", '。"', "\n", ". ", "a.", "```\n", "`", "\ncase ", "<"])
def test_eight_times_the_text_takes_about_eight_times_the_work(unit):
    """Work is calls made, of Python functions and of C's: a quadratic step would make 64 times as many."""
    short, long = (TOKENIZER.encode(unit * count).ids for count in (2_000, 16_000))
    for by in LIMITS:
        assert len(chunk_starts(long, TOKENIZER, by)) > 1
        assert calls_made(long, by) < 12 * calls_made(short, by)


def calls_made(ids, by):
    count = 0

    def on_event(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(on_event)
    try:
        chunk_starts(ids, TOKENIZER, by)
    finally:
        sys.setprofile(None)
    return count


def test_importing_it_imports_no_tokenizer():
    heavy = "{'torch', 'transformers', 'tokenizers'}"
    subprocess.run([sys.executable, "-c", "import sys, chunkkv, chunkkv.chunking\n"
                    f"assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"], check=True)


def test_sentences_of_the_shipped_model_are_those_its_prompts_were_made_of(monkeypatch):
    monkeypatch.syspath_prepend(str(SHIPPED_MODEL))
    from prompts import make_prompt
    tokenizer = Tokenizer.from_file(str(SHIPPED_MODEL / "passphrase-llama" / "tokenizer.json"))
    for seed in range(20):
        prompt = make_prompt(1024, seed)
        past = 1024 - 8
        starts = chunk_starts(prompt.tokens, tokenizer)
        assert starts[starts < past].tolist() == prompt.chunk_starts[prompt.chunk_starts < past].tolist()


def test_the_server_takes_them_and_keeps_whole_spans(client):
    text = "The quick brown fox is here. " * 30
    ids = np.array(TOKENIZER.encode(text).ids)
    starts = chunk_starts(ids, TOKENIZER, sink_tokens=4)
    spec = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.3, window_length=8, sink_tokens=4,
                                  chunk_starts=starts)
    draw = np.random.default_rng(0).standard_normal
    shape = (len(ids), 1, 8)
    layer = chunkkv.Layer(k=draw(shape, "f4"), v=draw(shape, "f4"), queries=draw((8, 1, 8), "f4"))
    model = chunkkv.ModelIdentity(name="chunking", revision="1", kv_dtype="f32", layer_count=1, kv_head_count=1,
                                  key_head_size=8, value_head_size=8)
    client.put(model=model, tokens=ids, layers=[layer], spec=spec)
    kept = set(client.get(model=model, tokens=ids, spec=spec).layers[0].positions.tolist())
    past = len(ids) - 8
    whole = [set(range(first, min(end, past))) for first, end in zip(starts, [*starts[1:], past]) if first < past]
    assert sum(bool(span & kept) and not span <= kept for span in whole) <= 1, "one span at most may be cut"
