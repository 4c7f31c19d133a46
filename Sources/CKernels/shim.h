#pragma once
// Instructions that Swift has no name for.
#include <stddef.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

// What the processor can do beyond what every one of its kind can. Functions that come in several
// widths take this first: all give the same results.
enum ckernels_features {
  // Carry-less multiplication (PCLMUL).
  ckernels_can_multiply = 1,
  // Integers and half-precision numbers in 32 bytes (AVX2, F16C).
  ckernels_is_wide = 2,
  // Carry-less multiplication in 32 bytes (VPCLMULQDQ), and in 64 (AVX-512).
  ckernels_can_multiply_wide = 4,
  ckernels_can_multiply_widest = 8,
  // The CRC-32C of eight bytes at once (SSE 4.2).
  ckernels_can_checksum = 16,
};
static inline unsigned ckernels_features(void) {
  unsigned result = 0;
#if defined(__x86_64__)
  unsigned a, b, c, d, low = 0, high = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
  if ((c & bit_PCLMUL) && (c & bit_SSE4_1)) result |= ckernels_can_multiply;
  if (c & bit_SSE4_2) result |= ckernels_can_checksum;
  // The system has to keep the wide registers, too.
  if (!(c & bit_OSXSAVE) || !(c & bit_AVX) || !(c & bit_F16C)) return result;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2)) return result;
  result |= ckernels_is_wide;
  if (!(c & bit_VPCLMULQDQ) || !(result & ckernels_can_multiply)) return result;
  result |= ckernels_can_multiply_wide;
  if ((low & 0xE6) == 0xE6 && (b & bit_AVX512F)) result |= ckernels_can_multiply_widest;
#endif
  return result;
}
#define CKERNELS_INLINE static inline __attribute__((always_inline))
#define CKERNELS_WIDE __attribute__((target("avx2,f16c"))) static inline

// Stores that pass the caches by: a line that is written whole and not read soon need not be
// fetched first.
typedef unsigned long long ckernels_vector __attribute__((vector_size(16)));

// Copies `count` bytes, a multiple of 64. `to` is aligned to 64 bytes, `from` to 16.
static inline void ckernels_stream(void *to, const void *from, size_t count) {
  ckernels_vector *target = (ckernels_vector *)to;
  const ckernels_vector *source = (const ckernels_vector *)from;
  for (size_t index = 0; index < count / 16; index++)
    __builtin_nontemporal_store(source[index], target + index);
}
// Orders such stores before all that follow, so that a thread that is told of them finds them.
static inline void ckernels_stream_fence(void) {
#if defined(__SSE2__)
  _mm_sfence();
#else
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

// CRC-32 by carry-less multiplication (Gopal et al., "Fast CRC Computation for Generic Polynomials
// Using PCLMULQDQ"): 64, 128 or 256 bytes are folded onto the next ones, and what is left has the
// CRC of all. The keys are x to the power of the distance in bits, plus and minus 32, modulo the
// polynomial.
#if defined(__x86_64__)
#define CKERNELS_MULTIPLY __attribute__((target("pclmul,sse4.1"))) static inline
CKERNELS_MULTIPLY __m128i ckernels_fold(__m128i sum, __m128i next, __m128i keys) {
  __m128i low = _mm_clmulepi64_si128(sum, keys, 0x00);
  __m128i high = _mm_clmulepi64_si128(sum, keys, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}
// Folds 16 bytes onto the 16 after them.
CKERNELS_MULTIPLY __m128i ckernels_fold_one(__m128i sum, __m128i next) {
  return ckernels_fold(sum, next, _mm_set_epi64x(0x00ccaa009e, 0x01751997d0));
}
// Folds `count` parts to one, and that one onto what is left of the `size` bytes from `done` on.
CKERNELS_MULTIPLY __m128i ckernels_fold_rest(
  const __m128i *parts, int count, const unsigned char *bytes, size_t done, size_t size) {
  __m128i sum = parts[0];
  for (int index = 1; index < count; index++) sum = ckernels_fold_one(sum, parts[index]);
  for (; done + 16 <= size; done += 16)
    sum = ckernels_fold_one(sum, _mm_loadu_si128((const __m128i *)(bytes + done)));
  return sum;
}
// Each folds `size` bytes, at least a block of its own and a multiple of 16. `before` is what the
// bytes before them amount to at their place.
CKERNELS_MULTIPLY __m128i ckernels_fold_narrow(
  const unsigned char *bytes, size_t size, __m128i before) {
  const __m128i by_512 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
  __m128i sums[4];
  for (int lane = 0; lane < 4; lane++) sums[lane] = _mm_loadu_si128((const __m128i *)bytes + lane);
  sums[0] = _mm_xor_si128(sums[0], before);
  size_t done = 64;
  for (; done + 64 <= size; done += 64) {
    const __m128i *next = (const __m128i *)(bytes + done);
    for (int lane = 0; lane < 4; lane++)
      sums[lane] = ckernels_fold(sums[lane], _mm_loadu_si128(next + lane), by_512);
  }
  return ckernels_fold_rest(sums, 4, bytes, done, size);
}
__attribute__((target("avx2,vpclmulqdq,pclmul,sse4.1"))) static inline __m128i ckernels_fold_wide(
  const unsigned char *bytes, size_t size, __m128i before) {
  const __m256i by_1024 = _mm256_set_epi64x(0x014a7fe880, 0x01e88ef372, 0x014a7fe880, 0x01e88ef372);
  __m256i sums[4];
  for (int lane = 0; lane < 4; lane++)
    sums[lane] = _mm256_loadu_si256((const __m256i *)bytes + lane);
  sums[0] = _mm256_xor_si256(sums[0], _mm256_zextsi128_si256(before));
  size_t done = 128;
  for (; done + 128 <= size; done += 128) {
    const __m256i *next = (const __m256i *)(bytes + done);
    for (int lane = 0; lane < 4; lane++) {
      __m256i low = _mm256_clmulepi64_epi128(sums[lane], by_1024, 0x00);
      __m256i high = _mm256_clmulepi64_epi128(sums[lane], by_1024, 0x11);
      sums[lane] = _mm256_xor_si256(_mm256_xor_si256(low, high), _mm256_loadu_si256(next + lane));
    }
  }
  __m128i parts[8];
  memcpy(parts, sums, sizeof parts);
  return ckernels_fold_rest(parts, 8, bytes, done, size);
}
__attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.1"))) static inline __m128i
ckernels_fold_widest(const unsigned char *bytes, size_t size, __m128i before) {
  const __m512i by_2048 = _mm512_set_epi64(0x01322d1430, 0x011542778a, 0x01322d1430, 0x011542778a,
    0x01322d1430, 0x011542778a, 0x01322d1430, 0x011542778a);
  __m512i a = _mm512_loadu_si512(bytes), b = _mm512_loadu_si512(bytes + 64);
  __m512i c = _mm512_loadu_si512(bytes + 128), d = _mm512_loadu_si512(bytes + 192);
  a = _mm512_xor_si512(a, _mm512_zextsi128_si512(before));
  size_t done = 256;
  for (; done + 256 <= size; done += 256) {
#define CKERNELS_FOLD(sum, place)                                                                  \
  sum = _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(sum, by_2048, 0x00),                    \
    _mm512_clmulepi64_epi128(sum, by_2048, 0x11), _mm512_loadu_si512(bytes + done + place), 0x96);
    CKERNELS_FOLD(a, 0) CKERNELS_FOLD(b, 64) CKERNELS_FOLD(c, 128) CKERNELS_FOLD(d, 192)
  }
  __m128i parts[16];
  _mm512_storeu_si512(parts, a), _mm512_storeu_si512(parts + 4, b);
  _mm512_storeu_si512(parts + 8, c), _mm512_storeu_si512(parts + 12, d);
  return ckernels_fold_rest(parts, 16, bytes, done, size);
}
#define CKERNELS_FOLD_ROWS(width, body)                                                            \
  body static inline void ckernels_fold_rows_##width(const unsigned char *bytes, size_t size,      \
    size_t pitch, size_t rows, unsigned state, unsigned char *folded) {                            \
    __m128i sum, before = _mm_cvtsi32_si128((int)state);                                           \
    do {                                                                                           \
      sum = ckernels_fold_##width(bytes, size, before);                                            \
      before = ckernels_fold_one(sum, _mm_setzero_si128());                                        \
      bytes += pitch;                                                                              \
    } while (--rows > 0);                                                                          \
    _mm_storeu_si128((__m128i *)folded, sum);                                                      \
  }
CKERNELS_FOLD_ROWS(narrow, __attribute__((target("pclmul,sse4.1"))))
CKERNELS_FOLD_ROWS(wide, __attribute__((target("avx2,vpclmulqdq,pclmul,sse4.1"))))
CKERNELS_FOLD_ROWS(widest, __attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.1"))))
#endif
// Folds `rows` runs of `size` bytes, `pitch` bytes from one to the next, to 16 bytes, which depend
// on the width; their CRC does not. `size` is a multiple of 16 and at least 256, and there is a
// row. `state` is the CRC register before them. Only where the processor can multiply.
static inline void ckernels_fold_crc(unsigned features, const unsigned char *bytes, size_t size,
  size_t pitch, size_t rows, unsigned state, unsigned char *folded) {
#if defined(__x86_64__)
  if (features & ckernels_can_multiply_widest)
    ckernels_fold_rows_widest(bytes, size, pitch, rows, state, folded);
  else if (features & ckernels_can_multiply_wide)
    ckernels_fold_rows_wide(bytes, size, pitch, rows, state, folded);
  else ckernels_fold_rows_narrow(bytes, size, pitch, rows, state, folded);
#else
  (void)features, (void)bytes, (void)size, (void)pitch, (void)rows, (void)state, (void)folded;
#endif
}

// The register of CRC-32C after `size` more bytes. Only where the processor can checksum.
#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static inline unsigned ckernels_crc32c(
  const unsigned char *bytes, size_t size, unsigned state) {
  unsigned long long wide = state, word;
  for (; size >= 8; bytes += 8, size -= 8) {
    memcpy(&word, bytes, sizeof word);
    wide = _mm_crc32_u64(wide, word);
  }
  for (state = (unsigned)wide; size > 0; bytes++, size--) state = _mm_crc32_u8(state, *bytes);
  return state;
}
#else
static inline unsigned ckernels_crc32c(const unsigned char *bytes, size_t size, unsigned state) {
  (void)bytes, (void)size;
  return state;
}
#endif

// Conversions between floating-point formats, eight elements at a time, in integer arithmetic or in
// instructions made for it: Swift's conversions between vectors of different widths go element by
// element. Each converts the first `count` / 8 * 8 elements, and returns whether all of them are
// what these few lines can do: finite, and not rounded to infinity.
typedef unsigned ckernels_words __attribute__((vector_size(32)));
typedef int ckernels_signed __attribute__((vector_size(32)));
typedef float ckernels_floats __attribute__((vector_size(32)));
typedef unsigned short ckernels_halves __attribute__((vector_size(16)));

CKERNELS_INLINE int ckernels_any_sign(ckernels_words words) {
  unsigned all = 0;
  for (int lane = 0; lane < 8; lane++) all |= words[lane];
  return all >> 31;
}
CKERNELS_INLINE ckernels_words ckernels_choose(
  ckernels_signed where, ckernels_words a, ckernels_words b) {
  return ((ckernels_words)where & a) | (~(ckernels_words)where & b);
}
CKERNELS_INLINE int ckernels_widen_halves_body(const void *from, void *to, size_t count) {
  ckernels_words seen = {0};
  for (size_t index = 0; index + 8 <= count; index += 8) {
    ckernels_halves halves;
    memcpy(&halves, (const char *)from + index * 2, sizeof halves);
    ckernels_words words = __builtin_convertvector(halves, ckernels_words);
    // The bits of a binary32 with the exponent of a half; a carry into the sign if that has all
    // bits set.
    ckernels_words magnitude = (words & 0x7FFF) << 13;
    seen |= magnitude + (0x80000000u - (0x7C00u << 13));
    // A subnormal half has the exponent of the smallest normal one, without the leading bit.
    ckernels_words one = (ckernels_words){0} + 0x38800000u;
    ckernels_floats small = (ckernels_floats)(magnitude + one) - (ckernels_floats)one;
    ckernels_words wide = ckernels_choose(
      (ckernels_signed)magnitude < 0x00800000, (ckernels_words)small, magnitude + 0x38000000u);
    wide |= (words & 0x8000) << 16;
    memcpy((char *)to + index * 4, &wide, sizeof wide);
  }
  return !ckernels_any_sign(seen);
}
CKERNELS_INLINE int ckernels_widen_brains_body(const void *from, void *to, size_t count) {
  for (size_t index = 0; index + 8 <= count; index += 8) {
    ckernels_halves halves;
    memcpy(&halves, (const char *)from + index * 2, sizeof halves);
    ckernels_words wide = __builtin_convertvector(halves, ckernels_words) << 16;
    memcpy((char *)to + index * 4, &wide, sizeof wide);
  }
  return 1;
}
CKERNELS_INLINE int ckernels_narrow_to_halves_body(const void *from, void *to, size_t count) {
  ckernels_words seen = {0};
  for (size_t index = 0; index + 8 <= count; index += 8) {
    ckernels_words words;
    memcpy(&words, (const char *)from + index * 4, sizeof words);
    ckernels_words magnitude = words & 0x7FFFFFFF;
    // From the middle between the largest half and the next step on, values round to infinity.
    seen |= magnitude + (0x80000000u - 0x477FF000u);
    ckernels_words rounded = (magnitude - 0x38000000u + 0x0FFF + ((magnitude >> 13) & 1)) >> 13;
    // Adding 0.5 moves the units of 2^-24 to the end of the significand, where the addition rounds.
    ckernels_floats half = (ckernels_floats){0} + 0.5f;
    ckernels_words small =
      (ckernels_words)((ckernels_floats)magnitude + half) - (ckernels_words)half;
    ckernels_words narrow =
      ckernels_choose((ckernels_signed)magnitude < 0x38800000, small, rounded);
    narrow |= (words >> 16) & 0x8000;
    ckernels_halves halves = __builtin_convertvector(narrow, ckernels_halves);
    memcpy((char *)to + index * 2, &halves, sizeof halves);
  }
  return !ckernels_any_sign(seen);
}
CKERNELS_INLINE int ckernels_narrow_to_brains_body(const void *from, void *to, size_t count) {
  ckernels_words seen = {0};
  for (size_t index = 0; index + 8 <= count; index += 8) {
    ckernels_words words;
    memcpy(&words, (const char *)from + index * 4, sizeof words);
    seen |= (words & 0x7FFFFFFF) + (0x80000000u - 0x7F7F8000u);
    ckernels_words rounded = (words + 0x7FFF + ((words >> 16) & 1)) >> 16;
    ckernels_halves halves = __builtin_convertvector(rounded, ckernels_halves);
    memcpy((char *)to + index * 2, &halves, sizeof halves);
  }
  return !ckernels_any_sign(seen);
}

#if defined(__x86_64__)
// Whether one of the halves whose magnitudes were OR-ed, each plus the unit of its exponent, is not
// finite.
CKERNELS_WIDE int ckernels_any_sign_wide(__m128i seen) {
  return (_mm_movemask_epi8(seen) & 0xAAAA) != 0;
}
CKERNELS_WIDE __m128i ckernels_see(__m128i seen, __m128i halves) {
  __m128i magnitude = _mm_and_si128(halves, _mm_set1_epi16(0x7FFF));
  return _mm_or_si128(seen, _mm_add_epi16(magnitude, _mm_set1_epi16(0x0400)));
}
CKERNELS_WIDE int ckernels_widen_halves_wide(const void *from, void *to, size_t count) {
  __m128i seen = _mm_setzero_si128();
  for (size_t index = 0; index + 8 <= count; index += 8) {
    __m128i halves = _mm_loadu_si128((const __m128i *)((const char *)from + index * 2));
    seen = ckernels_see(seen, halves);
    _mm256_storeu_ps((float *)to + index, _mm256_cvtph_ps(halves));
  }
  return !ckernels_any_sign_wide(seen);
}
CKERNELS_WIDE int ckernels_narrow_to_halves_wide(const void *from, void *to, size_t count) {
  __m128i seen = _mm_setzero_si128();
  for (size_t index = 0; index + 8 <= count; index += 8) {
    __m128i halves =
      _mm256_cvtps_ph(_mm256_loadu_ps((const float *)from + index), _MM_FROUND_TO_NEAREST_INT);
    seen = ckernels_see(seen, halves);
    _mm_storeu_si128((__m128i *)((char *)to + index * 2), halves);
  }
  return !ckernels_any_sign_wide(seen);
}
CKERNELS_WIDE int ckernels_widen_brains_wide(const void *from, void *to, size_t count) {
  return ckernels_widen_brains_body(from, to, count);
}
CKERNELS_WIDE int ckernels_narrow_to_brains_wide(const void *from, void *to, size_t count) {
  return ckernels_narrow_to_brains_body(from, to, count);
}
#define CKERNELS_CHOOSE(name, ...)                                                                 \
  ((features & ckernels_is_wide) ? name##_wide(__VA_ARGS__) : name##_body(__VA_ARGS__))
#else
#define CKERNELS_CHOOSE(name, ...) ((void)features, name##_body(__VA_ARGS__))
#endif
static inline int ckernels_widen_halves(
  unsigned features, const void *from, void *to, size_t count) {
  return CKERNELS_CHOOSE(ckernels_widen_halves, from, to, count);
}
static inline int ckernels_widen_brains(
  unsigned features, const void *from, void *to, size_t count) {
  return CKERNELS_CHOOSE(ckernels_widen_brains, from, to, count);
}
static inline int ckernels_narrow_to_halves(
  unsigned features, const void *from, void *to, size_t count) {
  return CKERNELS_CHOOSE(ckernels_narrow_to_halves, from, to, count);
}
static inline int ckernels_narrow_to_brains(
  unsigned features, const void *from, void *to, size_t count) {
  return CKERNELS_CHOOSE(ckernels_narrow_to_brains, from, to, count);
}

// Whether any of `count` numbers, a multiple of 16, has all bits of its exponent set. `unit` is the
// lowest of them: added to such a magnitude, it carries into the sign, and the sums can be OR-ed.
typedef unsigned short ckernels_wide_halves __attribute__((vector_size(32)));
CKERNELS_INLINE int ckernels_any_special_16_body(
  const void *bytes, size_t count, unsigned short unit) {
  ckernels_wide_halves seen = {0};
  for (size_t index = 0; index + 16 <= count; index += 16) {
    ckernels_wide_halves words;
    memcpy(&words, (const char *)bytes + index * 2, sizeof words);
    seen |= (words & 0x7FFF) + unit;
  }
  ckernels_words pairs;
  memcpy(&pairs, &seen, sizeof pairs);
  return ckernels_any_sign(pairs | pairs << 16);
}
CKERNELS_INLINE int ckernels_any_special_32_body(const void *bytes, size_t count) {
  ckernels_words seen = {0};
  for (size_t index = 0; index + 8 <= count; index += 8) {
    ckernels_words words;
    memcpy(&words, (const char *)bytes + index * 4, sizeof words);
    seen |= (words & 0x7FFFFFFF) + 0x00800000;
  }
  return ckernels_any_sign(seen);
}

// The sums of the products of `count` numbers, a multiple of 16, with two kinds of factors, the
// second one in the upper half.
CKERNELS_INLINE unsigned long long ckernels_join(const void *sums) {
  unsigned lanes[16], first = 0, second = 0;
  memcpy(lanes, sums, sizeof lanes);
  for (int lane = 0; lane < 8; lane++) first += lanes[lane], second += lanes[8 + lane];
  return (unsigned long long)second << 32 | first;
}
#if defined(__x86_64__)
CKERNELS_INLINE unsigned long long ckernels_products_body(
  const void *words, const short *factors, const short *others, size_t count) {
  __m128i sums[4] = {
    _mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
  for (size_t index = 0; index + 16 <= count; index += 16) {
    for (int half = 0; half < 2; half++) {
      size_t place = index + (size_t)half * 8;
      __m128i part = _mm_loadu_si128((const __m128i *)((const short *)words + place));
      __m128i first = _mm_madd_epi16(part, _mm_loadu_si128((const __m128i *)(factors + place)));
      __m128i second = _mm_madd_epi16(part, _mm_loadu_si128((const __m128i *)(others + place)));
      sums[half] = _mm_add_epi32(sums[half], first);
      sums[2 + half] = _mm_add_epi32(sums[2 + half], second);
    }
  }
  return ckernels_join(sums);
}
CKERNELS_WIDE unsigned long long ckernels_products_wide(
  const void *words, const short *factors, const short *others, size_t count) {
  __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  for (size_t index = 0; index + 16 <= count; index += 16) {
    __m256i part = _mm256_loadu_si256((const __m256i *)((const short *)words + index));
    __m256i first = _mm256_madd_epi16(part, _mm256_loadu_si256((const __m256i *)(factors + index)));
    __m256i second = _mm256_madd_epi16(part, _mm256_loadu_si256((const __m256i *)(others + index)));
    sums[0] = _mm256_add_epi32(sums[0], first);
    sums[1] = _mm256_add_epi32(sums[1], second);
  }
  return ckernels_join(sums);
}
CKERNELS_WIDE int ckernels_any_special_16_wide(
  const void *bytes, size_t count, unsigned short unit) {
  return ckernels_any_special_16_body(bytes, count, unit);
}
CKERNELS_WIDE int ckernels_any_special_32_wide(const void *bytes, size_t count) {
  return ckernels_any_special_32_body(bytes, count);
}
#else
CKERNELS_INLINE unsigned long long ckernels_products_body(
  const void *words, const short *factors, const short *others, size_t count) {
  unsigned sums[16] = {0};
  for (size_t index = 0; index < count; index++) {
    short word;
    memcpy(&word, (const char *)words + index * 2, sizeof word);
    sums[index % 8] += (unsigned)(word * factors[index]);
    sums[8 + index % 8] += (unsigned)(word * others[index]);
  }
  return ckernels_join(sums);
}
#endif
static inline int ckernels_any_special_16(
  unsigned features, const void *bytes, size_t count, unsigned short unit) {
  return CKERNELS_CHOOSE(ckernels_any_special_16, bytes, count, unit);
}
static inline int ckernels_any_special_32(unsigned features, const void *bytes, size_t count) {
  return CKERNELS_CHOOSE(ckernels_any_special_32, bytes, count);
}
static inline unsigned long long ckernels_products(
  unsigned features, const void *words, const short *factors, const short *others, size_t count) {
  return CKERNELS_CHOOSE(ckernels_products, words, factors, others, count);
}

// Statistics of one row of `count` binary32 numbers, column by column: `sum`, `square`, `low` and
// `high` are those of the rows before it, too. What is not finite counts as 0. Gives the sum of the
// row's squares, and adds to the counts of zeros and of what is not finite.
static inline float ckernels_row_statistics(const float *row, size_t count, float *sum,
  float *square, float *low, float *high, size_t *zeros, size_t *others) {
  ckernels_floats total = {0};
  ckernels_signed zero = {0}, other = {0};
  size_t index = 0;
  for (; index + 8 <= count; index += 8) {
    ckernels_words bits;
    memcpy(&bits, row + index, sizeof bits);
    ckernels_signed finite = (ckernels_signed)((bits & 0x7F800000u) != 0x7F800000u);
    bits &= (ckernels_words)finite;
    ckernels_floats value = (ckernels_floats)bits, s, q, l, h;
    zero -= (ckernels_signed)((bits & 0x7FFFFFFFu) == 0);
    other += finite + 1;
    memcpy(&s, sum + index, sizeof s), memcpy(&q, square + index, sizeof q);
    memcpy(&l, low + index, sizeof l), memcpy(&h, high + index, sizeof h);
    ckernels_floats product = value * value;
    s += value, q += product, total += product;
    l = (ckernels_floats)ckernels_choose((ckernels_signed)(value < l), bits, (ckernels_words)l);
    h = (ckernels_floats)ckernels_choose((ckernels_signed)(value > h), bits, (ckernels_words)h);
    memcpy(sum + index, &s, sizeof s), memcpy(square + index, &q, sizeof q);
    memcpy(low + index, &l, sizeof l), memcpy(high + index, &h, sizeof h);
  }
  float result = 0;
  for (int lane = 0; lane < 8; lane++)
    result += total[lane], *zeros += (size_t)zero[lane], *others += (size_t)other[lane];
  for (; index < count; index++) {
    unsigned bits;
    memcpy(&bits, row + index, sizeof bits);
    int isFinite = (bits & 0x7F800000u) != 0x7F800000u;
    float value = isFinite ? row[index] : 0;
    *zeros += value == 0, *others += !isFinite;
    sum[index] += value, square[index] += value * value, result += value * value;
    if (value < low[index]) low[index] = value;
    if (value > high[index]) high[index] = value;
  }
  // What is not finite was counted as a zero, too.
  return result;
}
