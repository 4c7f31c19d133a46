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
static inline int cglibc_terminal_columns(int descriptor) {
  struct winsize size;
  return ioctl(descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

// A stop request is one integer that a signal handler may write at any moment.
static volatile sig_atomic_t cglibc_stop_signal = 0;
static void cglibc_note_stop(int number) {
  // The second request is not polite any more: the default action ends the process at once.
  if (cglibc_stop_signal != 0) { signal(number, SIG_DFL); raise(number); return; }
  cglibc_stop_signal = number;
}
static inline void cglibc_catch(int number) {
  struct sigaction action = {0};
  // nohup ignores SIGHUP on behalf of what it starts.
  if (number == SIGHUP && sigaction(number, 0, &action) == 0 && action.sa_handler == SIG_IGN) return;
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
static inline int cglibc_stop_requested(void) { return (int)cglibc_stop_signal; }
static inline void cglibc_default_and_raise(int number) { signal(number, SIG_DFL); raise(number); }

// CRC-32 by carry-less multiplication (Gopal et al., "Fast CRC Computation for Generic Polynomials Using
// PCLMULQDQ"): 64 bytes are folded onto the next 64, and what is left has the CRC of all.
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
static inline int cglibc_can_fold(void) {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_PCLMUL) && (c & bit_SSE4_1);
}
__attribute__((target("pclmul,sse4.1")))
static inline __m128i cglibc_fold(__m128i sum, __m128i next, __m128i keys) {
  __m128i low = _mm_clmulepi64_si128(sum, keys, 0x00);
  __m128i high = _mm_clmulepi64_si128(sum, keys, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}
// Folds `count` bytes, a multiple of 64 and not 0, to 16 bytes. `state` is the CRC register before them.
__attribute__((target("pclmul,sse4.1")))
static inline void cglibc_fold_crc(const unsigned char *bytes, size_t count, unsigned state, unsigned char *folded) {
  const __m128i by_512 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
  const __m128i by_128 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
  const __m128i *next = (const __m128i *)bytes;
  __m128i a = _mm_xor_si128(_mm_loadu_si128(next), _mm_cvtsi32_si128((int)state));
  __m128i b = _mm_loadu_si128(next + 1), c = _mm_loadu_si128(next + 2), d = _mm_loadu_si128(next + 3);
  for (size_t block = 1; block < count / 64; block++) {
    next += 4;
    a = cglibc_fold(a, _mm_loadu_si128(next), by_512);
    b = cglibc_fold(b, _mm_loadu_si128(next + 1), by_512);
    c = cglibc_fold(c, _mm_loadu_si128(next + 2), by_512);
    d = cglibc_fold(d, _mm_loadu_si128(next + 3), by_512);
  }
  a = cglibc_fold(cglibc_fold(cglibc_fold(a, b, by_128), c, by_128), d, by_128);
  _mm_storeu_si128((__m128i *)folded, a);
}
#else
static inline int cglibc_can_fold(void) { return 0; }
static inline void cglibc_fold_crc(const unsigned char *bytes, size_t count, unsigned state, unsigned char *folded) {
  (void)bytes, (void)count, (void)state, (void)folded;
}
#endif
