"""A run from the first example to the last: every pending method answers every example."""

from collections import Counter

from .errors import PromptTooLong


def limited(examples, limit):
    """The first `limit` examples of each group (None: all)."""
    seen = Counter()
    for example in examples:
        seen[example.group] += 1
        if limit is None or seen[example.group] <= limit:
            yield example


def run(examples, benchmark, model, methods, results, progress):
    """Appends a row for each example and method that has none. An example is prefilled once for all its methods; one
    that does not fit the model's window is skipped.

    progress: called with each row that was appended."""

    def record(row):
        results.append(row)
        progress(row)

    for example in examples:
        pending = [method for method in methods if (example.name, method.name) not in results.done]
        if not pending:
            continue
        try:
            prompt = model.prefill(example)
        except PromptTooLong as error:
            for method in pending:
                record(_of(example, method) | {"skipped": str(error)})
            continue
        for method in pending:
            answer = model.answer(prompt, method)
            record(_of(example, method) | {
                "scores": benchmark.score(answer.response, example), "response": answer.response,
                "prompt_tokens": answer.prompt_tokens, "kept_tokens": answer.kept_tokens,
                "retained_mass": answer.retained_mass, "stored_bytes": answer.stored_bytes,
                "reference": example.reference})


def _of(example, method):
    return {"example": example.name, "method": method.name, "group": example.group}
