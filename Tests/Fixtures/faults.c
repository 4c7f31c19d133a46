// Preloaded into the command by FaultTests: makes the Nth call of a system function fail, for paths
// below a folder. FAULT is "FUNCTION:N:ERRNO"; N = 0 means every call. ERRNO can also be "short" (half of
// what was asked for is read or written), "interrupted" (EINTR, every other call) or "kill" (the process
// ends before the call). The function that FAULT_ALSO names gives EINVAL every time.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int number = -1, wanted, fault;
static char function[32], mode[16];
static unsigned calls;

static void setup(void) {
  const char *text = getenv("FAULT");
  number = 0;
  if (text && sscanf(text, "%31[^:]:%d:%15s", function, &wanted, mode) == 3) {
    number = 1;
    fault = atoi(mode);
  }
}

static int is_below(const char *path) {
  const char *under = getenv("FAULT_UNDER");
  return under && path && strncmp(path, under, strlen(under)) == 0;
}

static int is_descriptor_below(int descriptor) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return is_below(path);
}

// Whether this call is the one. Says so in the file that FAULT_HIT names.
static int hit(const char *name) {
  if (number < 0) setup();
  const char *also = getenv("FAULT_ALSO");
  if (also && strcmp(name, also) == 0) {
    fault = EINVAL;
    return 1;
  }
  if (number == 0 || strcmp(name, function) != 0) return 0;
  calls++;
  if (wanted != 0 && calls != (unsigned)wanted) return 0;
  if (strcmp(mode, "interrupted") == 0 && calls % 2 == 0) return 0;
  const char *note = getenv("FAULT_HIT");
  if (note) {
    int descriptor = (int)syscall(SYS_openat, AT_FDCWD, note, O_CREAT | O_WRONLY, 0600);
    if (descriptor >= 0) syscall(SYS_close, descriptor);
  }
  if (strcmp(mode, "kill") == 0) kill(getpid(), SIGKILL);
  return 1;
}

static int is_short(void) { return strcmp(mode, "short") == 0; }
static int fail(void) {
  errno = strcmp(mode, "interrupted") == 0 ? EINTR : fault;
  return -1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t permissions = va_arg(arguments, mode_t);
  va_end(arguments);
  const char *name = flags & O_CREAT ? "create" : "open";
  if (is_below(path) && hit(name)) return fail();
  return REAL(open)(path, flags, permissions);
}
ssize_t pread(int descriptor, void *buffer, size_t count, off_t offset) {
  if (is_descriptor_below(descriptor) && hit("pread")) {
    if (!is_short()) return fail();
    count = (count + 1) / 2;
  }
  return REAL(pread)(descriptor, buffer, count, offset);
}
ssize_t pwrite(int descriptor, const void *buffer, size_t count, off_t offset) {
  if (is_descriptor_below(descriptor) && hit("pwrite")) {
    if (!is_short()) return fail();
    count = (count + 1) / 2;
  }
  return REAL(pwrite)(descriptor, buffer, count, offset);
}
ssize_t pwritev(int descriptor, const struct iovec *rows, int count, off_t offset) {
  if (is_descriptor_below(descriptor) && hit("pwritev")) {
    if (!is_short()) return fail();
    // The end of a row and that of a call need not meet.
    return REAL(pwrite)(descriptor, rows[0].iov_base, (rows[0].iov_len + 1) / 2, offset);
  }
  return REAL(pwritev)(descriptor, rows, count, offset);
}
int fsync(int descriptor) {
  return is_descriptor_below(descriptor) && hit("fsync") ? fail() : REAL(fsync)(descriptor);
}
int close(int descriptor) {
  if (!is_descriptor_below(descriptor) || !hit("close")) return REAL(close)(descriptor);
  REAL(close)(descriptor);
  return fail();
}
int fallocate(int descriptor, int how, off_t offset, off_t size) {
  return is_descriptor_below(descriptor) && hit("fallocate")
             ? fail() : REAL(fallocate)(descriptor, how, offset, size);
}
int ftruncate(int descriptor, off_t size) {
  return is_descriptor_below(descriptor) && hit("ftruncate")
             ? fail() : REAL(ftruncate)(descriptor, size);
}
int fstat(int descriptor, struct stat *status) {
  return is_descriptor_below(descriptor) && hit("fstat") ? fail() : REAL(fstat)(descriptor, status);
}
int stat(const char *path, struct stat *status) {
  return is_below(path) && hit("stat") ? fail() : REAL(stat)(path, status);
}
int mkdir(const char *path, mode_t permissions) {
  return is_below(path) && hit("mkdir") ? fail() : REAL(mkdir)(path, permissions);
}
int rmdir(const char *path) { return is_below(path) && hit("rmdir") ? fail() : REAL(rmdir)(path); }
int unlink(const char *path) {
  return is_below(path) && hit("unlink") ? fail() : REAL(unlink)(path);
}
int rename(const char *from, const char *to) {
  return is_below(to) && hit("rename") ? fail() : REAL(rename)(from, to);
}
DIR *opendir(const char *path) {
  if (is_below(path) && hit("opendir")) { fail(); return NULL; }
  return REAL(opendir)(path);
}
int statvfs(const char *path, struct statvfs *status) {
  return is_below(path) && hit("statvfs") ? fail() : REAL(statvfs)(path, status);
}
// renameat2, which glibc offers, is called as a system call so that old glibcs will do.
long syscall(long which, ...) {
  long values[6];
  va_list arguments;
  va_start(arguments, which);
  for (int index = 0; index < 6; index++) values[index] = va_arg(arguments, long);
  va_end(arguments);
  if (which == SYS_renameat2 && is_below((const char *)values[3]) && hit("renameat2")) return fail();
  return ((long (*)(long, long, long, long, long, long, long))dlsym(RTLD_NEXT, "syscall"))(
      which, values[0], values[1], values[2], values[3], values[4], values[5]);
}
