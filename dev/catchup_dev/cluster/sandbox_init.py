"""The first process inside a node's namespaces: sets them up, then reaps what is orphaned to it.

Run by path with `python -I -S`, so it imports nothing of ours. Its end is the end of everything inside.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

COVERED = ("/run", "/var/lib")  # containerd, CNI and kubelet leave files there, whatever they are told
# kubelet insists on these, which belong to the whole machine: it is shown files that hold them
KUBELET_WANTS = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}


def mount(*arguments: str, fds: tuple[int, ...] = ()) -> None:
    """Run `mount`."""
    subprocess.run(["mount", *arguments], check=True, pass_fds=fds)


def cover(directory: str, visible: list[Path]) -> None:
    """Put an empty directory over `directory`, but keep what is needed from below it."""
    kept = [(path, os.open(path, os.O_PATH)) for path in visible if path.is_relative_to(directory)]
    mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", directory)
    for path, handle in kept:
        path.mkdir(parents=True, exist_ok=True)
        mount("--bind", f"/proc/self/fd/{handle}", str(path), fds=(handle,))
        os.close(handle)


def protect_kernel_settings() -> None:
    """Only the network's settings are this namespace's own; nothing inside may change the others."""
    settings = Path("/proc/sys")
    mount("--bind", str(settings), str(settings))
    mount("--bind", str(settings / "net"), str(settings / "net"))
    mount("-o", "remount,bind,ro", str(settings))
    for name, value in KUBELET_WANTS.items():
        if (settings / name).exists():
            shown = Path("/run/kernel-settings") / name
            shown.parent.mkdir(parents=True, exist_ok=True)
            shown.write_text(f"{value}\n")
            mount("--bind", str(shown), str(settings / name))


def main() -> None:
    """Set the namespaces up, then reap until the end."""
    ready, log, kubelet, *rest = map(Path, sys.argv[1:])
    visible = [ready.parent.parent, *rest]
    mount("-t", "proc", "proc", "/proc")
    for directory in COVERED:
        cover(directory, visible)
    mount("--bind", str(log), "/var/log")
    # Under a short name: kubelet's sockets are below it, and a socket's path ends after 107 bytes.
    Path("/var/lib/kubelet").mkdir()
    mount("--bind", str(kubelet), "/var/lib/kubelet")
    mount("--make-rshared", "/")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    protect_kernel_settings()
    ready.touch()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            pid = 0
        if pid == 0:
            signal.sigwait({signal.SIGCHLD})


if __name__ == "__main__":
    main()
