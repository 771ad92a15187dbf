"""Reads a prompt, puts its cache with a tenth of the tokens kept, and prints the first token of the answer."""

import argparse
from pathlib import Path

import chunkkv
import chunkkv.chunking
import chunkkv.hf
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

WINDOW_LENGTH = 8

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("model", help="a folder, or a name on the hub")
parser.add_argument("prompt", type=Path, help="a text file")
parser.add_argument("--server", default="127.0.0.1:7421")
arguments = parser.parse_args()

tokenizer = AutoTokenizer.from_pretrained(arguments.model)
model = AutoModelForCausalLM.from_pretrained(arguments.model)
tokens = tokenizer(arguments.prompt.read_text(), return_tensors="pt").input_ids

cache = DynamicCache(config=model.config)
with torch.inference_mode(), chunkkv.hf.capture_queries(model, WINDOW_LENGTH) as window:
    logits = model(tokens, past_key_values=cache, logits_to_keep=1).logits

spec = chunkkv.CompactionSpec("chunk_kv", keep_ratio=0.1, window_length=WINDOW_LENGTH,
                              chunk_starts=chunkkv.chunking.chunk_starts(tokens[0].numpy(), tokenizer))
with chunkkv.Client(arguments.server) as client:
    chunkkv.hf.put(client, model, tokens, cache, window, spec)
print(int(logits[0, -1].argmax()))
