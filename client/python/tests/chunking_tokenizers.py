"""Small tokenizers of each common kind, trained on a few multilingual sentences."""

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

CORPUS = [
    "The quick brown fox jumps over 3.14 lazy dogs. Is it here? It is, e.g. with Dr. Smith (and others)!",
    "今天天气很好。我们去公园吧！你呢？「是的。」", "日本語の文です。そうですか？", "สวัสดีครับ วันนี้อากาศดี ไปเที่ยวกัน",
    "Привет, мир. Как дела? Où est-il ? Là-bas !", "naïve café 😀 — …",
    "def f(x):\n    return x\n\n\nclass A:\n\tpass\n",
]
SPECIAL = ["<s>", "<|im_start|>", "<|im_end|>", "<unk>"]


def _trained(tokenizer, trainer):
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_level():
    """As Llama 3, Qwen and GPT have it: tokens may hold parts of a character."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _trained(tokenizer, trainers.BpeTrainer(
        vocab_size=420, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))


def byte_fallback():
    """As Llama 2, Mistral and Gemma have it: white space is ▁, what is unknown is single bytes."""
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    _trained(trained, trainers.BpeTrainer(vocab_size=200, limit_alphabet=60, show_progress=False))
    known = [token for token, _ in sorted(trained.get_vocab().items(), key=lambda entry: entry[1])]
    vocabulary = {token: index for index, token in enumerate(SPECIAL + byte_tokens + known)}
    pairs = [(token[:cut], token[cut:]) for token in known for cut in range(1, len(token))]
    merges = [pair for pair in pairs if pair[0] in vocabulary and pair[1] in vocabulary]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True,
                                     fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def unigram():
    """As T5 and XLM-R have it."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return _trained(tokenizer, trainers.UnigramTrainer(vocab_size=300, special_tokens=SPECIAL, unk_token="<unk>",
                                                       show_progress=False))


def word_piece():
    """As BERT has it."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    return _trained(tokenizer, trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False))


def word_level():
    """Words between white space, as the model in tests/quality has it."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return _trained(tokenizer, trainers.WordLevelTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False))


KINDS = {make.__name__: make for make in (byte_level, byte_fallback, unigram, word_piece, word_level)}
