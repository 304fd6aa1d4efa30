"""Known tasks in the layouts they are published in: real files where they are at hand, small ones else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from supertickets.data.known import read_known
from supertickets.errors import UserError

# Rows of the real files: (train, report), and whether each is partial.
REAL = {
    "cola": (8551, 1043, False, False),
    "sst2": (67349, 872, False, False),
    "mrpc": (3668, 408, False, False),
    "stsb": (5749, 1500, False, False),
    "rte": (2490, 277, False, False),
    "wnli": (635, 71, False, False),
    "qnli": (19475, 5463, True, False),
    "qqp": (32859, 18512, True, True),
    "mnli": (19636, 6238, True, True),
    "snli": (9998, 9842, True, False),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_whole(glue: Path, name: str) -> None:
    """Every row of the real files becomes an example, and a partial set is called partial."""
    loaded = read_known(name, glue)
    train, report, train_partial, report_partial = REAL[name]
    assert (len(loaded.train), len(loaded.report)) == (train, report)
    assert [loaded.sizes[split]["partial"] for split in ("train", "report")] == [train_partial, report_partial]
    assert sum("partial" in note for note in loaded.notes) == train_partial + report_partial


def test_quote_characters_are_text(glue: Path) -> None:
    """MRPC's first pair keeps its quotes, and its labels are GLUE's."""
    first = read_known("mrpc", glue).train[0]
    assert first["text"].startswith('Amrozi accused his brother, whom he called "the witness", of')
    assert first["text_pair"].startswith('Referring to him as only "the witness", Amrozi')
    assert first["label"] == 1


def test_word_labels_have_glue_s_order(glue: Path) -> None:
    """RTE's class 0 is entailment, and the majority classes of the dev set are as published."""
    loaded = read_known("rte", glue)
    assert loaded.task.labels == ("entailment", "not_entailment")
    assert loaded.train[0]["label"] == 1
    assert list(loaded.report["label"]).count(0) == 146


def test_regression_labels_are_numbers(glue: Path) -> None:
    """STS-B's scores are numbers from 0 to 5."""
    scores = read_known("stsb", glue).train["label"][:]
    assert (min(scores), max(scores), scores[1]) == (0.0, 5.0, pytest.approx(3.8))


def test_a_task_s_own_folder_does_as_well(glue: Path) -> None:
    """The folder of one task and the folder of all tasks give the same examples."""
    assert read_known("wnli", glue / "WNLI").sha256 == read_known("wnli", glue).sha256


def write(path: Path, *lines: str) -> Path:
    """Write lines, tabs included, under folders made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def tabbed(*rows: str) -> list[str]:
    """Rows with their fields parted by `|` -> rows parted by tabs."""
    return [row.replace("|", "\t") for row in rows]


MNLI_HEADER = "index|promptID|genre|sentence1_parse|sentence1|sentence2|label1|gold_label"


def test_official_mnli_is_read_by_column_name(tmp_path: Path) -> None:
    """The official files, whose dev file has more columns than their training file, need no column numbers."""
    rows = [
        f"{i}|{i}|fiction|( x )|one {i}|two {i}|neutral|{label}" for i, label in enumerate(("neutral", "entailment"))
    ]
    rows = [*rows, *(row.replace("fiction", "slate") for row in rows), *rows]
    write(tmp_path / "MNLI" / "train.tsv", *tabbed(MNLI_HEADER, *rows))
    wider = MNLI_HEADER.replace("label1", "label1|label2")
    dev = ["7|7|fiction|( x )|left|right|neutral|entailment|contradiction", "8|8|fiction|( x )|l|r|neutral|neutral|-"]
    write(tmp_path / "MNLI" / "dev_matched.tsv", *tabbed(wider, *dev))
    loaded = read_known("mnli", tmp_path)
    assert loaded.report[0] == {"text": "left", "text_pair": "right", "label": 2}
    assert loaded.train[1] == {"text": "one 1", "text_pair": "two 1", "label": 0}
    assert loaded.sizes["report"]["left_out"] == 1
    assert "rows left out of dev_matched.tsv, as they lack a label or fields: 1" in loaded.notes


def nli_json(label: str, number: int) -> str:
    """One line of SNLI's JSON lines."""
    return json.dumps({"gold_label": label, "sentence1": f"one {number}", "sentence2": f"two {number}", "pairID": "x"})


def test_official_snli_json_lines_leave_out_rows_without_a_gold_label(tmp_path: Path) -> None:
    """SNLI's rows labelled `-` are left out and counted."""
    labels = ["neutral", "-", "entailment", "contradiction"] * 2
    lines = [nli_json(label, number) for number, label in enumerate(labels)]
    write(tmp_path / "snli_1.0" / "snli_1.0_train.jsonl", *lines)
    write(tmp_path / "snli_1.0" / "snli_1.0_dev.jsonl", *lines[:3])
    loaded = read_known("snli", tmp_path)
    assert (len(loaded.train), loaded.sizes["train"]["left_out"], len(loaded.report)) == (6, 2, 2)
    assert loaded.train[1] == {"text": "one 2", "text_pair": "two 2", "label": 0}


def test_official_snli_text_may_lack_the_last_annotators(tmp_path: Path) -> None:
    """SNLI's tab-separated rows without the fields of further annotators are whole rows."""
    header = "gold_label|sentence1_parse|sentence1|sentence2|pairID|label1|label2"
    rows = [f"{label}|( x )|one|two|7|{label}" for label in ("neutral", "entailment", "contradiction")] * 2
    write(tmp_path / "snli_1.0_train.txt", *tabbed(header, *rows))
    write(tmp_path / "snli_1.0_dev.txt", *tabbed(header, rows[0] + "|neutral"))
    assert list(read_known("snli", tmp_path).train["label"]) == [1, 0, 2, 1, 0, 2]


@pytest.mark.parametrize("folder", ["SciTailV1.1/tsv_format", "scitail"])
def test_scitail_in_its_tab_separated_format(tmp_path: Path, folder: str) -> None:
    """SciTail's files without a header hold premise, hypothesis and label."""
    rows = tabbed("water boils|heat makes steam|entails", "moss is green|rocks fly|neutral") * 2
    write(tmp_path / folder / "scitail_1.0_train.tsv", *rows)
    write(tmp_path / folder / "scitail_1.0_dev.tsv", *rows[:1])
    loaded = read_known("scitail", tmp_path)
    assert loaded.train[0] == {"text": "water boils", "text_pair": "heat makes steam", "label": 1}
    assert loaded.sizes["train"]["official"] == 23097


def test_scitail_in_snli_s_format(tmp_path: Path) -> None:
    """SciTail's JSON lines, whose file names end in .txt, give the same columns."""
    lines = [nli_json(label, number) for number, label in enumerate(("entails", "neutral") * 2)]
    write(tmp_path / "SciTailV1.1" / "snli_format" / "scitail_1.0_train.txt", *lines)
    write(tmp_path / "SciTailV1.1" / "snli_format" / "scitail_1.0_dev.txt", *lines[:2])
    assert list(read_known("scitail", tmp_path).train["label"]) == [1, 0, 1, 0]


QQP_HEADER = "id|qid1|qid2|question1|question2|is_duplicate"


def test_qqp_s_broken_lines_are_left_out_and_counted(tmp_path: Path) -> None:
    """The published QQP file has a few lines without all fields: they are counted, not refused."""
    rows = ["1|1|2|why?|how?|0", "2|3|4|what?|which?|1", "a broken line", "3|5|6|who?||0", "4|7|8|when?|then?|1"]
    write(tmp_path / "QQP" / "train.tsv", *tabbed(QQP_HEADER, *rows))
    write(tmp_path / "QQP" / "dev.tsv", *tabbed(QQP_HEADER, rows[0]))
    loaded = read_known("qqp", tmp_path)
    assert (len(loaded.train), loaded.sizes["train"]["left_out"]) == (4, 1)
    assert loaded.train[2]["text_pair"] == ""


def test_windows_line_ends_and_byte_order_mark_are_no_text(tmp_path: Path) -> None:
    """A file from Windows gives the same columns and texts."""
    (tmp_path / "train.tsv").write_bytes(
        "\ufeffsentence\tlabel\r\ngood\t1\r\nbad\t0\r\n\r\nfine\t1\r\npoor\t0\r\n".encode()
    )
    write(tmp_path / "dev.tsv", *tabbed("sentence|label", "good|1"))
    loaded = read_known("sst2", tmp_path)
    assert list(loaded.train["text"]) == ["good", "bad", "fine", "poor"]
    assert loaded.notes[-1] == "report examples whose text is in the training set, too: 1 of 1"


SST = ("sentence|label", "good|1", "bad|0", "fine|1", "poor|0")
STS = (
    "index|genre|filename|year|old_index|source1|source2|sentence1|sentence2|score",
    *(f"{i}|g|f|2012|{i}|n|n|one|two|{i}.5" for i in range(4)),
)


def sentence(name: str, folder: Path) -> str:
    """What the user reads when the task cannot be read, with the test's folder cut off."""
    with pytest.raises(UserError) as caught:
        read_known(name, folder)
    return str(caught.value).replace(f"{folder}/", "")


BAD = {
    "missing column": (
        ("sentence|stars", "good|1"),
        "train.tsv:1: column label is missing (the columns are sentence, stars); "
        "the file is not laid out as published: fetch it again",
    ),
    "too few fields": (
        ("sentence|label", "good|1", "bad"),
        "train.tsv:3:2: too few fields: 1 instead of 2 (sentence, label); add the field label",
    ),
    "too many fields": (
        ("sentence|label", "good|1", "bad|very|0"),
        "train.tsv:3:3: too many fields: 3 instead of 2 (sentence, label); "
        "remove the stray separator, or quote the field that holds it",
    ),
    "unknown label": (
        ("sentence|label", "good|1", "bad|no"),
        'train.tsv:3:2: unknown label "no" in column label (the labels are 0, 1); correct the label or remove the row',
    ),
    "missing label": (
        ("sentence|label", "good|1", "bad|"),
        "train.tsv:3:2: the label in column label is missing; fill it in or remove the row",
    ),
    "one class only": (
        ("sentence|label", "good|1", "fine|1"),
        'train.tsv: every label in column label is "1": there is one class only; '
        "give training examples that differ in their label",
    ),
    "fewer examples than two per class": (
        ("sentence|label", "good|1", "bad|0"),
        "train.tsv: 2 training examples are too few for the 2 classes of column label; "
        "give 4 at least: one per class to train on and one to choose by",
    ),
    "header only": (
        ("sentence|label",),
        "train.tsv: the file is empty: it has a header and no examples; add examples",
    ),
    "empty": ((), "train.tsv: the file is empty; give a file with a header line and examples"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_training_file_gets_one_sentence_with_its_place(tmp_path: Path, fault: str) -> None:
    """Each fault of a training file is told with file, line, column and remedy."""
    lines, expected = BAD[fault]
    write(tmp_path / "train.tsv", *tabbed(*lines))
    write(tmp_path / "dev.tsv", *tabbed(*SST))
    assert sentence("sst2", tmp_path) == expected


def test_a_bad_report_file_is_refused_as_well(tmp_path: Path) -> None:
    """The report file goes through the same checks."""
    write(tmp_path / "train.tsv", *tabbed(*SST))
    write(tmp_path / "dev.tsv", *tabbed(*SST, "odd|2"))
    assert sentence("sst2", tmp_path).startswith('dev.tsv:6:2: unknown label "2" in column label (the labels are 0, 1)')


@pytest.mark.parametrize("cell", ["high", "nan", "inf", "4,5"])
def test_a_word_where_a_number_is_due(tmp_path: Path, cell: str) -> None:
    """A regression label that is no finite number is refused with its place."""
    write(tmp_path / "train.tsv", *tabbed(*STS, f"9|g|f|2012|9|n|n|one|two|{cell}"))
    write(tmp_path / "dev.tsv", *tabbed(*STS))
    expected = f'train.tsv:6:10: "{cell}" in column score is not a number; correct the number or remove the row'
    assert sentence("stsb", tmp_path) == expected


def test_a_regression_needs_different_numbers(tmp_path: Path) -> None:
    """A regression whose labels are all equal is refused."""
    write(tmp_path / "train.tsv", *tabbed(*STS[:2], STS[1]))
    write(tmp_path / "dev.tsv", *tabbed(*STS))
    assert 'every number in column score is "0.5": there is nothing to predict' in sentence("stsb", tmp_path)


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    """A Latin-1 file is refused with the line and the byte."""
    write(tmp_path / "dev.tsv", *tabbed(*SST))
    (tmp_path / "train.tsv").write_bytes(b"sentence\tlabel\ngood\t1\ncaf\xe9\t0\n")
    assert sentence("sst2", tmp_path) == "train.tsv:3: not UTF-8 (byte 0xE9); save the file as UTF-8"


def test_a_missing_folder(tmp_path: Path) -> None:
    """A folder that is not there is named."""
    with pytest.raises(UserError) as caught:
        read_known("rte", tmp_path / "nowhere")
    assert str(caught.value) == f"{tmp_path / 'nowhere'}: no such folder; give the folder that holds the files of rte"


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    """A file given as the folder is called one."""
    path = write(tmp_path / "rte.tsv", "x")
    with pytest.raises(UserError, match="this is a file, not a folder"):
        read_known("rte", path)


def test_a_folder_without_the_task(tmp_path: Path) -> None:
    """A folder without the task says which files were looked for."""
    with pytest.raises(UserError) as caught:
        read_known("rte", tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: neither a folder of rte nor its training file is in it (train.tsv); "
        "give the folder that holds the task's published files"
    )


def test_a_missing_report_file(tmp_path: Path) -> None:
    """A training file without its report file is refused by the name of the missing one."""
    write(tmp_path / "SST-2" / "train.tsv", *tabbed(*SST))
    assert sentence("sst2", tmp_path) == "SST-2/dev.tsv: no such file; check the path"


def test_hidden_labels(tmp_path: Path) -> None:
    """A file whose labels are all withheld is refused."""
    header = "index|sentence1|sentence2|gold_label"
    write(tmp_path / "train.tsv", *tabbed(header, "0|one|two|-"))
    assert sentence("snli", tmp_path) == "train.tsv: no row has a label; give the published file with its labels"
