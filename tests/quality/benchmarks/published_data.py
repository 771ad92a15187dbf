"""Small data in the published file formats, written by the tests."""

import csv
import json

JAILBREAKV_COLUMNS = ("id", "jailbreak_query", "redteam_query", "format", "policy", "image_path", "from",
                      "selected_mini", "transfer_from_llm")


class PublishedData:
    def __init__(self, folder):
        self.folder = folder

    def _jsonl(self, name, rows):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return path

    def longbench(self, dataset, examples, prompt="{context}\nQ: {input}\nA:", max_new_tokens=8):
        """examples: dicts with `context`, `input` and `answers`; the config names the datasets written so far."""
        rows = [{"length": len(row["context"].split()), "dataset": dataset, "language": "en", "all_classes": None,
                 "_id": f"{dataset}-{index}", **row} for index, row in enumerate(examples)]
        self._config("dataset2prompt.json", dataset, prompt)
        self._config("dataset2maxlen.json", dataset, max_new_tokens)
        return self._jsonl(f"data/{dataset}.jsonl", rows)

    def _config(self, name, dataset, value):
        path = self.folder / "config" / name
        path.parent.mkdir(exist_ok=True)
        values = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps(values | {dataset: value}, ensure_ascii=False), encoding="utf-8")

    def gsm8k(self, split, problems):
        """problems: pairs of question and answer."""
        return self._jsonl(f"{split}.jsonl", [{"question": asked, "answer": answer} for asked, answer in problems])

    def jailbreakv(self, rows):
        """rows: dicts of the columns that matter to the test."""
        usual = {"redteam_query": "how?", "format": "Template", "policy": "Fraud", "image_path": "blank.png",
                 "from": "RedTeam_2K", "selected_mini": "False", "transfer_from_llm": "True"}
        path = self.folder / "JailBreakV_28K.csv"
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, JAILBREAKV_COLUMNS)
            writer.writeheader()
            writer.writerows({"id": index} | usual | row for index, row in enumerate(rows))
        return path

    def essays(self, *texts):
        for index, text in enumerate(texts):
            (self.folder / f"essay{index}.txt").write_text(text, encoding="utf-8")
