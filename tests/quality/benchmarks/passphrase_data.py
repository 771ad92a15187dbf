"""Texts in the words of the shipped model: essays, and a needle that it has been trained to find."""

from prompts import make_prompt

NEEDLE = " remember passphrase of lukas ginger rabbit kernel autumn mercury jade zinnia mole . "
QUESTION = "? tell me passphrase of lukas"
ANSWER = "ginger rabbit kernel autumn mercury jade zinnia mole"


def essay(seed, length=1000):
    """Filler sentences, without their needles."""
    prompt = make_prompt(length, seed, needles=1)
    words = prompt.words
    asked = prompt.asked
    question = words.index("?")
    return " ".join(words[1:asked.start] + words[asked.end:question]) + " "
