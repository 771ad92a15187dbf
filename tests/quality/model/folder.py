"""The Hugging Face folder of the model: its configuration, its tokenizer and where the files are."""

import json
from pathlib import Path

import vocabulary as words

FOLDER = Path(__file__).parent / "passphrase-llama"

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": len(words.WORDS),
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "hidden_act": "silu",
    "max_position_embeddings": 1152,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "mlp_bias": False,
    "tie_word_embeddings": False,
    "bos_token_id": words.IDS["<s>"],
    "eos_token_id": words.IDS["."],
    "torch_dtype": "float32",
}

TOKENIZER = {
    "version": "1.0",
    "added_tokens": [
        {"id": words.IDS[word], "content": word, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True} for word in words.SPECIAL],
    "pre_tokenizer": {"type": "WhitespaceSplit"},
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                 {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [words.IDS["<s>"]], "tokens": ["<s>"]}},
    },
    "model": {"type": "WordLevel", "vocab": words.IDS, "unk_token": "<unk>"},
}

TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "unk_token": "<unk>",
    "model_max_length": CONFIG["max_position_embeddings"],
    "clean_up_tokenization_spaces": False,
}


def write_descriptions(folder=FOLDER):
    """Writes the folder's JSON files: everything but the weights."""
    folder.mkdir(exist_ok=True)
    for name, content in (("config.json", CONFIG), ("tokenizer.json", TOKENIZER),
                          ("tokenizer_config.json", TOKENIZER_CONFIG)):
        (folder / name).write_text(json.dumps(content, indent=1) + "\n")
