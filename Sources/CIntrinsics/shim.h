#pragma once
// Instructions that Swift has no name for.
#include <stddef.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// Stores that pass the caches by: a line that is written whole and not read soon need not be fetched first.
typedef unsigned long long cintrinsics_vector __attribute__((vector_size(16)));

// Copies `count` bytes, a multiple of 64. `to` is aligned to 64 bytes, `from` to 16.
static inline void cintrinsics_stream(void *to, const void *from, size_t count) {
  cintrinsics_vector *target = (cintrinsics_vector *)to;
  const cintrinsics_vector *source = (const cintrinsics_vector *)from;
  for (size_t index = 0; index < count / 16; index++) __builtin_nontemporal_store(source[index], target + index);
}
// Orders such stores before all that follow, so that a thread that is told of them finds them.
static inline void cintrinsics_stream_fence(void) {
#if defined(__SSE2__)
  _mm_sfence();
#else
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

// CRC-32 by carry-less multiplication (Gopal et al., "Fast CRC Computation for Generic Polynomials Using
// PCLMULQDQ"): 64 bytes are folded onto the next 64, and what is left has the CRC of all.
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
static inline int cintrinsics_can_fold(void) {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_PCLMUL) && (c & bit_SSE4_1);
}
__attribute__((target("pclmul,sse4.1")))
static inline __m128i cintrinsics_fold(__m128i sum, __m128i next, __m128i keys) {
  __m128i low = _mm_clmulepi64_si128(sum, keys, 0x00);
  __m128i high = _mm_clmulepi64_si128(sum, keys, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}
// Folds `count` bytes, a multiple of 64 and not 0, to 16 bytes. `state` is the CRC register before them.
__attribute__((target("pclmul,sse4.1")))
static inline void cintrinsics_fold_crc(const unsigned char *bytes, size_t count, unsigned state, unsigned char *folded) {
  const __m128i by_512 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
  const __m128i by_128 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
  const __m128i *next = (const __m128i *)bytes;
  __m128i a = _mm_xor_si128(_mm_loadu_si128(next), _mm_cvtsi32_si128((int)state));
  __m128i b = _mm_loadu_si128(next + 1), c = _mm_loadu_si128(next + 2), d = _mm_loadu_si128(next + 3);
  for (size_t block = 1; block < count / 64; block++) {
    next += 4;
    a = cintrinsics_fold(a, _mm_loadu_si128(next), by_512);
    b = cintrinsics_fold(b, _mm_loadu_si128(next + 1), by_512);
    c = cintrinsics_fold(c, _mm_loadu_si128(next + 2), by_512);
    d = cintrinsics_fold(d, _mm_loadu_si128(next + 3), by_512);
  }
  a = cintrinsics_fold(cintrinsics_fold(cintrinsics_fold(a, b, by_128), c, by_128), d, by_128);
  _mm_storeu_si128((__m128i *)folded, a);
}
#else
static inline int cintrinsics_can_fold(void) { return 0; }
static inline void cintrinsics_fold_crc(const unsigned char *bytes, size_t count, unsigned state, unsigned char *folded) {
  (void)bytes, (void)count, (void)state, (void)folded;
}
#endif

// Conversions between floating-point formats, eight elements at a time in integer arithmetic: Swift's conversions
// between vectors of different widths go element by element. Each converts the first `count` / 8 * 8 elements, and
// returns whether all of them are what these few lines can do: finite, and not rounded to infinity.
typedef unsigned cintrinsics_words __attribute__((vector_size(32)));
typedef int cintrinsics_signed __attribute__((vector_size(32)));
typedef float cintrinsics_floats __attribute__((vector_size(32)));
typedef unsigned short cintrinsics_halves __attribute__((vector_size(16)));

static inline int cintrinsics_any_sign(cintrinsics_words words) {
  unsigned all = 0;
  for (int lane = 0; lane < 8; lane++) all |= words[lane];
  return all >> 31;
}
static inline cintrinsics_words cintrinsics_choose(cintrinsics_signed where, cintrinsics_words a, cintrinsics_words b) {
  return ((cintrinsics_words)where & a) | (~(cintrinsics_words)where & b);
}
static inline int cintrinsics_widen_halves(const void *from, void *to, size_t count) {
  cintrinsics_words seen = {0};
  for (size_t index = 0; index + 8 <= count; index += 8) {
    cintrinsics_halves halves;
    memcpy(&halves, (const char *)from + index * 2, sizeof halves);
    cintrinsics_words words = __builtin_convertvector(halves, cintrinsics_words);
    // The bits of a binary32 with the exponent of a half; a carry into the sign if that has all bits set.
    cintrinsics_words magnitude = (words & 0x7FFF) << 13;
    seen |= magnitude + (0x80000000u - (0x7C00u << 13));
    // A subnormal half has the exponent of the smallest normal one, without the leading bit.
    cintrinsics_words one = (cintrinsics_words){0} + 0x38800000u;
    cintrinsics_floats small = (cintrinsics_floats)(magnitude + one) - (cintrinsics_floats)one;
    cintrinsics_words wide = cintrinsics_choose(
      (cintrinsics_signed)magnitude < 0x00800000, (cintrinsics_words)small, magnitude + 0x38000000u);
    wide |= (words & 0x8000) << 16;
    memcpy((char *)to + index * 4, &wide, sizeof wide);
  }
  return !cintrinsics_any_sign(seen);
}
static inline int cintrinsics_widen_brains(const void *from, void *to, size_t count) {
  for (size_t index = 0; index + 8 <= count; index += 8) {
    cintrinsics_halves halves;
    memcpy(&halves, (const char *)from + index * 2, sizeof halves);
    cintrinsics_words wide = __builtin_convertvector(halves, cintrinsics_words) << 16;
    memcpy((char *)to + index * 4, &wide, sizeof wide);
  }
  return 1;
}
static inline int cintrinsics_narrow_to_halves(const void *from, void *to, size_t count) {
  cintrinsics_words seen = {0};
  for (size_t index = 0; index + 8 <= count; index += 8) {
    cintrinsics_words words;
    memcpy(&words, (const char *)from + index * 4, sizeof words);
    cintrinsics_words magnitude = words & 0x7FFFFFFF;
    // From the middle between the largest half and the next step on, values round to infinity.
    seen |= magnitude + (0x80000000u - 0x477FF000u);
    cintrinsics_words rounded = (magnitude - 0x38000000u + 0x0FFF + ((magnitude >> 13) & 1)) >> 13;
    // Adding 0.5 moves the units of 2^-24 to the end of the significand, where the addition rounds.
    cintrinsics_floats half = (cintrinsics_floats){0} + 0.5f;
    cintrinsics_words small = (cintrinsics_words)((cintrinsics_floats)magnitude + half) - (cintrinsics_words)half;
    cintrinsics_words narrow = cintrinsics_choose((cintrinsics_signed)magnitude < 0x38800000, small, rounded);
    narrow |= (words >> 16) & 0x8000;
    cintrinsics_halves halves = __builtin_convertvector(narrow, cintrinsics_halves);
    memcpy((char *)to + index * 2, &halves, sizeof halves);
  }
  return !cintrinsics_any_sign(seen);
}
static inline int cintrinsics_narrow_to_brains(const void *from, void *to, size_t count) {
  cintrinsics_words seen = {0};
  for (size_t index = 0; index + 8 <= count; index += 8) {
    cintrinsics_words words;
    memcpy(&words, (const char *)from + index * 4, sizeof words);
    seen |= (words & 0x7FFFFFFF) + (0x80000000u - 0x7F7F8000u);
    cintrinsics_words rounded = (words + 0x7FFF + ((words >> 16) & 1)) >> 16;
    cintrinsics_halves halves = __builtin_convertvector(rounded, cintrinsics_halves);
    memcpy((char *)to + index * 2, &halves, sizeof halves);
  }
  return !cintrinsics_any_sign(seen);
}
