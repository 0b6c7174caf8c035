"""Lays out all that the API's image holds: ``python rootfs.py /rootfs /opt/venv``, while the image is built.

Python without what only developers use, the environment, the libraries of the system that these link, certificates and
a user. No shell, no package manager, no tool: who breaks in finds nothing to work with, and what is not there needs no
security update.
"""

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

_UID = 10001
_FILES = {
    "etc/passwd": f"root:x:0:0::/:/nonexistent\nchurn:x:{_UID}:{_UID}::/churn:/nonexistent\n",
    "etc/group": f"root:x:0:\nchurn:x:{_UID}:\n",
    # The one folder of libraries that the loader does not know by itself.
    "etc/ld.so.conf": "/usr/local/lib\n",
}
_OWN = ("churn", "churn/predictions", "churn/serving")
"""The user's folders; volumes lie here."""
_SYSTEM = (
    # Certificates, where OpenSSL looks for them.
    "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/usr/lib/ssl", "/usr/share/ca-certificates",
    # How names are looked up; and of which release the libraries are, which scanners ask for.
    "/etc/nsswitch.conf", "/etc/os-release", "/usr/lib/os-release",
)  # fmt: skip
_NO_PYTHON = (
    "site-packages", "ensurepip",  # pip
    "test", "lib-dynload/_test*", "lib-dynload/_xx*", "lib-dynload/xx*",
    "idlelib", "tkinter", "turtledemo", "lib2to3", "pydoc_data", "config-*",
    # They link libraries of the system for terminals, windows and small databases.
    "lib-dynload/_tkinter*", "lib-dynload/_curses*", "lib-dynload/readline*", "lib-dynload/_dbm*", "lib-dynload/_gdbm*",
)  # fmt: skip


def lay_out(root: Path, environment: Path) -> None:
    """Everything below ``root``, at the places where it is here."""
    for link in ("lib", "lib64"):
        (root / "usr" / link).mkdir(parents=True)
        (root / link).symlink_to(f"usr/{link}")
    for path in filter(Path.exists, map(Path, _SYSTEM)):
        _copy(path, root)
    _copy_python(root)
    # Of its programs Python alone: the others are for shells.
    programs = {path for path in (environment / "bin").iterdir() if not path.name.startswith("python")}
    _copy(environment, root, without={*programs, environment / ".lock"})
    for library in _linked(root):
        target = root / library.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(library, target)
    # A Python that was built by hand has its debug symbols, four times the size.
    subprocess.run(["strip", "--strip-unneeded", *_binaries(root / "usr/local")], check=True)
    for name, text in _FILES.items():
        (root / name).write_text(text)
    subprocess.run(["ldconfig", "-r", str(root)], check=True)
    for name in _OWN:
        (root / name).mkdir()
        os.chown(root / name, _UID, _UID)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)


def compiled(folder: Path, root: Path) -> None:
    """Bytecode for all of it: the image is read-only. It is never compared with its source, which never changes."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(folder, quiet=1, workers=0, stripdir=root, prependdir="/", invalidation_mode=mode):
        raise SystemExit("something does not compile, see above")


def _copy_python(root: Path) -> None:
    program, library = Path(sys.executable).resolve(), Path(sysconfig.get_path("stdlib"))
    _copy(program, root)
    for name in ("python", "python3"):
        (root / program.with_name(name).relative_to("/")).symlink_to(program.name)
    _copy(library, root, without={path for pattern in _NO_PYTHON for path in library.glob(pattern)})


def _copy(path: Path, root: Path, without: frozenset[Path] | set[Path] = frozenset()) -> None:
    def left_out(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if name == "__pycache__" or Path(folder, name) in without]

    target = root / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, target, symlinks=True, ignore=left_out)
    else:
        shutil.copy2(path, target, follow_symlinks=False)


def _linked(root: Path) -> set[Path]:
    """The libraries that programs and libraries below ``root`` link and that are not there, with the loader."""
    told = subprocess.run(["ldd", *_binaries(root)], check=True, capture_output=True, text=True).stdout
    if missing := sorted(set(re.findall(r"(\S+) => not found", told))):
        raise SystemExit(f"libraries that are not there: {', '.join(missing)}")
    named = {Path(found) for found in re.findall(r"^\s+(?:\S+ => )?(/\S+) \(0x", told, re.MULTILINE)}
    # /lib is a link to /usr/lib.
    return {path.parent.resolve() / path.name for path in named if not path.is_relative_to(root)}


def _binaries(folder: Path) -> list[Path]:
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    found.append(path)
    return found


if __name__ == "__main__":
    where = Path(sys.argv[1])
    lay_out(where, Path(sys.argv[2]))
    compiled(where, where)
