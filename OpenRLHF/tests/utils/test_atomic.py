"""Files and folders appear in full or not at all."""

import pytest

from openrlhf.utils.atomic import new_folder, write_atomically


def test_a_written_file_replaces_the_old_one_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "deep/er/file.txt"
    write_atomically(path, "old")
    write_atomically(path, "new\u2028line\n")
    assert path.read_bytes() == "new\u2028line\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_replaces_the_old_one_as_a_whole(tmp_path):
    for name in ("old", "new"):
        with new_folder(tmp_path / "model") as folder:
            (folder / name).write_text(name)
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [tmp_path / "model"]


def fill_badly(path):
    with new_folder(path) as folder:
        (folder / "half").write_text("")
        raise RuntimeError("disk full")


def test_a_folder_that_fails_half_way_leaves_the_old_one(tmp_path):
    with new_folder(tmp_path / "model") as folder:
        (folder / "old").write_text("")
    with pytest.raises(RuntimeError, match="disk full"):
        fill_badly(tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [tmp_path / "model"]
