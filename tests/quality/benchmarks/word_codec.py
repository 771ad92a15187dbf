"""A tokenizer of words for tests that need no model: one id a word with the white space before it, lossless."""

import re


class WordCodec:
    begin = 0

    def __init__(self):
        self.words = ["<s>"]
        self.ids = {}

    def encode(self, text, special_tokens=False):
        ids = [self._id(word) for word in re.findall(r"\s*\S+|\s+$", text)]
        return [self.begin] * special_tokens + ids

    def decode(self, ids):
        return "".join(self.words[index] for index in ids if index != self.begin)

    def _id(self, word):
        if word not in self.ids:
            self.ids[word] = len(self.words)
            self.words.append(word)
        return self.ids[word]
