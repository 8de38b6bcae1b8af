"""Files appear whole or not at all, and what the system refuses is one line."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dinku.errors import DinkuError
from dinku.files import content, locked, os_errors_as_dinku, written, written_folder


def fail_while_writing(path: Path) -> None:
    with written(path) as file:
        file.write(b"half")
        assert path.read_bytes() == b"old"
        raise ZeroDivisionError


def fail_while_filling(path: Path) -> None:
    with written_folder(path) as part:
        (part / "one").touch()
        raise ZeroDivisionError


def test_a_file_takes_its_place_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        fail_while_writing(path)
    assert path.read_bytes() == b"old"
    with written(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_file_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        with written(pipe) as file:
            file.write(b"told")
        assert reader.communicate()[0] == b"told"
    assert pipe.is_fifo()
    with pytest.raises(DinkuError, match=r"\.: names no file; add a name"), written(""):
        pass


def test_a_pipe_is_not_waited_for_where_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"told")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert content(tmp_path / "link") == b"told"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DinkuError, match="is a pipe or a device, not a file; put the file itself there"):
            content(path)
    with pytest.raises(IsADirectoryError):
        content(tmp_path)


def test_the_modes_of_what_is_written_follow_the_umask(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom dinku.files import written, written_folder\n"
        "os.umask(int(sys.argv[1], 8))\n"
        "with written('file') as file: file.write(b'')\n"
        "with written_folder('folder') as part:\n"
        "    (part / 'inner').mkdir()\n"
        "    os.close(os.open(part / 'inner' / 'private', os.O_CREAT | os.O_WRONLY, 0o600))\n"
    )
    for umask, file, folder in (("022", 0o644, 0o755), ("002", 0o664, 0o775), ("077", 0o600, 0o700)):
        place = tmp_path / umask
        place.mkdir()
        subprocess.run([sys.executable, "-c", code, umask], cwd=place, check=True)
        found = {path.relative_to(place).as_posix(): path.stat().st_mode & 0o777 for path in place.rglob("*")}
        assert found == {"file": file, "folder": folder, "folder/inner": folder, "folder/inner/private": file}


def test_a_folder_takes_its_place_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with pytest.raises(ZeroDivisionError):
        fail_while_filling(path)
    assert list(tmp_path.iterdir()) == []
    path.mkdir()  # an empty one may be there
    with written_folder(path) as part:
        (part / "one").touch()
    assert [f.name for f in path.iterdir()] == ["one"]
    with pytest.raises(DinkuError, match=r"already exists; name a new folder"), written_folder(path):
        pass
    assert list(tmp_path.iterdir()) == [path]


def test_what_the_system_refuses_is_one_line_of_status_1(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for attempt in (written(tmp_path / "no" / "file"), locked(tmp_path / "file" / "lock")):
        with pytest.raises(
            DinkuError, match=r"can't be written .*; check the folder, its permissions and space"
        ) as told:
            attempt.__enter__()
        assert told.value.status == 1


def test_a_file_system_without_locks_is_one_line_of_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)
    path = tmp_path / ".lock"
    for wait in (True, False):
        with pytest.raises(DinkuError, match=r"\.lock: can't be locked \(Function not .*\); check its") as told:
            locked(path, wait=wait).__enter__()
        assert told.value.status == 1
    monkeypatch.undo()
    (tmp_path / "folder").mkdir()
    with pytest.raises(DinkuError, match=r"folder: can't be locked \(Is a directory\)"):
        locked(tmp_path / "folder").__enter__()


def test_what_can_not_be_read_is_told_so(tmp_path: Path) -> None:
    with (
        pytest.raises(DinkuError, match=r"can't be read \(Is a directory\); check its permissions"),
        os_errors_as_dinku(tmp_path, reading=True),
    ):
        tmp_path.open()


def test_a_lock_is_had_once_and_let_go_by_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "new" / ".lock"
    with locked(path) as first, locked(path, wait=False) as second:
        assert (first, second) == (True, False)
    hold = "import sys, time; from dinku.files import locked; from pathlib import Path\n"
    hold += "with locked(Path(sys.argv[1])): print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold, str(path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with locked(path, wait=False) as had:
            assert not had
        other.kill()
        other.wait()
    with locked(path, wait=False) as had:
        assert had
