"""What the demo shows: plain text in 100 columns, coloured on a terminal."""

import sys
import textwrap

import numpy as np

COLUMNS = 100
LABEL_COLUMNS = 10
SHADES = " ░▒▓█"
BAR_COLUMNS = 20
GREEN, RED, BOLD, DIM = 32, 31, 1, 2


def paint(text, *codes):
    """`text` in colour where standard output is a terminal."""
    return f"\033[{';'.join(map(str, codes))}m{text}\033[0m" if sys.stdout.isatty() else text


def heading(text):
    return "\n" + paint(text, BOLD) + " " + paint("─" * (COLUMNS - 1 - len(text)), DIM)


def mark(exact):
    return paint("✔", GREEN) if exact else paint("✘", RED)


def kibibytes(count):
    return f"{count / 1024:,.0f}"


def percentage(share):
    return "–" if share is None else f"{share:.0%}"


def bar(share):
    full = round(share * BAR_COLUMNS)
    return paint("█" * full, GREEN) + paint("░" * (BAR_COLUMNS - full), DIM)


def prompt_lines(prompt, shown=2):
    """The prompt's sentences, elided but for the first, the last, the asked needle and the question."""
    bounds = [*prompt.chunk_starts.tolist(), len(prompt.tokens)]
    sentences = [" ".join(prompt.words[a:b]) for a, b in zip(bounds, bounds[1:])]
    needle = int(np.searchsorted(prompt.chunk_starts, prompt.asked.start, "right")) - 1
    visible = {*range(shown), needle, *range(len(sentences) - shown, len(sentences))}
    hidden = 0
    for index, sentence in enumerate(sentences):
        if index not in visible:
            hidden += len(sentence.split())
            continue
        if hidden:
            yield paint(f"    … {hidden} words …", DIM)
            hidden = 0
        codes = {needle: (GREEN,), len(sentences) - 1: (BOLD,)}.get(index)
        for line in textwrap.wrap(sentence, COLUMNS, initial_indent="  ", subsequent_indent="    "):
            yield paint(line, *codes) if codes else line


def answer_line(outcome):
    words = textwrap.shorten(" ".join(outcome.answer), COLUMNS - 30, placeholder=" …")
    return f"  {outcome.method.title:<26}{mark(outcome.exact)} {words}"


def outcome_header():
    return paint(f"  {'':<26}{'mass':>6}{'sent KiB':>11}{'stored KiB':>12}{'served KiB':>12}"
                 f"{'put ms':>10}{'get ms':>10}{'decode ms':>11}", DIM)


def outcome_line(outcome):
    return (f"  {outcome.method.title:<26}{percentage(outcome.retained_mass):>6}{kibibytes(outcome.sent_bytes):>11}"
            f"{kibibytes(outcome.stored_bytes):>12}{kibibytes(outcome.served_bytes):>12}"
            f"{outcome.put_ms:>10.1f}{outcome.get_ms:>10.1f}{outcome.decode_ms:>11.1f}")


def coverage(positions, length, cells):
    """Share of each of `cells` equal parts of the prompt that `positions` cover, float64 [cells]."""
    kept = np.zeros(length)
    kept[positions] = 1
    edges = np.linspace(0, length, cells + 1)
    total = np.interp(edges, np.arange(length + 1), np.concatenate([[0], np.cumsum(kept)]))
    return np.diff(total) / np.diff(edges)


def map_heading(method):
    return heading(f"{method.label}, {method.keep_ratio:.0%} kept (▼ asked passphrase, ▿ the others)")


def map_lines(outcome, prompt):
    """Layers down, the prompt across: the share of each part that is kept; ▼ marks the asked needle."""
    cells, length = COLUMNS - LABEL_COLUMNS, len(prompt.tokens)
    marks = [" "] * cells
    for needle in sorted(prompt.needles, key=lambda each: each is prompt.asked):
        for cell in range(needle.start * cells // length, (needle.end - 1) * cells // length + 1):
            marks[cell] = "▼" if needle is prompt.asked else "▿"
    marks = "".join(paint(each, GREEN) if each == "▼" else each for each in marks)
    yield f"{'':<{LABEL_COLUMNS}}{marks}"
    for layer, positions in enumerate(outcome.positions):
        shares = coverage(positions, length, cells)
        shades = "".join(SHADES[int(np.ceil(share * (len(SHADES) - 1) - 1e-9))] for share in shares)
        yield f"  layer {layer:<{LABEL_COLUMNS - 8}}{shades}"


def summary_header():
    return paint(f"  {'':<26}{'exact answers':<{BAR_COLUMNS + 7}}{'mass':>7}{'stored':>9}{'put ms':>9}{'get ms':>9}"
                 f"{'decode ms':>11}", DIM)


def summary_line(method, summary):
    return (f"  {method.title:<26}{bar(summary['exact'])}{summary['exact']:>6.2f} "
            f"{percentage(summary['retained_mass']):>7}{percentage(summary['stored_share']):>9}"
            f"{summary['put_ms']:>9.1f}{summary['get_ms']:>9.1f}{summary['decode_ms']:>11.1f}")
