from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ulmfit.apps import predictions
from ulmfit.apps.predictions import PredictionWriter, free_name
from ulmfit.data.datasets import load_dataset
from ulmfit.data.streams import open_rows
from ulmfit.errors import SettingsError, StorageError

CLASSES = ["neg", "pos"]
BATCH = pa.RecordBatch.from_pydict({"id": [1, 2], "text": ["a, b", 'c "d"\ne']})
LABELS = ["neg", "pos"]
CHANCES = np.array([[0.75, 0.25], [0.125, 0.875]], dtype=np.float32)
ADDED = ["predicted_label", "probability_neg", "probability_pos"]


def write(target: Path | str, **settings: str) -> None:
    with PredictionWriter(target, BATCH.schema, CLASSES, **settings) as writer:  # type: ignore[arg-type]
        writer.write(BATCH, LABELS, CHANCES)


CSV = (
    "id,text,predicted_label,probability_neg,probability_pos\n"
    '1,"a, b",neg,0.75,0.25\n'
    '2,"c ""d""\ne",pos,0.125,0.875\n'
)
TSV = CSV.replace(",", "\t").replace('"a\t b"', "a, b")
ROWS = [
    dict(zip(["id", "text", *ADDED], row, strict=True))
    for row in ([1, "a, b", "neg", 0.75, 0.25], [2, 'c "d"\ne', "pos", 0.125, 0.875])
]
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.mark.parametrize(
    ("name", "content"), [("o.csv", CSV), ("o.tsv", TSV), ("o.tab", TSV), ("o.jsonl", JSONL)]
)
def test_text_formats_packed_or_not(tmp_path: Path, name: str, content: str) -> None:
    write(tmp_path / name)
    assert (tmp_path / name).read_text() == content
    for packed in (f"{name}.gz", f"{name}.gz".upper()):
        write(tmp_path / packed)
        assert gzip.decompress((tmp_path / packed).read_bytes()).decode() == content


def test_parquet(tmp_path: Path) -> None:
    write(tmp_path / "o.parquet")
    table = pq.read_table(tmp_path / "o.parquet")
    assert table.schema.names == ["id", "text", *ADDED]
    assert table.schema.types[:3] == [pa.int64(), pa.string(), pa.string()]
    assert table.to_pylist() == ROWS


def test_batches_are_gathered_to_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "_ROW_GROUP_BYTES", 2500)
    batch = pa.RecordBatch.from_pydict({"text": ["x" * 1000]})
    with PredictionWriter(tmp_path / "o.parquet", batch.schema) as writer:
        for _ in range(7):
            writer.write(batch, ["y"])
    found = pq.ParquetFile(tmp_path / "o.parquet").metadata
    groups = [found.row_group(i).num_rows for i in range(found.num_row_groups)]
    assert groups == [3, 3, 1]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("o.csv.gz", "o.parquet"):
        write(tmp_path / name)
        first = (tmp_path / name).read_bytes()
        write(tmp_path / name)
        assert (tmp_path / name).read_bytes() == first


def test_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer))
    write("-")
    assert buffer.getvalue().decode() == CSV


def test_stdout_gets_each_batch_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(buffer)))
    with PredictionWriter("-", BATCH.schema) as writer:
        writer.write(BATCH, LABELS)
        assert buffer.getvalue().count(b"\n") == 4


def test_without_probabilities(tmp_path: Path) -> None:
    with PredictionWriter(tmp_path / "o.csv", BATCH.schema) as writer:
        writer.write(BATCH, LABELS)
    assert (tmp_path / "o.csv").read_text().startswith("id,text,predicted_label\n1,")


def test_no_rows_at_all(tmp_path: Path) -> None:
    for name in ("o.csv", "o.jsonl", "o.parquet"):
        with PredictionWriter(tmp_path / name, BATCH.schema, CLASSES):
            pass
    assert (tmp_path / "o.csv").read_text() == CSV.splitlines()[0] + "\n"
    assert (tmp_path / "o.jsonl").read_text() == ""
    assert pq.read_table(tmp_path / "o.parquet").num_rows == 0


def test_sets_of_labels(tmp_path: Path) -> None:
    for name in ("o.csv", "o.jsonl", "o.parquet"):
        writer = PredictionWriter(tmp_path / name, BATCH.schema, CLASSES, multi_label=True)
        with writer:
            writer.write(BATCH, [("neg", "pos"), ()], CHANCES)
    assert '1,"a, b",neg|pos,0.75' in (tmp_path / "o.csv").read_text()
    first, second = map(json.loads, (tmp_path / "o.jsonl").read_text().splitlines())
    assert (first["predicted_label"], second["predicted_label"]) == (["neg", "pos"], [])
    table = pq.read_table(tmp_path / "o.parquet")
    assert table["predicted_label"].to_pylist() == [["neg", "pos"], []]


def test_a_set_in_csv_is_read_back_as_it_was(tmp_path: Path) -> None:
    sets = [("a, b", 'say "no"'), ()]
    with PredictionWriter(
        tmp_path / "o.csv", BATCH.schema, [*sets[0], "c"], multi_label=True
    ) as writer:
        writer.write(BATCH, sets, np.zeros((2, 3)))
    again = load_dataset(tmp_path / "o.csv", label="predicted_label", label_separator="|")
    assert again.labels == sets


def test_class_names_that_sets_in_csv_cannot_keep_apart_are_refused(tmp_path: Path) -> None:
    names = ["neg", "pos|neg"]
    for name in ("-", tmp_path / "o.csv", tmp_path / "o.tsv.gz"):
        with pytest.raises(SettingsError, match=r"'pos\|neg' has '\|' in it.*\.jsonl or \.parquet"):
            PredictionWriter(name, BATCH.schema, names, multi_label=True)
        PredictionWriter(name, BATCH.schema, names)  # one label per row: nothing is joined
    with PredictionWriter(tmp_path / "o.jsonl", BATCH.schema, names, multi_label=True) as writer:
        writer.write(BATCH, [("pos|neg",), ("neg",)], CHANCES)
    again = load_dataset(tmp_path / "o.jsonl", label="predicted_label")
    assert again.labels == [("pos|neg",), ("neg",)]


def test_columns_of_the_input_are_never_taken(tmp_path: Path) -> None:
    assert free_name("a", ["b"]) == "a"
    assert free_name("a", ["a", "a_2"]) == "a_3"
    taken = pa.RecordBatch.from_pydict(
        {"text": ["x"], "predicted_label": ["mine"], "probability_pos": ["mine too"]}
    )
    writer = PredictionWriter(tmp_path / "o.csv", taken.schema, ["pos"])
    assert writer.label_column == "predicted_label_2"
    with writer:
        writer.write(taken, ["pos"], np.ones((1, 1)))
    assert (tmp_path / "o.csv").read_text() == (
        "text,predicted_label,probability_pos,predicted_label_2,probability_pos_2\n"
        "x,mine,mine too,pos,1\n"
    )


def test_names_of_ours_do_not_clash_with_each_other() -> None:
    taken = pa.schema([(name, pa.string()) for name in ("abstained", "probability_a")])
    writer = PredictionWriter("-", taken, ["a", "a_2"], abstention=True)
    added = ["predicted_label", "abstained_2", "probability_a_2", "probability_a_2_2"]
    assert writer.schema.names == ["abstained", "probability_a", *added]


def test_what_pandas_says_of_the_input_s_columns_is_not_said_of_these() -> None:
    schema = BATCH.schema.with_metadata({"pandas": "{}"})
    assert PredictionWriter("-", schema, CLASSES).schema.metadata is None


@pytest.mark.parametrize("name", ["o.xlsx", "o", "o.parquet.gz", "o.gz"])
def test_a_type_that_is_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        write(tmp_path / name)
    assert f"predictions cannot be written to '{tmp_path / name}': its type is" in str(caught.value)
    assert "expected .csv, .tsv, .jsonl (each also with .gz), .parquet, or -" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_target(tmp_path: Path) -> None:
    (tmp_path / "o.csv").mkdir()
    with pytest.raises(SettingsError, match="is a folder"):
        write(tmp_path / "o.csv")


@pytest.mark.parametrize("name", ["o.csv", "o.csv.gz", "o.jsonl", "o.parquet"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_or_ctrl_c_leaves_what_was_there(
    tmp_path: Path, name: str, error: type[BaseException]
) -> None:
    (tmp_path / name).write_text("before")
    with pytest.raises(error), PredictionWriter(tmp_path / name, BATCH.schema, CLASSES) as writer:
        writer.write(BATCH, LABELS, CHANCES)
        raise error
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "before"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("name", ["o.csv", "o.csv.gz", "o.jsonl", "o.parquet"])
def test_a_full_disk(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    target.symlink_to("/dev/full")
    many = pa.RecordBatch.from_pydict({"text": [f"{n} words" * 99 for n in range(2000)]})
    with (
        pytest.raises(StorageError, match=r"cannot write '.*': no space left on device"),
        PredictionWriter(target, many.schema) as writer,
    ):
        for _ in range(10):
            writer.write(many, ["x"] * 2000)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_stdout_on_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        stdout = io.TextIOWrapper(full)
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(StorageError, match="cannot write to stdout: No space left on device"):
            write("-")
        stdout.detach()


def test_a_reader_that_has_seen_enough_is_not_a_storage_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Closed(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Closed()))  # type: ignore[type-var]
    with pytest.raises(BrokenPipeError):
        write("-")


def test_writing_outside_of_the_block() -> None:
    with pytest.raises(RuntimeError, match="inside of its `with` block"):
        PredictionWriter("-", BATCH.schema).write(BATCH, LABELS)


def test_the_input_may_be_the_output(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "some words,x\n" * 3000)
    with open_rows(path) as rows, PredictionWriter(path, rows.schema) as writer:
        for batch in rows:
            writer.write(batch, ["y"] * batch.num_rows)
    data = load_dataset(path, label="predicted_label")
    assert (len(data), set(data.labels or [])) == (3000, {"y"})


@pytest.mark.parametrize("name", ["o.csv", "o.tsv", "o.jsonl.gz", "o.parquet"])
def test_real_data_come_back_with_its_columns_and_order(
    tmp_path: Path, shared_data: Callable[[str], Path], name: str
) -> None:
    source = shared_data("yelp_full") / "train.parquet"
    with open_rows(source) as rows, PredictionWriter(tmp_path / name, rows.schema) as writer:
        for batch in rows:
            writer.write(batch, batch["label"].to_pylist())
    before, after = load_dataset(source), load_dataset(tmp_path / name)
    assert (after.texts, after.labels) == (before.texts, before.labels)
    assert load_dataset(tmp_path / name, label="predicted_label").labels == before.labels


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl.gz"])
def test_writing_takes_memory_for_a_batch_and_not_for_the_file(tmp_path: Path, name: str) -> None:
    batch = pa.RecordBatch.from_pydict({"text": ["some words and more " * 50] * 100})
    tracemalloc.start()
    try:
        with PredictionWriter(tmp_path / name, batch.schema) as writer:
            for _ in range(30):
                writer.write(batch, ["x"] * 100)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000  # of 3 MB


def test_pandas_is_not_imported_where_it_happens_to_be_installed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\nsome words,x\nmore words,y\n")
    code = f"""
import sys
from ulmfit.apps.predictions import PredictionWriter
from ulmfit.data.datasets import load_dataset, open_rows
load_dataset({str(path)!r})
with open_rows({str(path)!r}) as rows, PredictionWriter("-", rows.schema) as writer:
    for batch in rows:
        writer.write(batch, rows.texts(batch))
assert "pandas" not in sys.modules and "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("more words,y,more words\n")


def test_a_label_that_is_not_given(tmp_path: Path) -> None:
    schema = BATCH.schema
    for name in ("o.csv", "o.jsonl", "o.parquet"):
        with PredictionWriter(tmp_path / name, schema, CLASSES, abstention=True) as writer:
            writer.write(BATCH, ["neg", None], CHANCES)
    assert (tmp_path / "o.csv").read_text() == (
        "id,text,predicted_label,abstained,probability_neg,probability_pos\n"
        '1,"a, b",neg,False,0.75,0.25\n'
        '2,"c ""d""\ne",,True,0.125,0.875\n'
    )
    row = json.loads((tmp_path / "o.jsonl").read_text().splitlines()[1])
    assert (row["predicted_label"], row["abstained"]) == (None, True)
    table = pq.read_table(tmp_path / "o.parquet")
    assert table["abstained"].to_pylist() == [False, True]
    with PredictionWriter(
        tmp_path / "o.jsonl", schema, multi_label=True, abstention=True
    ) as writer:
        writer.write(BATCH, [(), None])
    labels = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [row["predicted_label"] for row in labels] == [[], None], "none is an answer too"
