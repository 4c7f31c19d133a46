// Preloaded into the command by CountTests: counts positioned reads below COUNT_IN and writes below
// COUNT_OUT, and writes "READS BYTES WRITES BYTES" to the file COUNT_TO when the process ends.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long reads, read_bytes, writes, written_bytes;

static int is_below(int descriptor, const char *variable) {
  char link[64], path[4096];
  const char *folder = getenv(variable);
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (!folder || length <= 0) return 0;
  path[length] = 0;
  return strncmp(path, folder, strlen(folder)) == 0;
}

ssize_t pread(int descriptor, void *buffer, size_t count, off_t offset) {
  ssize_t (*real)(int, void *, size_t, off_t) = dlsym(RTLD_NEXT, "pread");
  ssize_t got = real(descriptor, buffer, count, offset);
  if (got > 0 && is_below(descriptor, "COUNT_IN")) {
    reads++;
    read_bytes += got;
  }
  return got;
}
ssize_t pwrite(int descriptor, const void *buffer, size_t count, off_t offset) {
  ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
  ssize_t put = real(descriptor, buffer, count, offset);
  if (put > 0 && is_below(descriptor, "COUNT_OUT")) {
    writes++;
    written_bytes += put;
  }
  return put;
}
ssize_t pwritev(int descriptor, const struct iovec *rows, int count, off_t offset) {
  ssize_t (*real)(int, const struct iovec *, int, off_t) = dlsym(RTLD_NEXT, "pwritev");
  ssize_t put = real(descriptor, rows, count, offset);
  if (put > 0 && is_below(descriptor, "COUNT_OUT")) {
    writes++;
    written_bytes += put;
  }
  return put;
}
__attribute__((destructor)) static void report(void) {
  const char *path = getenv("COUNT_TO");
  FILE *file = path ? fopen(path, "w") : NULL;
  if (!file) return;
  fprintf(file, "%ld %ld %ld %ld\n", (long)reads, (long)read_bytes, (long)writes, (long)written_bytes);
  fclose(file);
}
