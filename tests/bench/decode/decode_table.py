"""A result as text."""

from decode_figures import PUBLISHED

REFUSED = "refused"
COLUMNS = (("put_ms", "put ms", 1), ("compaction_ms", "compaction ms", 1), ("load_ms", "load ms", 1),
           ("first_token_ms", "to 1st token ms", 1), ("step_ms", "ms a token", 2), ("tokens_per_second", "tokens/s", 2),
           ("total_seconds", "total s", 2))
DIFFERENCES = (("step_ms", "ms a token"), ("compaction_ms", "compaction ms"), ("put_ms", "put ms"),
               ("load_ms", "load ms"), ("total_seconds", "total s"))
LEGEND = """\
MiB: K and V of one sequence at its end; fit: such sequences in {memory:g} GiB. Behind ±: the middle half of the repeats
over their median; above {limit:.0%} a figure is refused, and what follows from it.
put: from the prefill's cache to a stored entry; compaction: what the service spent of it on scoring, choosing and
gathering. load: from the request to rows in a room of their own. to 1st token: of a served cache, load and the first
step of the decode worker, without the prefill and the put before them; in one process, the prefill, so that the two are
not to be compared. total: prefill, put, load and all steps."""


def text_of(result: dict) -> str:
    lines = [_heading(result), "", *_figures(result), "",
             LEGEND.format(memory=result["memory_bytes"] / 2**30, limit=result["spread_limit"]), ""]
    for base, found in result["changes"].items():
        lines += [*_changes(base, found), ""]
    return "\n".join(lines + _parts(result["parts"]))


def _heading(result: dict) -> str:
    settings, machine, model = result["settings"], result["machine"], result["model"]
    return (f"{model['parameters'] / 1e6:.0f} M parameters, {settings['dtype']}, {machine['device']}, "
            f"{machine['threads']} threads; {settings['tokens_in']} tokens in, {settings['tokens_out']} out, keep "
            f"{settings['keep_ratio']:.0%}, {settings['repeats']} repeats; prefill {result['prefill_seconds']:.2f} s, "
            "measured once")


def _figures(result: dict) -> list[str]:
    lines = [f"{'':<24}{'rows':>6}{'MiB':>8}{'fit':>6}" + "".join(f"{title:>16}" for _, title, _ in COLUMNS)]
    for name, variant in result["variants"].items():
        cells = [_cell(variant["figures"][quantity], digits) for quantity, _, digits in COLUMNS]
        lines.append(f"{name:<24}{variant['rows']:>6}{variant['cache_bytes'] / 2**20:>8.1f}{variant['sequences']:>6}"
                     + "".join(f"{cell:>16}" for cell in cells))
    return lines


def _changes(base: str, found: dict) -> list[str]:
    lines = [f"{'against ' + base:<30}{'latency':>10}{'throughput':>12}{'decoding':>10}   published"]
    for name, change in found.items():
        line = f"  {name:<28}{_share(change['latency']):>10}{_share(change['throughput']):>12}"
        line += f"{_share(change['decoding']):>10}"
        if name in PUBLISHED:
            line += "   {:+.1f} % latency, {:+.1f} % throughput".format(*PUBLISHED[name])
        lines.append(line)
    return lines


def _parts(parts: dict) -> list[str]:
    lines = [f"{'what each brings':<46}" + "".join(f"{title:>16}" for _, title in DIFFERENCES)]
    for name, part in parts.items():
        cells = [_signed(part["differences"][quantity]) for quantity, _ in DIFFERENCES]
        lines.append(f"  {part['of'] + ': ' + name + ' against ' + part['against']:<44}"
                     + "".join(f"{cell:>16}" for cell in cells))
    return lines + ["~: not told apart from no difference by these repeats. Reuse leaves the number of rows as it is: "
                    "what it saves is scoring."]


def _cell(figure: dict, digits: int) -> str:
    value = REFUSED if figure["median"] is None else f"{figure['median']:.{digits}f}"
    return f"{value} ±{figure['spread']:.0%}"


def _share(value: float | None) -> str:
    return REFUSED if value is None else f"{value:+.1%}"


def _signed(difference: dict | None) -> str:
    if difference is None:
        return REFUSED
    return f"{'' if difference['is_resolved'] else '~'}{difference['median']:+.2f}"
