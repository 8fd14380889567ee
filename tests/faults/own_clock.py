"""A wall clock of its own for one stack: a library that is loaded before all others.

libfaketime 0.9.10 does it for one program, not for this stack: told to leave the monotonic clock alone it answers EINVAL to
CPython's time.sleep, and PostgreSQL's user may not open the shared memory that root's process made.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from windtunnel.drill.machine_faults import CLOCK_VARIABLE
from windtunnel.health import checks

#: The offset is one double in a file that every process maps: all of them jump in the same moment. As after a real jump, a file
#: that is touched afterwards has the new time, and the monotonic clock goes on as before.
SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile double *offset;

__attribute__((constructor)) static void attach(void) {
  const char *path = getenv("OWN_CLOCK_FILE");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *page = mmap(NULL, sizeof(double), PROT_READ, MAP_SHARED, file, 0);
  if (page != MAP_FAILED) offset = page;
  close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, now);
  if (!result && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += (time_t)*offset;
  return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec precise;
  clock_gettime(CLOCK_REALTIME, &precise);
  if (now) now->tv_sec = precise.tv_sec, now->tv_usec = precise.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *where) {
  struct timespec precise;
  clock_gettime(CLOCK_REALTIME, &precise);
  if (where) *where = precise.tv_sec;
  return precise.tv_sec;
}

static const struct timespec *touched(const struct timespec given[2], struct timespec now[2]) {
  if (given) return given;
  clock_gettime(CLOCK_REALTIME, &now[0]);
  now[1] = now[0];
  return now;
}

int utimensat(int folder, const char *path, const struct timespec times[2], int flags) {
  static int (*real)(int, const char *, const struct timespec *, int);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "utimensat");
  struct timespec now[2];
  return real(folder, path, touched(times, now), flags);
}

int futimens(int file, const struct timespec times[2]) {
  static int (*real)(int, const struct timespec *);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "futimens");
  struct timespec now[2];
  return real(file, touched(times, now));
}
"""


def missing() -> str | None:
    """What a stack with its own clock needs and this machine lacks."""
    return (
        None
        if shutil.which("cc")
        else "a stack gets its own clock from a small C library, and there is no C compiler"
    )


def variables(folder: Path) -> dict[str, str]:
    """The environment of such a stack. The folder must be open to every user of the stack."""
    library, clock = folder / "own_clock.so", folder / "clock"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), "-xc", "-", "-ldl"],
        input=SOURCE,
        text=True,
        check=True,
    )
    library.chmod(0o755)
    clock.write_bytes(bytes(8))
    clock.chmod(0o644)
    return {"LD_PRELOAD": str(library), CLOCK_VARIABLE: str(clock)}


@contextmanager
def shared(folder: Path) -> Iterator[None]:
    """The checks of this process go by the clock of the stack, as `windtunnel status` beside it does."""

    def now() -> float:
        (offset,) = struct.unpack("d", (folder / "clock").read_bytes())
        return time.time() + float(offset)

    with mock.patch.object(checks, "now", now):
        yield
