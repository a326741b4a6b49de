"""Runs a program without what POSIX alone has: ``python -m … MODULE [ARGUMENT…]``.

``-c CODE`` runs code instead of a module. The interpreter is still one for POSIX, so this shows
which names a program needs, not how Windows behaves.
"""

from __future__ import annotations

import os
import runpy
import select
import signal
import socket
import sys

MODULES = ["fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"]
NAMES = {
    os: [
        *["fchmod", "fchown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getuid"],
        *["killpg", "mkfifo", "pidfd_open", "register_at_fork", "setsid", "statvfs", "sysconf"],
        *["sched_getaffinity", "uname", "wait", "O_NOFOLLOW", "O_NONBLOCK"],
    ],
    select: ["epoll", "poll"],
    signal: [
        *["SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2"],
        *["alarm", "pause", "pthread_kill", "setitimer", "sigwait"],
    ],
    socket: ["AF_UNIX", "SO_REUSEPORT"],
}


def strip() -> None:
    """Remove the names and make the modules fail to import."""
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for module, names in NAMES.items():
        for name in names:
            delattr(module, name)


if __name__ == "__main__":
    strip()
    _, what, *arguments = sys.argv
    if what == "-c":
        exec(arguments[0], {"__name__": "__main__"})
    else:
        sys.argv = [what, *arguments]
        runpy.run_module(what, run_name="__main__", alter_sys=True)
