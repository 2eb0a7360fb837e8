"""The first process of a sandbox: builds its file system, gives its rights away, runs the program on stdin.

Started by `sandbox.py` inside new namespaces, with the standard library alone: root folder, CPU seconds,
memory bytes, file bytes, number of processes, folders to show.
"""

import ctypes
import os
import resource
import sys

_MS_RDONLY, _MS_NOSUID, _MS_NODEV = 0x1, 0x2, 0x4
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x20, 0x1000, 0x4000, 0x40000
_READ_ONLY = _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV
_MNT_DETACH = 2
_PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP = 38, 24
_NOBODY = 65534
_PROGRAM = "/tmp/program.py"

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    """A function of libc that returns 0; anything else ends the sandbox before the program starts."""
    if getattr(libc, name)(*arguments) != 0:
        error = ctypes.get_errno()
        sys.exit(f"sandbox: {name}{arguments} failed: {os.strerror(error)}")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [None if text is None else text.encode() for text in (source, target, kind)]
    call("mount", *encoded, ctypes.c_ulong(flags), None if data is None else data.encode())


def build(root: str, folders: list[str], file_bytes: int) -> None:
    """An empty file system in memory that shows `folders` read-only and has a small /tmp; becomes `/`."""
    mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    mount("tmpfs", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,mode=755")
    # before the folders, since the interpreter itself may lie below /tmp
    os.makedirs(root + "/tmp", exist_ok=True)
    mount("tmpfs", root + "/tmp", "tmpfs", _MS_NOSUID | _MS_NODEV, f"size={file_bytes},mode=777")
    for folder in folders:
        if os.path.islink(folder):
            os.makedirs(root + os.path.dirname(folder), exist_ok=True)
            os.symlink(os.readlink(folder), root + folder)
            continue
        os.makedirs(root + folder, exist_ok=True)
        mount(folder, root + folder, None, _MS_BIND)
        mount("none", root + folder, None, _READ_ONLY | kept_flags(folder))
    os.makedirs(root + "/dev")
    for device in ("null", "urandom"):
        open(f"{root}/dev/{device}", "w").close()
        mount(f"/dev/{device}", f"{root}/dev/{device}", None, _MS_BIND)
    old = root + "/tmp/old"
    os.mkdir(old)
    pivot(root, old)
    os.chdir("/tmp")
    call("umount2", b"/tmp/old", _MNT_DETACH)
    os.rmdir("/tmp/old")
    mount("none", "/", None, _READ_ONLY)


def kept_flags(folder: str) -> int:
    """Flags of the mount that `folder` lies on; inside a user namespace none of them may be lost."""
    found = os.statvfs(folder).f_flag
    known = {os.ST_NOEXEC: 0x8, os.ST_NOATIME: 0x400, os.ST_NODIRATIME: 0x800, os.ST_RELATIME: 1 << 21}
    return sum(flag for bit, flag in known.items() if found & bit)


def pivot(root: str, old: str) -> None:
    """pivot_root has no wrapper in most C libraries; its number depends on the machine."""
    numbers = {"x86_64": 155, "aarch64": 41, "ppc64le": 203, "s390x": 217, "riscv64": 41}
    machine = os.uname().machine
    if machine not in numbers:
        sys.exit(f"sandbox: the number of pivot_root on {machine} is not known")
    if libc.syscall(numbers[machine], root.encode(), old.encode()) != 0:
        sys.exit(f"sandbox: pivot_root failed: {os.strerror(ctypes.get_errno())}")


def limit(cpu_seconds: int, memory_bytes: int, file_bytes: int, processes: int) -> None:
    for what, value in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (value, value))


def give_rights_away(in_user_namespace: bool) -> None:
    """No capability survives, also not through a program that would give some back."""
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if in_user_namespace:
        drop_capabilities()
    else:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)


def is_in_user_namespace() -> bool:
    with open("/proc/self/uid_map") as file:
        return file.read().split() != ["0", "0", "4294967295"]


def drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    call("capset", header, (ctypes.c_uint32 * 6)())


def main() -> None:
    root, *numbers = sys.argv[1:6]
    cpu_seconds, memory_bytes, file_bytes, processes = map(int, numbers)
    program = sys.stdin.buffer.read()
    in_user_namespace = is_in_user_namespace()  # asked now: the new file system has no /proc
    build(root, sys.argv[6:], file_bytes)
    with open(_PROGRAM, "wb") as file:
        file.write(program)
    os.chmod(_PROGRAM, 0o444)
    limit(cpu_seconds, memory_bytes, file_bytes, processes)
    give_rights_away(in_user_namespace)
    os.execv(sys.executable, [sys.executable, "-I", "-B", "-c", _RUNNER, _PROGRAM])


# What runs the program. One that only defines `solution()` is asked for its value, as program prompts expect.
_RUNNER = """
import sys, traceback
names = {"__name__": "__main__"}
printed = []
write = sys.stdout.write
sys.stdout.write = lambda text: (printed.append(1), write(text))[1]
try:
    exec(compile(open(sys.argv[1], encoding="utf-8").read(), "program.py", "exec"), names)
    if not printed and callable(names.get("solution")):
        print(names["solution"]())
except BaseException as error:
    print("".join(traceback.format_exception_only(error)).strip())
    sys.stdout.flush()
    raise SystemExit(1)
"""

if __name__ == "__main__":
    main()
