"""The one run folder: whose it is, parts that come back or are done again, and folders that cannot be used."""

import json
import pickle
import shutil

import pytest
import torch

from microjoule.errors import FileError
from microjoule.jobs import run_folder
from microjoule.jobs.identity import Identity, option_facts
from microjoule.jobs.part import Part
from microjoule.jobs.run_folder import RUN, Parts, RunFolder

X = torch.arange(4.0)


def identity(**options):
    return Identity.of(option_facts({"seed": 0, **options}))


def opened(path, **options):
    return RunFolder(path, lambda: identity(**options))


def test_parts_come_back_in_the_next_run(tmp_path):
    with opened(tmp_path / "run") as run:
        assert run.read("layer") is None
        run.write("layer", {"x": X}, "text")
        run.write("other/layer", text="other")
    with opened(tmp_path / "run") as run:
        back = run.read("layer")
        assert torch.equal(back.tensors["x"], X)
        assert (back.text, run.read("other/layer").text, run.read("a third")) == ("text", "other", None)


def test_without_a_folder_nothing_is_kept_and_no_identity_asked_for():
    with RunFolder(None, lambda: pytest.fail("asked for")) as run:
        run.write("layer", {"x": X})
        run.say_damaged("layer", "not there")
        assert run.read("layer") is None
        assert run.inner("job") is None
        assert run.parts is None


def test_another_run_is_refused_with_what_differs_and_its_parts_stay(tmp_path):
    with opened(tmp_path, learning_rate=0.1) as run:
        run.write("layer", text="mine")
    told = r"the work of another run, which differs in learning_rate \(0.05 here, 0.1 in the folder\)\n  name another"
    with pytest.raises(FileError, match=told), opened(tmp_path, learning_rate=0.05):
        pytest.fail("opened")
    with opened(tmp_path, learning_rate=0.1) as run:
        assert run.read("layer").text == "mine"


@pytest.mark.parametrize("package", ["microjoule", "torch"])
def test_another_version_is_another_run(tmp_path, package, monkeypatch):
    with opened(tmp_path):
        pass
    monkeypatch.setattr("microjoule.jobs.identity.versions", lambda: {"microjoule": "0.0", "torch": "0.0"})
    with pytest.raises(FileError, match=rf"differs in .*{package} \(0.0 here, "), opened(tmp_path):
        pytest.fail("opened")


def test_two_at_once_are_refused_and_a_third_later_is_not(tmp_path):
    with opened(tmp_path), pytest.raises(FileError, match="is in use by this process"), opened(tmp_path):
        pytest.fail("opened")
    with pytest.raises(KeyboardInterrupt), opened(tmp_path):
        raise KeyboardInterrupt
    with opened(tmp_path):
        pass


def test_a_folder_is_free_again_when_its_identity_cannot_be_told(tmp_path):
    def fails():
        raise ValueError("no data")

    with pytest.raises(ValueError, match="no data"), RunFolder(tmp_path, fails):
        pytest.fail("opened")
    with opened(tmp_path):
        pass


# Parts ----------------------------------------------------------------------------------------------------------------


def test_a_damaged_part_is_done_again_with_a_warning_that_names_it(tmp_path):
    with opened(tmp_path) as run:
        run.write("layer 1", {"x": X})
        path = run.parts.path("layer 1")
        content = bytearray(path.read_bytes())
        content[-3] ^= 4
        path.write_bytes(content)
        with pytest.warns(
            UserWarning, match=r"layer_1-\w+.safetensors: is damaged \(its checksum .*; layer 1 is done again"
        ):
            assert run.read("layer 1") is None
        run.write("layer 1", {"x": X})
        assert torch.equal(run.read("layer 1").tensors["x"], X)


def test_parts_that_were_swapped_or_come_from_another_run_are_not_taken(tmp_path):
    with opened(tmp_path / "a") as run, opened(tmp_path / "b", seed=1) as other:
        run.write("one", {"x": X})
        run.write("two", {"x": X + 1})
        other.write("one", {"x": X + 2})
        shutil.copy(run.parts.path("two"), run.parts.path("one"))
        with pytest.warns(UserWarning, match="one is done again"):
            assert run.read("one") is None
        shutil.copy(other.parts.path("one"), run.parts.path("one"))
        with pytest.warns(UserWarning, match="one is done again"):
            assert run.read("one") is None


def test_a_part_that_is_too_large_is_not_taken(tmp_path):
    with opened(tmp_path) as run:
        run.write("layer", {"x": X.repeat(100)})
        with pytest.warns(UserWarning, match="where there can be 100 at most"):
            assert run.read("layer", limit_bytes=100) is None


def test_names_that_a_file_cannot_have_have_files_of_their_own(tmp_path):
    names = ["a/b", "a b", "a_b", "..", ".", "", "a" * 500, "a" * 501, "ä", "../../escape", "con\n"]
    with opened(tmp_path) as run:
        for name in names:
            run.write(name, text=name)
        assert [run.read(name).text for name in names] == names
        paths = {run.parts.path(name) for name in names}
    assert len(paths) == len(names)
    assert all(path.parent == tmp_path and len(path.name) < 120 and not path.name.startswith(".") for path in paths)


def test_another_process_writes_parts_of_the_same_run(tmp_path):
    with opened(tmp_path) as run:
        sent = pickle.loads(pickle.dumps(run.parts))
        sent.write("task", Part(text="done"))
        assert run.read("task").text == "done"
        assert sent == Parts(tmp_path, identity().digest)


def test_a_job_within_has_a_folder_of_its_own(tmp_path):
    with opened(tmp_path) as run, opened(run.inner("GPTQ 1.5 x"), more=1) as inner:
        inner.write("layer", text="inside")
        assert run.read("layer") is None
        assert inner.parts.folder.parent == tmp_path


def test_what_a_killed_process_was_writing_is_cleared_away(tmp_path):
    (tmp_path / ".0123456789abcdef.part").write_bytes(b"half")
    (tmp_path / "mine.part").write_bytes(b"whole")
    with opened(tmp_path):
        assert not (tmp_path / ".0123456789abcdef.part").exists()
        assert (tmp_path / "mine.part").exists()


# Folders that cannot be used ------------------------------------------------------------------------------------------


def test_a_file_in_its_place_is_told(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileError, match="is a file, not a folder"), opened(tmp_path / "file"):
        pytest.fail("opened")


def test_a_missing_parent_is_told(tmp_path):
    with pytest.raises(FileError, match="cannot be made: No such file"), opened(tmp_path / "none" / "run"):
        pytest.fail("opened")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"run": "0123"}', "was made by another version of microjoule: format 1, where this is 2"),
        ('{"format": 3}', "format 3, where this is 2"),
        ('{"format": 2, "facts": {}, "digest": ""}', r"is damaged \(its checksum does not fit\)"),
        ('{"format": 2, "facts": []}', r"is damaged \(its checksum does not fit\)"),
        ("[]", "does not say whose folder this is"),
        ("", "does not say whose folder this is"),
        ("[" * 100_000, "does not say whose folder this is"),
        (b"\xff", "does not say whose folder this is"),
    ],
    ids=["older", "newer", "no digest", "no facts", "list", "empty", "deep", "no text"],
)
def test_a_run_file_of_another_kind_is_refused(tmp_path, content, told):
    (tmp_path / RUN).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FileError, match=told), opened(tmp_path):
        pytest.fail("opened")


def test_a_large_run_file_is_not_read(tmp_path, monkeypatch):
    with opened(tmp_path):
        pass
    monkeypatch.setattr(run_folder, "RUN_BYTES", 10)
    with pytest.raises(FileError, match=r"does not say whose folder this is \(it has \d+ bytes"), opened(tmp_path):
        pytest.fail("opened")


def test_no_flipped_bit_of_the_run_file_opens_the_folder_to_another_run(tmp_path):
    with opened(tmp_path, learning_rate=0.1):
        pass
    path, words = tmp_path / RUN, []
    content = path.read_bytes()
    for at in range(0, 8 * len(content), 19):
        changed = bytearray(content)
        changed[at // 8] ^= 1 << at % 8
        path.write_bytes(changed)
        try:
            with opened(tmp_path, learning_rate=0.1):
                assert json.loads(changed) == json.loads(content)
        except FileError as error:
            words.append(error.fact)
    assert all("whose folder" in fact or "damaged" in fact or "another" in fact for fact in words)


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with opened(tmp_path) as run:
        monkeypatch.setattr("microjoule.records.files.os.fsync", full)
        with pytest.raises(FileError, match=r"cannot be written: no space left on device\n  free some space"):
            run.write("layer", {"x": X})
        monkeypatch.undo()
        assert run.read("layer") is None
        assert not list(tmp_path.glob(".*.part"))
