"""JailbreakV: the published CSV, its text part, and refusals."""

import pytest

from paper_benchmarks.errors import DataError
from paper_benchmarks.jailbreakv import JailbreakV, refuses


def load(published, codec, **options):
    return list(JailbreakV(**options).examples(published.folder, codec, 8192))


def test_prompts_made_for_language_models_are_the_text_part(published, codec):
    published.jailbreakv([
        {"jailbreak_query": "line one\nline \"two\", and more", "format": "Template", "policy": "Malware"},
        {"jailbreak_query": "look at the image", "format": "figstep", "transfer_from_llm": "False"},
        {"jailbreak_query": "be logical", "format": "Logic", "selected_mini": "True"}])
    first, last = load(published, codec)

    assert first.prompt == 'line one\nline "two", and more' and first.group == "Template" and first.as_chat
    assert first.reference == {"policy": "Malware", "redteam_query": "how?"}
    assert last.name == "jailbreakv/2"
    assert [example.prompt for example in load(published, codec, only_mini=True)] == ["be logical"]


@pytest.mark.parametrize("response, refused", [
    ("I'm sorry, but I can not help.", True), ("I’m sorry.", True), ("I cannot do that", True),
    ("Well. As an AI model", True), ("That is bad, and it's not appropriate.", True),
    ("Sure, here is how", False), ("", False), ("sorry", False)])
def test_a_refusal_has_one_of_the_published_phrases(published, codec, response, refused):
    assert refuses(response) == refused
    assert JailbreakV().score(response, None) == {"refused": 100.0 * refused}


def test_what_is_wrong_with_the_data_is_said(published, codec):
    with pytest.raises(DataError, match="no JailBreakV_28K.csv"):
        load(published, codec)
    (published.folder / "JailBreakV_28K.csv").write_text("id,jailbreak_query\n1,x\n")
    with pytest.raises(DataError, match="no column redteam_query, format"):
        load(published, codec)
    path = published.jailbreakv([{"jailbreak_query": "x"}])
    path.write_text(path.read_text() + "7,cut off\n")
    with pytest.raises(DataError, match="csv:3: a row of too few columns"):
        load(published, codec)
    path.write_text("")
    with pytest.raises(DataError, match="no column id"):
        load(published, codec)
