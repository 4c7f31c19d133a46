#pragma once
// The arithmetic of the forward pass: matrix products with weights in 16 or 32 bits, layer norms,
// attention and gelu, all in binary32.
//
// Every sum has one order, whatever the processor, the number of threads or of tokens: products
// with [in, out] weights add k ascending with one fused multiply-add each; dot products add in 16
// lanes, k modulo 16, and then in a tree. The same source is compiled for several targets, so that
// all of them give the same bits.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

typedef float ckforward_lanes __attribute__((vector_size(64)));
typedef int32_t ckforward_ints __attribute__((vector_size(64)));
typedef uint32_t ckforward_words __attribute__((vector_size(64)));
typedef uint16_t ckforward_shorts __attribute__((vector_size(32)));
typedef _Float16 ckforward_halves __attribute__((vector_size(32)));

// The formats of weights, in the order of their numbers in Swift.
enum ckforward_format { ckforward_f16, ckforward_bf16, ckforward_f32 };

#define CKFORWARD_UNROLL _Pragma("clang loop unroll(full)")

#if defined(__x86_64__)
#define CKFORWARD_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma,f16c,avx2")))
#define CKFORWARD_NAME(name) ckforward_##name##_512
#define CKFORWARD_HAS_HALVES 1
#define CKFORWARD_TOKENS 4
#define CKFORWARD_ROWS 6
#define CKFORWARD_COLUMNS 2
#include "forward_body.h"
#define CKFORWARD_TARGET __attribute__((target("avx2,fma,f16c")))
#define CKFORWARD_NAME(name) ckforward_##name##_256
#define CKFORWARD_HAS_HALVES 1
#define CKFORWARD_TOKENS 3
#define CKFORWARD_ROWS 2
#define CKFORWARD_COLUMNS 1
#include "forward_body.h"
#endif
// For any other processor: NEON where there is one, else single elements.
#define CKFORWARD_TARGET
#define CKFORWARD_NAME(name) ckforward_##name##_any
#if defined(__aarch64__)
#define CKFORWARD_HAS_HALVES 1
#else
#define CKFORWARD_HAS_HALVES 0
#endif
#define CKFORWARD_TOKENS 2
#define CKFORWARD_ROWS 2
#define CKFORWARD_COLUMNS 1
#include "forward_body.h"

// How wide the instructions may be.
enum ckforward_width { ckforward_any, ckforward_256, ckforward_512 };
static inline int ckforward_best_width(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    return ckforward_512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return ckforward_256;
#endif
  return ckforward_any;
}

#if defined(__x86_64__)
#define CKFORWARD_CHOOSE(name, ...)                                                                \
  (width == ckforward_512   ? ckforward_##name##_512(__VA_ARGS__)                                  \
   : width == ckforward_256 ? ckforward_##name##_256(__VA_ARGS__)                                  \
                            : ckforward_##name##_any(__VA_ARGS__))
#else
#define CKFORWARD_CHOOSE(name, ...) ((void)width, ckforward_##name##_any(__VA_ARGS__))
#endif

static inline void ckforward_conv(
  int width, int format, const float *x, long x_pitch, long tokens, const void *w, long columns,
  long inner, long first, long last, float *y, long y_pitch) {
  CKFORWARD_CHOOSE(
    conv, format, x, x_pitch, tokens, w, columns, inner, first, last, y, y_pitch);
}
static inline void ckforward_linear(
  int width, int format, const float *x, long x_pitch, long tokens, const void *w, long inner,
  long first, long last, float *y, long y_pitch) {
  CKFORWARD_CHOOSE(linear, format, x, x_pitch, tokens, w, inner, first, last, y, y_pitch);
}
static inline void ckforward_norm(
  int width, const float *x, const float *w, const float *b, long count, float epsilon, float *y) {
  CKFORWARD_CHOOSE(norm, x, w, b, count, epsilon, y);
}
static inline void ckforward_attend(
  int width, const float *q, const float *k, const float *v, long pitch, long count, long size,
  float scale, float *scores, float *out) {
  CKFORWARD_CHOOSE(attend, q, k, v, pitch, count, size, scale, scores, out);
}
static inline void ckforward_gelu_tanh(int width, float *x, long count) {
  CKFORWARD_CHOOSE(gelu_tanh, x, count);
}

// The exact form of gelu, in binary64: the series of the error function needs no other function,
// and beyond 4 the function is 1 to the last bit of binary32.
static inline void ckforward_gelu_erf(float *x, long count) {
#pragma STDC FP_CONTRACT OFF
  for (long index = 0; index < count; index++) {
    double z = (double)x[index] * 0.70710678118654752440;
    double erf = z > 0 ? 1 : -1;
    if (z > -4 && z < 4) {
      double square = z * z, term = z, sum = z;
      for (int n = 1; n < 80; n++) {
        term = -term * square / n;
        double next = sum + term / (2 * n + 1);
        if (next == sum && n > 2) break;
        sum = next;
      }
      erf = sum * 1.1283791670955125739;
    }
    x[index] = (float)((double)x[index] * 0.5 * (1 + erf));
  }
}
// y += x
static inline void ckforward_add(float *y, const float *x, long count) {
  for (long index = 0; index < count; index++) y[index] += x[index];
}
