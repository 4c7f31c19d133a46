#pragma once
// What Swift's Glibc module hides: GNU extensions, and variadic or macro-only names.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern int fallocate(int, int, off_t, off_t);
extern int sync_file_range(int, off_t, off_t, unsigned);

static inline int cglibc_open(const char *path, int flags, mode_t mode) {
  return open(path, flags, mode);
}
static inline int cglibc_fallocate(int descriptor, off_t size) {
  return fallocate(descriptor, 0, 0, size);
}
static inline int cglibc_rename_exchange(const char *a, const char *b) {
  return (int)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2 /* RENAME_EXCHANGE */);
}
static inline int cglibc_rename_noreplace(const char *from, const char *to) {
  return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 1 /* RENAME_NOREPLACE */);
}
// Starts writing dirty pages to the disk without waiting until they are there.
static inline int cglibc_start_writeback(int descriptor, off_t offset, off_t count) {
  return sync_file_range(descriptor, offset, count, SYNC_FILE_RANGE_WRITE);
}
static inline int cglibc_affinity_count(void) {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}
// Tells the processor that a thread only waits for another one.
static inline void cglibc_relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}
static inline int cglibc_terminal_columns(int descriptor) {
  struct winsize size;
  return ioctl(descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

// A stop request is one integer that a signal handler may write at any moment.
static volatile sig_atomic_t cglibc_stop_signal = 0;
static void cglibc_note_stop(int number) {
  // The second request is not polite any more: the default action ends the process at once.
  if (cglibc_stop_signal != 0) {
    signal(number, SIG_DFL);
    raise(number);
    return;
  }
  cglibc_stop_signal = number;
}
static inline void cglibc_catch(int number) {
  struct sigaction action = {0};
  // nohup ignores SIGHUP on behalf of what it starts.
  if (number == SIGHUP && sigaction(number, 0, &action) == 0 && action.sa_handler == SIG_IGN)
    return;
  action.sa_handler = cglibc_note_stop;
  action.sa_flags = 0;
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, 0);
  // A parent that blocks signals hands that down.
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  sigprocmask(SIG_UNBLOCK, &set, 0);
}
static inline int cglibc_stop_requested(void) {
  return (int)cglibc_stop_signal;
}
static inline void cglibc_default_and_raise(int number) {
  signal(number, SIG_DFL);
  raise(number);
}
