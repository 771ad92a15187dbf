"""Waits for the cache of a prompt, and answers from it."""

import argparse
from pathlib import Path

import chunkkv
import chunkkv.hf
from transformers import AutoModelForCausalLM, AutoTokenizer

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("model", help="a folder, or a name on the hub")
parser.add_argument("prompt", type=Path, help="a text file, the same that prefill.py read")
parser.add_argument("first", type=int, help="the answer's first token, as prefill.py printed it")
parser.add_argument("--server", default="127.0.0.1:7421")
parser.add_argument("--max-new-tokens", type=int, default=64)
arguments = parser.parse_args()

tokenizer = AutoTokenizer.from_pretrained(arguments.model)
model = AutoModelForCausalLM.from_pretrained(arguments.model)
tokens = tokenizer(arguments.prompt.read_text(), return_tensors="pt").input_ids

with chunkkv.Client(arguments.server) as client:
    served = chunkkv.hf.load(client, model, tokens, accept="least_lossy", wait_seconds=60)
print(f"{served.row_count} of {tokens.shape[1]} tokens; the next position is {served.next_position}")
answer = chunkkv.hf.generate(model, served, [arguments.first], max_new_tokens=arguments.max_new_tokens, do_sample=False)
print(tokenizer.decode([arguments.first, *answer[0].tolist()]))
