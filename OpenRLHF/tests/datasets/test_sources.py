"""Reading files, folders and hub names, and mixing them."""

import gzip
import json
from pathlib import Path

import pytest

import datasets
from openrlhf.datasets.blending import load_blend, mixing_order, parse_probabilities
from openrlhf.datasets.sources import load_records
from openrlhf.errors import UserError

ROWS = [{"input": "1+1\u2028?", "label": "0.50"}, {"input": 'say "hi",\nplease', "label": "007"}]


def write(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_json_array_and_json_lines_give_the_same_rows_even_under_the_other_name(tmp_path: Path):
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
    for name, text in {"a.json": json.dumps(ROWS), "b.json": lines, "c.jsonl": lines + "\n\n"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert load_records(str(tmp_path / name)) == ROWS
    with gzip.open(tmp_path / "d.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(lines)
    assert load_records(str(tmp_path / "d.jsonl.gz")) == ROWS


def test_json_lines_are_split_at_line_feeds_only(tmp_path: Path):
    rows = load_records(write(tmp_path / "u2028.jsonl", [{"input": "a\u2028b\u0085c\x0cd"}]))
    assert rows == [{"input": "a\u2028b\u0085c\x0cd"}]


def test_csv_values_stay_texts(tmp_path: Path):
    text = '\ufeffinput,label\r\n"1+1\u2028?",0.50\r\n"say ""hi"",\nplease",007\r\n'
    (tmp_path / "a.csv").write_text(text, encoding="utf-8", newline="")
    assert load_records(str(tmp_path / "a.csv")) == ROWS
    (tmp_path / "long.csv").write_text("input\n" + "x" * 200_000 + "\n", encoding="utf-8")
    assert len(load_records(str(tmp_path / "long.csv"))[0]["input"]) == 200_000


def test_parquet_and_saved_folders_and_their_splits_are_read(tmp_path: Path):
    data = datasets.Dataset.from_list(ROWS)
    data.to_parquet(str(tmp_path / "a.parquet"))
    data.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict(train=data, test=data.select([1])).save_to_disk(str(tmp_path / "two"))
    assert load_records(str(tmp_path / "a.parquet")) == ROWS
    assert load_records(str(tmp_path / "one")) == ROWS
    assert load_records(str(tmp_path / "two"), "test") == ROWS[1:]
    assert load_records(f"{tmp_path}@two", "test") == ROWS[1:]


def test_a_folder_with_a_file_per_split_is_read_without_a_network(tmp_path: Path):
    write(tmp_path / "train.jsonl", ROWS)
    write(tmp_path / "test.jsonl", ROWS[:1])
    assert load_records(str(tmp_path)) == ROWS
    assert load_records(str(tmp_path), "test") == ROWS[:1]


def test_a_folder_laid_out_as_on_the_hub_is_read_by_the_datasets_library(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set" / "data").mkdir(parents=True)
    datasets.Dataset.from_list(ROWS).to_parquet(str(tmp_path / "set/data/train-00000-of-00001.parquet"))
    assert load_records(str(tmp_path / "set")) == ROWS


def test_a_missing_split_is_named_with_those_that_exist_or_gives_no_rows_when_not_required(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", ROWS)
    with pytest.raises(UserError, match=r"has no split 'test'; it has 'train'"):
        load_records(path, "test")
    assert load_records(path, "test", required=False) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "a.jsonl, line 2: not JSON"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', "a.jsonl, line 2: expected an object with named fields, found list"),
        ("a.json", b'[{"a": 1},\n {"a" 2}]', "a.json, line 2: not JSON"),
        ("a.json", b'[{"a": 1}, 2]', "a.json, element 1: expected an object with named fields, found int"),
        ("a.json", b"[]", "the file has no rows"),
        ("a.jsonl", b"\n\n", "the file has no rows"),
        ("a.jsonl", b'{"a": "\xff"}', "not UTF-8 (byte 7)"),
        ("a.jsonl.gz", b"no gzip", "cannot be read"),
        ("a.csv", b"x,y\n1\n", "a.csv, line 2: not as many fields as the header has"),
        ("a.csv", b"x\n1,2\n", "a.csv, line 2: not as many fields as the header has"),
        ("a.parquet", b"no parquet", "not a readable Parquet file"),
    ],
)
def test_damaged_files_are_refused_with_the_place(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as refusal:
        load_records(str(tmp_path / name))
    assert message in str(refusal.value)


def test_data_scripts_are_never_run(tmp_path: Path):
    ran = tmp_path / "ran"
    (tmp_path / "tricky").mkdir()
    script = tmp_path / "tricky" / "tricky.py"
    script.write_text(f"open({str(ran)!r}, 'w').close()\n", encoding="utf-8")
    for spec in (str(script), str(script.parent)):
        with pytest.raises(UserError, match="data script"):
            load_records(spec)
    assert not ran.exists()


@pytest.mark.parametrize("spec", ["no/such/file.jsonl", "./folder", "/no/such", "a/b/c", "", "@"])
def test_what_can_only_be_a_path_is_not_asked_of_the_hub(spec: str, monkeypatch):
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **kwargs: pytest.fail("asked the hub"))
    with pytest.raises(UserError, match="there is no such file"):
        load_records(spec)


def test_hub_names_go_to_the_hub_with_their_folder(monkeypatch):
    asked = []

    def load_dataset(name, data_dir):
        asked.append((name, data_dir))
        return datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert load_records("owner/name") == ROWS
    assert load_records("owner/name@main") == ROWS
    assert asked == [("owner/name", None), ("owner/name", "main")]


def test_a_hub_that_does_not_answer_is_an_error_that_says_what_to_do(monkeypatch):
    def unreachable(name, data_dir):
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(UserError, match=r"not a file or folder here.*Couldn't reach.*without a network"):
        load_records("owner/name")


def test_mixing_stops_when_the_first_source_is_used_up():
    order = mixing_order([30, 1000], [0.5, 0.5], seed=3, stop="first_exhausted")
    rows = {source: [row for which, row in order if which == source] for source in (0, 1)}
    assert rows[0] == list(range(30))
    assert rows[1] == list(range(len(rows[1])))
    assert order[-1] == (0, 29)
    # 30 draws of a fair coin's one side come with about 30 of the other: 6 standard deviations are 46.
    assert abs(len(rows[1]) - 30) < 47


def test_mixing_to_the_end_repeats_the_smaller_source_until_all_are_used_up():
    order = mixing_order([5, 100], [0.5, 0.5], seed=3, stop="all_exhausted")
    rows = {source: [row for which, row in order if which == source] for source in (0, 1)}
    assert rows[1] == list(range(100))
    assert rows[0] == [index % 5 for index in range(len(rows[0]))]
    assert len(rows[0]) > 5
    assert order[-1] == (1, 99)


def test_mixing_is_a_function_of_the_seed_and_weights_need_not_sum_to_one():
    orders = [mixing_order([50, 50], weights, seed, "first_exhausted") for weights, seed in
              [([1, 3], 1), ([0.25, 0.75], 1), ([1, 3], 2)]]  # fmt: skip
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    shares = sum(source for source, _ in orders[0]) / len(orders[0])
    assert 0.55 < shares < 0.95


def test_a_blend_takes_the_first_rows_of_each_source_and_of_the_mixture(tmp_path: Path):
    a = write(tmp_path / "a.jsonl", [{"n": number} for number in range(20)])
    b = write(tmp_path / "b.jsonl", [{"n": 100 + number} for number in range(20)])
    rows = load_blend(f"{a}, {b}", "0.5,0.5", split="train", seed=1, max_samples=6)
    order = mixing_order([6, 6], [0.5, 0.5], 1, "first_exhausted")
    assert [row["n"] for row in rows] == [100 * source + row for source, row in order[:6]]
    alone = load_blend(a, "1.0", split="train", seed=1, max_samples=3.0)
    assert [row["n"] for row in alone] == [0, 1, 2]
    assert load_blend(a, "1.0", split="test", seed=1, required=False) == []


@pytest.mark.parametrize("text", ["1.0", "0.5,0.3,0.2", "0.5,-0.5", "0.5,x", "0,1", "nan,1", ""])
def test_probabilities_must_fit_the_sources(text: str):
    with pytest.raises(UserError, match=r"2 data sources \(a, b\) need 2 positive probabilities"):
        parse_probabilities(text, ["a", "b"])
