"""A run from the first example to the last: every pending method answers every example."""

from collections import Counter


def limited(examples, limit):
    """The first `limit` examples of each group (None: all)."""
    seen = Counter()
    for example in examples:
        seen[example.group] += 1
        if limit is None or seen[example.group] <= limit:
            yield example


def run(examples, benchmark, model, methods, results, progress):
    """Appends a result for each example and method that has none. An example is prefilled once for all its methods.

    progress: called with each row that was appended."""
    for example in examples:
        pending = [method for method in methods if (example.name, method.name) not in results.done]
        if not pending:
            continue
        prompt = model.prefill(example)
        for method in pending:
            answer = model.answer(prompt, method)
            row = {"example": example.name, "method": method.name, "group": example.group,
                   "scores": benchmark.score(answer.response, example), "response": answer.response,
                   "prompt_tokens": answer.prompt_tokens, "kept_tokens": answer.kept_tokens,
                   "retained_mass": answer.retained_mass, "stored_bytes": answer.stored_bytes,
                   "reference": example.reference}
            results.append(row)
            progress(row)
