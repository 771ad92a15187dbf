"""GSM8K: answers of the published form, both kinds of exemplars, exact match of the last number."""

from decimal import Decimal

import pytest

from paper_benchmarks import chain_of_thought
from paper_benchmarks.errors import DataError
from paper_benchmarks.gsm8k import Gsm8k, ManyShotGsm8k, last_number, prompt_of, reasoning_and_answer

ANSWER = "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nThat is 48+24 = <<48+24=72>>72 altogether.\n#### 72"


def test_answers_lose_calculator_notes_and_lines():
    assert reasoning_and_answer(ANSWER) == (
        "Natalia sold 48/2 = 24 clips in May. That is 48+24 = 72 altogether.", "72")
    assert reasoning_and_answer("It costs much. #### 1,200")[1] == "1200"
    with pytest.raises(DataError, match="####"):
        reasoning_and_answer("no mark")


@pytest.mark.parametrize("text, number", [
    ("The answer is 72.", "72"), ("$1,200.50 in all", "1200.50"), ("from 3 to -4", "-4"), ("18.0", "18"),
    ("5 - 3 = 2", "2"), ("no number", None), ("", None), ("1,", "1"), ("-$5", "-5"), ("2024.", "2024")])
def test_last_number(text, number):
    assert last_number(text) == (None if number is None else Decimal(number))


@pytest.mark.parametrize("response, right", [
    (" 24 + 48 = 72. The answer is 72.", True),
    (" The answer is 72.00", True),
    (" The answer is 72.\n\nQ: There are 5 cars.\nA: 5", True),
    (" The answer is 71.", False),
    (" 72 of 100", False),
    (" I do not know.", False),
    ("", False)])
def test_only_the_last_number_of_the_own_answer_counts(published, codec, response, right):
    published.gsm8k("test", [("How many?", ANSWER)])
    example, = Gsm8k().examples(published.folder, codec, 8192)
    assert Gsm8k().score(response, example) == {"accuracy": 100.0 * right}


def test_the_prompt_has_the_eight_published_exemplars(published, codec):
    published.gsm8k("test", [("How many?", ANSWER), ("And now?", "#### 3")])
    first, second = Gsm8k().examples(published.folder, codec, 8192)

    assert first.prompt.startswith("Q: There are 15 trees in the grove.")
    assert first.prompt.count("The answer is ") == 8 and first.prompt.endswith("\n\nQ: How many?\nA:")
    assert "5 * 4 = 20 computers were added. 9 + 20 is 29. The answer is 29.\n\nQ: Michael" in first.prompt
    assert (first.name, second.name) == ("gsm8k/0", "gsm8k/1") and second.reference == {"answer": "3"}
    assert not first.as_chat and first.max_new_tokens == 256


def test_the_exemplars_lead_to_their_answers():
    assert [str(last_number(reasoning)) for _, reasoning, _ in chain_of_thought.EXEMPLARS] == [
        answer for _, _, answer in chain_of_thought.EXEMPLARS]


def test_many_shots_come_from_the_training_file_by_seed(published, codec):
    published.gsm8k("test", [("How many?", ANSWER), ("And now?", "#### 3")])
    published.gsm8k("train", [(f"question {index}?", f"It is {index}.\n#### {index}") for index in range(80)])

    def prompts(**options):
        return [example.prompt for example in ManyShotGsm8k(**options).examples(published.folder, codec, 8192)]

    first, second = prompts()
    assert first.count("Q: question") == 50 and len(set(first.split("\n\n"))) == 51
    assert first.rpartition("Q:")[0] == second.rpartition("Q:")[0]
    assert prompts()[0] == first != prompts(seed=1)[0]
    assert prompts(shot_count=2)[0].count("The answer is") == 2
    with pytest.raises(DataError, match="81 shots of 80"):
        prompts(shot_count=81)


def test_a_shot_is_a_question_its_reasoning_and_its_answer():
    assert prompt_of([("1 + 1?", "One and one.", "2")], "2 + 2?") == (
        "Q: 1 + 1?\nA: One and one. The answer is 2.\n\nQ: 2 + 2?\nA:")


def test_missing_files_are_named(published, codec):
    with pytest.raises(DataError, match="no test.jsonl"):
        list(Gsm8k().examples(published.folder, codec, 8192))
    published.gsm8k("test", [("How many?", ANSWER)])
    with pytest.raises(DataError, match="no train.jsonl"):
        ManyShotGsm8k().files(published.folder)
