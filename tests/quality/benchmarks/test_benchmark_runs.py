"""Whole runs of each benchmark, with the shipped model, through the real server."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("chunkkv", reason="the chunkkv package is not installed")
pytest.importorskip("rouge_score", reason="rouge-score is not installed")

import vocabulary as words
from paper_benchmarks import command_line, fingerprints, gsm8k
from paper_benchmarks.attention_mass import accumulated_attention
from paper_benchmarks.errors import MissingLibrary, ModelError, PromptTooLong, SettingsMismatch
from paper_benchmarks.example import Example
from paper_benchmarks.methods import Budget, Method
from passphrase_data import ANSWER, NEEDLE, QUESTION, essay
from programs import server_fixture

HERE = Path(__file__).resolve().parent
MODEL = HERE.parent / "model" / "passphrase-llama"
POLICIES = ["full", "chunk_kv", "snap_kv", "h2o", "streaming_llm"]


server = server_fixture(scope="module")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def execute(published, server, tmp_path, capsys):
    """Runs the command in this process; returns (summary, rows, what was printed)."""

    def execute(*arguments, out="run"):
        command = [*arguments, "--model", str(MODEL), "--data", str(published.folder), "--out", str(tmp_path / out),
                   "--address", server, "--window-length", "8"]
        summary = command_line.run(command_line.parser().parse_args(command))
        rows = [json.loads(line) for line in (tmp_path / out / "results.jsonl").read_text().splitlines()]
        return summary, rows, capsys.readouterr().out

    return execute


NEEDLE_OPTIONS = ["--needle", NEEDLE, "--question", QUESTION, "--answer", ANSWER, "--template", "{context} {question}",
                  "--margin", "6", "--max-new-tokens", "8", "--lengths", "400,700", "--depths", "0,50,100"]


def test_needle_is_found_in_the_full_cache_and_in_sentences(published, execute, server):
    import chunkkv

    def entries():
        with chunkkv.Client(server) as client:
            return client.stats().tenant["entries"]

    published.essays(*(essay(seed) for seed in range(2)))
    before = entries()
    summary, rows, printed = execute("needle", *NEEDLE_OPTIONS, "--policy", *POLICIES, "--chunks", "grid", "sentences",
                                     "--keep-ratio", "0.2")

    methods = summary["methods"]
    assert list(methods) == ["full", "chunk_kv", "chunk_kv/sentences", "snap_kv", "h2o", "streaming_llm"]
    assert methods["full"]["scores"]["recall"] == 100 and methods["full"]["scores"]["rouge1"] == 80  # 8 words of 12
    assert methods["chunk_kv/sentences"]["scores"]["recall"] > methods["streaming_llm"]["scores"]["recall"]
    assert methods["full"]["kept"] == 1 and all(
        abs(found["kept"] - 0.2) < 0.01 for name, found in methods.items() if name != "full")
    assert len(rows) == 6 * 6 and {row["group"] for row in rows} == {"400 tokens", "700 tokens"}
    assert all((row["retained_mass"] is None) == (row["method"] in ("full", "streaming_llm")) for row in rows)
    assert "Llama-3.1-8B, 8k, 128 kept" in printed and "73.8" in printed
    assert entries() == before


def test_longbench_runs_every_kind_of_dataset(published, execute):
    pytest.importorskip("rouge"), pytest.importorskip("jieba")
    text = essay(3, 300)
    published.longbench("qasper", [{"context": text, "input": "tell me", "answers": ["the cook", "a lamp"]}] * 2)
    published.longbench("gov_report", [{"context": essay(4), "input": "", "answers": ["the cook found a lamp ."]}])
    published.longbench("trec", [{"context": text, "input": "Type:", "answers": ["cook"],
                                  "all_classes": ["cook", "fox"]}])
    published.longbench("dureader", [{"context": text, "input": "我们", "answers": ["在北京"]}])
    published.longbench("samsum", [{"context": text, "input": "Summary:", "answers": ["a lamp"]}])
    summary, rows, printed = execute("longbench", "--datasets", "qasper", "gov_report", "trec", "dureader", "samsum",
                                     "--limit", "1", "--policy", "full", "chunk_kv")

    assert [row["example"] for row in rows[::2]] == [
        "qasper/qasper-0", "gov_report/gov_report-0", "trec/trec-0", "dureader/dureader-0", "samsum/samsum-0"]
    assert 570 < rows[2]["prompt_tokens"] <= 576  # cut in the middle
    found = summary["methods"]["chunk_kv"]
    assert found["scores"]["score"] == pytest.approx(
        sum(row["scores"]["score"] for row in rows[1::2]) / 5, abs=0.01)
    assert "40.51" in printed and sum("is not the published one" in note for note in summary["notes"]) == 2


def test_gsm8k_few_and_many_shots(published, execute, monkeypatch):
    monkeypatch.setattr(gsm8k, "MAX_NEW_TOKENS", 16)
    published.gsm8k("test", [(f"tell me {index} ?", f"It is so.\n#### {index}") for index in range(3)])
    published.gsm8k("train", [(f"question {index} ?", f"It is.\n#### {index}") for index in range(50)])
    few, rows, printed = execute("gsm8k", "--limit", "2", "--policy", "full", "snap_kv", out="few")
    many, many_rows, many_printed = execute("many-shot-gsm8k", "--policy", "chunk_kv", "--reuse-group", "2", out="many")

    assert few["methods"]["snap_kv"]["examples"] == 2 and "65.7" in printed
    assert all(row["scores"]["accuracy"] in (0, 100) for row in rows + many_rows)
    assert many["methods"]["chunk_kv"]["examples"] == 3 and "79.3" in many_printed
    assert many["methods"]["chunk_kv"]["kept"] == pytest.approx(0.1, abs=0.01)


def test_jailbreakv_counts_refusals(published, execute):
    published.jailbreakv([{"jailbreak_query": essay(seed, 200), "format": name} for seed, name in enumerate(
        ["Template", "Logic", "Template"])])
    summary, rows, printed = execute("jailbreakv", "--limit", "1", "--policy", "full", "streaming_llm")

    assert [row["group"] for row in rows] == ["Template"] * 2 + ["Logic"] * 2
    assert summary["methods"]["full"]["scores"] == {"refused": 0.0} and "87.9" in printed


def test_a_prompt_beyond_the_models_window_is_skipped(published, execute):
    texts = [essay(0, 200), "the " * 1100, essay(1, 200)]
    published.jailbreakv([{"jailbreak_query": text} for text in texts])
    options = ["jailbreakv", "--policy", "full", "chunk_kv", "chunk_kv"]
    summary, rows, printed = execute(*options)

    assert [row["example"] for row in rows if "skipped" not in row] == ["jailbreakv/0"] * 2 + ["jailbreakv/2"] * 2
    assert [(row["example"], row["method"]) for row in rows if "skipped" in row] == [
        ("jailbreakv/1", "full"), ("jailbreakv/1", "chunk_kv")]
    assert "window of 1152" in rows[2]["skipped"]
    found = summary["methods"]["full"]
    assert (found["examples"], found["skipped"]) == (2, 1)
    assert next(line for line in printed.splitlines() if line.split()[0] == "full").split()[1:3] == ["2", "1"]
    assert execute(*options)[:2] == (summary, rows), "what was skipped is not tried again"


@pytest.mark.parametrize("benchmark, module", [(["needle"], "rouge_score.rouge_scorer"),
                                               (["longbench", "--datasets", "qmsum"], "rouge"),
                                               (["longbench", "--datasets", "multifieldqa_zh"], "jieba")])
def test_a_missing_library_stops_a_run_before_its_first_prompt(published, execute, tmp_path, monkeypatch, benchmark,
                                                               module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingLibrary, match=f"needs {module}"):
        execute(*benchmark)
    assert not (tmp_path / "run").exists()


def test_unknown_chunks_are_refused_by_the_command_line(execute, capsys):
    with pytest.raises(SystemExit):
        execute("gsm8k", "--chunks", "sentence")
    assert "invalid choice: 'sentence'" in capsys.readouterr().err


def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(published, execute, server, tmp_path):
    published.essays(essay(0))
    options = ["needle", *NEEDLE_OPTIONS, "--policy", "full", "chunk_kv", "--max-tokens", "60"]
    command = [sys.executable, str(HERE / "run.py"), *options, "--model", str(MODEL), "--data", str(published.folder),
               "--out", str(tmp_path / "killed"), "--address", server, "--window-length", "8"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                               env=os.environ | {"OMP_NUM_THREADS": "1"})
    for line in process.stderr:
        if line.startswith("needle/400/50  full"):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    path = tmp_path / "killed" / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-20])  # and its last line was not whole

    _, resumed, _ = execute(*options, out="killed")
    _, whole, _ = execute(*options, out="whole")
    assert resumed == whole and len(whole) == 12

    _, again, _ = execute(*options, out="whole")
    assert again == whole
    _, wider, _ = execute(*options[:-3], "snap_kv", *options[-2:], out="whole")
    assert len(wider) == 18 and wider[:12] == whole


def test_other_settings_in_the_same_folder_are_refused(published, execute):
    published.essays(essay(0))
    options = ["needle", *NEEDLE_OPTIONS, "--policy", "full", "--limit", "1"]
    execute(*options)
    with pytest.raises(SettingsMismatch, match="budget.max_tokens: 128 -> 64"):
        execute(*options, "--max-tokens", "64")
    published.essays(essay(1))
    with pytest.raises(SettingsMismatch, match="data"):
        execute(*options)


@pytest.mark.parametrize("change, message", [
    (["--model", "/nowhere"], "/nowhere has no config.json"), (["--address", "127.0.0.1:1"], "UNAVAILABLE|connect"),
    (["--chat", "on"], "no chat template"), (["--data", "/nowhere"], "no test.jsonl")])
def test_what_goes_wrong_is_said_in_one_line(published, server, tmp_path, change, message):
    published.gsm8k("test", [("tell me ?", "#### 1")])
    command = ["gsm8k", "--model", str(MODEL), "--data", str(published.folder), "--out", str(tmp_path / "run"),
               "--address", server, *change]
    with pytest.raises(SystemExit, match=message):
        command_line.main(command)


@pytest.mark.parametrize("asked, options, response", [
    ("", {}, ANSWER),
    ("", {"max_new_tokens": 1}, "ginger"),
    ("", {"stop_text": "kernel"}, "ginger rabbit kernel"),
    (" ginger rabbit kernel", {"stop_text": "kernel"}, "autumn mercury jade zinnia mole"),  # not the prompt's own
    (" " + ANSWER, {}, ""),  # a stop comes at once
])
def test_where_a_response_ends(server, asked, options, response):
    with served_model(server) as model:
        example = Example("one", "one", essay(0, 300) + NEEDLE + QUESTION + asked, **{"max_new_tokens": 20} | options)
        assert model.answer(model.prefill(example), Method("full")).response == response


def test_a_response_that_may_not_be_empty_is_not(server):
    with served_model(server) as model:
        example = Example("one", "one", essay(0, 300) + NEEDLE + QUESTION + " " + ANSWER, 20, min_new_tokens=1)
        assert model.prefill(example).next_token not in model.codec.encode(".")


def test_a_prompt_beyond_the_models_window_is_named(server):
    with served_model(server) as model, pytest.raises(PromptTooLong, match="1101 tokens .* 100 new .* window of 1152"):
        model.prefill(Example("one", "one", "the " * 1100, 100))


@pytest.mark.parametrize("chat, as_chat, wrapped", [
    ("auto", True, True), ("auto", False, False), ("on", False, True), ("off", True, False)])
def test_chats_go_into_the_models_template(server, tmp_path, chat, as_chat, wrapped):
    folder = shutil.copytree(MODEL, tmp_path / "model")
    template = "<s> saw {{ messages[0].content }} .{{ ' that' * add_generation_prompt }}"
    (folder / "chat_template.jinja").write_text(template)
    with served_model(server, folder, chat=chat) as model:
        ids = model.prefill(Example("one", "one", "the lamp", 4, as_chat=as_chat)).ids
        assert ids == model.codec.encode("saw the lamp . that" if wrapped else "the lamp", special_tokens=True)


def test_another_architecture_answers_as_its_own_generate_does(server, tmp_path):
    """A random Gemma 2, whose every other layer has a sliding window: from the served full cache, the same ids."""
    folder = tmp_path / "model"
    torch.manual_seed(0)
    random = transformers.Gemma2ForCausalLM(transformers.Gemma2Config(
        vocab_size=len(words.WORDS), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, sliding_window=16, max_position_embeddings=256, eos_token_id=None,
        bos_token_id=None, pad_token_id=0)).eval()
    random.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(MODEL / name, folder)
    example = Example("one", "one", essay(0, 100), 12)

    with served_model(server, folder, methods=[Method("full"), Method("chunk_kv"), Method("h2o")]) as model:
        prompt = model.prefill(example)
        whole, compact = model.answer(prompt, Method("full")), model.answer(prompt, Method("chunk_kv"))
        with pytest.raises(ModelError, match="layer 0 caches a sliding window"):
            model.answer(prompt, Method("h2o"))
        ids = torch.tensor([prompt.ids])
        own = random.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1]:]
        assert whole.response == model.codec.decode(own.tolist())
    assert whole.kept_tokens == whole.prompt_tokens == len(prompt.ids)
    assert compact.kept_tokens == (len(prompt.ids) + 1) // 2


def served_model(server, folder=MODEL, methods=(Method("full"),), chat="auto"):
    from paper_benchmarks.served_model import ServedModel

    budget = Budget(keep_ratio=0.5, max_tokens=None, window_length=8, chunk_length=10, reuse_group=1)
    return ServedModel(folder, fingerprints.model_digest(folder), server, budget, methods, chat=chat)


def test_accumulated_attention_is_the_sum_of_the_models_own(monkeypatch):
    """Against the attention weights that transformers gives with eager attention, in blocks of a few queries."""
    import chunkkv.hf
    from paper_benchmarks import attention_mass
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(MODEL, attn_implementation="eager", dtype=torch.float32).eval()
    tokens = torch.arange(3, 40)[None]
    monkeypatch.setattr(attention_mass, "LOGITS_AT_ONCE", 4 * 37 * 5)
    with torch.inference_mode(), chunkkv.hf.capture_queries(model, 37) as seen:
        output = model(tokens, use_cache=True, output_attentions=True)
    for layer, attention in enumerate(output.attentions):
        received = accumulated_attention(seen.layers[layer].queries[0], output.past_key_values.layers[layer].keys[0],
                                         seen.layers[layer].scale)
        torch.testing.assert_close(received, attention[0].sum((0, 1)), rtol=1e-5, atol=1e-5)
