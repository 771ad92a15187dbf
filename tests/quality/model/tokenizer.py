"""The model's word-level tokenizer.json, read as JSON."""

import json

import numpy as np

from folder import FOLDER


class Tokenizer:
    def __init__(self, folder=FOLDER):
        model = json.loads((folder / "tokenizer.json").read_text())["model"]
        self.ids = model["vocab"]
        self.unknown = self.ids[model["unk_token"]]
        self.words = sorted(self.ids, key=self.ids.get)

    def encode(self, text):
        """ids int32 [tokens] of the text's words, `<s>` before them."""
        return np.array([self.ids["<s>"]] + [self.ids.get(word, self.unknown) for word in text.split()], np.int32)

    def decode(self, ids):
        """The words of `ids`, without `<s>`."""
        return " ".join(self.words[index] for index in ids if index != self.ids["<s>"])
