"""A tiny run through the real server, whole: measured, written, and made again from its trials alone."""

import json
from xml.etree import ElementTree

import pytest

pytest.importorskip("chunkkv", reason="the chunkkv package is not installed")

from needle import sweeps
from needle.laboratory import Laboratory
from needle.prompt_sets import main_set
from needle.run import main

PROMPTS, LENGTH = 2, 256


@pytest.fixture(scope="module")
def arguments(server, tmp_path_factory):
    return ["--address", server, "--work", str(tmp_path_factory.mktemp("work")), "--prompts", str(PROMPTS), "--length",
            str(LENGTH), "--heat-prompts", "1", "--heat-lengths", "128", "--workers", "1", "--without-kvpress",
            "--groups", "0-1:1,2-2"]


@pytest.fixture(scope="module")
def out(arguments, tmp_path_factory):
    """The folder of the run's results."""
    folder = tmp_path_factory.mktemp("out")
    main([*arguments, "--out", str(folder)])
    return folder


@pytest.fixture(scope="module")
def results(out):
    return json.loads((out / "results.json").read_text())


@pytest.fixture(scope="module")
def trials(arguments, results):
    """Trials of the run: by cell, of each prompt in turn."""
    work = arguments[arguments.index("--work") + 1]
    lines = open(f"{work}/main.jsonl").read().splitlines()
    return [record["trials"] for record in map(json.loads, lines[1:])]


def test_every_cell_has_every_prompt(results):
    assert len(results["cells"]) > 150
    assert {cell["prompts"] for cell in results["cells"].values()} == {PROMPTS}
    assert results["cells"]["full"]["kept"] == LENGTH
    assert results["cells"]["chunk_kv, keep 20%, sentences"]["kept"] == round(0.2 * LENGTH)


def test_the_full_cache_answers(results):
    assert results["cells"]["full"]["exact"] == PROMPTS
    assert all(place["exact"] == 1 for place in results["heat"]["places"]["full cache"])


def test_similarity_and_mass_are_of_the_kept_positions(server, trials):
    """Reuse of all layers: similarity has nothing to compare; its masses are those of the scored layers alone."""
    for prompt in range(PROMPTS):
        own, shared = (trials[prompt][f"chunk_kv, keep 20%, sentences{more}"]
                       for more in ("", ", reuse_group 3, group_score leader"))
        assert len(own["mass"]) == 3 and len(own["jaccard"]) == 2
        assert len(shared["mass"]) == 1 and shared["jaccard"] == []
        assert own["mass"][0] == shared["mass"][0] and len(set(shared["asked"])) == 1


def test_the_same_seeds_give_the_same_trials(server, trials):
    """Measured anew, in another order."""
    cells = [cell for sweep in (sweeps.keep_ratios(), sweeps.reuse()) for cell in sweep.cells][::-1]
    again, _ = Laboratory(server).measure(main_set(PROMPTS, LENGTH).recipes[1], cells)

    assert again == {cell.name: trials[1][cell.name] for cell in cells}


def test_results_are_made_again_from_the_trials(arguments, out, tmp_path, monkeypatch, capsys):
    """Byte for byte, with nothing measured."""
    monkeypatch.setattr(Laboratory, "measure", None)
    main([*arguments, "--out", str(tmp_path)])

    again = {path.name: path.read_text().replace(str(tmp_path), str(out)) for path in tmp_path.iterdir()}
    assert again == {path.name: path.read_text() for path in out.iterdir()}


def test_plots_are_well_formed_and_shown(out, results):
    page = (out / "results.md").read_text()
    drawings = list(out.glob("*.svg"))

    assert len(drawings) == len(results["sweeps"]) + 2
    for drawing in drawings:
        ElementTree.parse(drawing)
        assert f"({drawing.name})" in page


def test_the_page_tells_what_was_left_out(out):
    assert "kvpress are not installed, or --without-kvpress" in (out / "results.md").read_text()


def test_nothing_is_left_on_the_server(server, results):
    import chunkkv

    with chunkkv.Client(server) as client:
        assert client.stats().tenant["entries"] == 0
