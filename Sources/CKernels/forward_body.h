// The functions of forward.h for one target; see there.
#define LANES ckforward_lanes
#define INLINE CKFORWARD_TARGET static inline __attribute__((always_inline))
#define UNROLL CKFORWARD_UNROLL
#define NAME CKFORWARD_NAME
#define FMA __builtin_elementwise_fma

INLINE void NAME(load)(const float *from, LANES *to) { memcpy(to, from, 64); }
INLINE void NAME(store)(float *to, const LANES *from) { memcpy(to, from, 64); }

// 16 weights as binary32; `count` of them where fewer are left, the others zero.
INLINE void NAME(weights)(const char *from, int format, long count, LANES *to) {
  if (format == ckforward_f32) {
    LANES values = {0};
    if (count >= 16) memcpy(&values, from, 64);
    else memcpy(&values, from, (size_t)count * 4);
    *to = values;
    return;
  }
  ckforward_shorts bits = {0};
  if (count >= 16) memcpy(&bits, from, 32);
  else memcpy(&bits, from, (size_t)count * 2);
  if (format == ckforward_bf16) {
    ckforward_words words = __builtin_convertvector(bits, ckforward_words) << 16;
    memcpy(to, &words, 64);
    return;
  }
#if CKFORWARD_HAS_HALVES
  ckforward_halves halves;
  memcpy(&halves, &bits, 32);
  *to = __builtin_convertvector(halves, LANES);
#else
  // Finite halves: the exponent is put right by a multiplication.
  ckforward_words words = __builtin_convertvector(bits, ckforward_words);
  words = ((words & 0x7FFF) << 13) | ((words & 0x8000) << 16);
  LANES values;
  memcpy(&values, &words, 64);
  *to = values * 0x1p112f;
#endif
}

// The sum of 16 lanes.
INLINE float NAME(tree)(const LANES *lanes) {
  float t[16], s[8], u[4];
  memcpy(t, lanes, 64);
  UNROLL for (int i = 0; i < 8; i++) s[i] = t[i] + t[i + 8];
  UNROLL for (int i = 0; i < 4; i++) u[i] = s[i] + s[i + 4];
  return (u[0] + u[2]) + (u[1] + u[3]);
}
INLINE void NAME(spread)(float value, LANES *to) {
  LANES one = {value};
  *to = __builtin_shufflevector(one, one, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}

// y += x · W for W of [inner, columns], 16 columns, and `rows` of W at most 8.
INLINE void NAME(conv_block)(
  const float *x, long x_pitch, long tokens, int format, const char *w, long stride, long rows,
  long count, float *y, long y_pitch) {
  LANES block[8], sum, input;
  for (long j = 0; j < rows; j++) NAME(weights)(w + j * stride, format, count, &block[j]);
  for (long t = 0; t < tokens; t++) {
    NAME(load)(y + t * y_pitch, &sum);
    for (long j = 0; j < rows; j++) {
      NAME(spread)(x[t * x_pitch + j], &input);
      sum = FMA(input, block[j], sum);
    }
    if (count >= 16) NAME(store)(y + t * y_pitch, &sum);
    else memcpy(y + t * y_pitch, &sum, (size_t)count * 4);
  }
}
// The same for one token: 8 rows of W are read along, a kibibyte ahead.
INLINE void NAME(conv_token)(
  int format, const float *x, const char *w, long columns, long inner, long first, long last,
  float *y) {
  long size = format == ckforward_f32 ? 4 : 2, stride = columns * size, k = 0;
  for (; k + 8 <= inner; k += 8) {
    const char *rows = w + k * stride;
    LANES inputs[8];
    UNROLL for (int j = 0; j < 8; j++) NAME(spread)(x[k + j], &inputs[j]);
    long n = first;
    for (; n + 32 <= last; n += 32) {
      LANES sums[2];
      UNROLL for (int i = 0; i < 2; i++) NAME(load)(y + n + 16 * i, &sums[i]);
      // At the end of the columns, the next 8 rows follow.
      long next = n + 1024 / size;
      const char *ahead =
        next < last ? rows + next * size : rows + 8 * stride + (first + next - last) * size;
      UNROLL for (int j = 0; j < 8; j++) {
        __builtin_prefetch(ahead + j * stride);
        UNROLL for (int i = 0; i < 2; i++) {
          LANES weights;
          NAME(weights)(rows + j * stride + (n + 16 * i) * size, format, 16, &weights);
          sums[i] = FMA(inputs[j], weights, sums[i]);
        }
      }
      UNROLL for (int i = 0; i < 2; i++) NAME(store)(y + n + 16 * i, &sums[i]);
    }
    for (; n < last; n += 16)
      NAME(conv_block)(
        x + k, 0, 1, format, rows + n * size, stride, 8, last - n, y + n, 0);
  }
  for (long n = first; k < inner && n < last; n += 16)
    NAME(conv_block)(
      x + k, 0, 1, format, w + k * stride + n * size, stride, inner - k, last - n, y + n, 0);
}
// The same for some tokens: a block of 8 rows stays in registers for all of them, and the strip of
// columns in the nearest cache.
INLINE void NAME(conv_columns)(
  int format, const float *x, long x_pitch, long tokens, const char *w, long columns, long inner,
  long first, long last, float *y, long y_pitch) {
  long size = format == ckforward_f32 ? 4 : 2, stride = columns * size;
  long strip = tokens <= 8 ? 512 : tokens <= 16 ? 256 : 128;
  for (long begin = first; begin < last; begin += strip) {
    long end = begin + strip < last ? begin + strip : last, k = 0;
    for (; k + 8 <= inner; k += 8) {
      long n = begin;
      for (; n + 16 * CKFORWARD_COLUMNS <= end; n += 16 * CKFORWARD_COLUMNS) {
        const char *rows = w + k * stride + n * size;
        LANES block[8][CKFORWARD_COLUMNS];
        UNROLL for (int j = 0; j < 8; j++) {
          __builtin_prefetch(rows + (8 + j) * stride);
          UNROLL for (int i = 0; i < CKFORWARD_COLUMNS; i++) NAME(weights)(
            rows + j * stride + 16 * i * size, format, 16, &block[j][i]);
        }
        for (long t = 0; t < tokens; t++) {
          const float *inputs = x + t * x_pitch + k;
          float *target = y + t * y_pitch + n;
          LANES sums[CKFORWARD_COLUMNS], input;
          UNROLL for (int i = 0; i < CKFORWARD_COLUMNS; i++) NAME(load)(target + 16 * i, &sums[i]);
          UNROLL for (int j = 0; j < 8; j++) {
            NAME(spread)(inputs[j], &input);
            UNROLL for (int i = 0; i < CKFORWARD_COLUMNS; i++) sums[i] =
              FMA(input, block[j][i], sums[i]);
          }
          UNROLL for (int i = 0; i < CKFORWARD_COLUMNS; i++) NAME(store)(target + 16 * i, &sums[i]);
        }
      }
      for (; n < end; n += 16)
        NAME(conv_block)(
          x + k, x_pitch, tokens, format, w + k * stride + n * size, stride, 8, end - n, y + n,
          y_pitch);
    }
    for (long n = begin; k < inner && n < end; n += 16)
      NAME(conv_block)(
        x + k, x_pitch, tokens, format, w + k * stride + n * size, stride, inner - k, end - n,
        y + n, y_pitch);
  }
}
CKFORWARD_TARGET static inline void NAME(conv)(
  int format, const float *x, long x_pitch, long tokens, const void *w, long columns, long inner,
  long first, long last, float *y, long y_pitch) {
#define CALL(format)                                                                               \
  {                                                                                                \
    if (tokens == 1)                                                                               \
      NAME(conv_token)(format, x, (const char *)w, columns, inner, first, last, y);                \
    else                                                                                           \
      NAME(conv_columns)(                                                                          \
        format, x, x_pitch, tokens, (const char *)w, columns, inner, first, last, y, y_pitch);     \
  }
  if (format == ckforward_f16) CALL(ckforward_f16)
  else if (format == ckforward_bf16) CALL(ckforward_bf16)
  else CALL(ckforward_f32)
#undef CALL
}

// Dot products of some tokens with some rows of weights: `count` numbers of each, and the whole.
#define STEP(T, N, count)                                                                          \
  {                                                                                                \
    LANES rows[N];                                                                                 \
    UNROLL for (int j = 0; j < N; j++) {                                                           \
      const char *row = w + ((n + j) * inner + k) * size;                                          \
      if (T == 1) __builtin_prefetch(row + 8192);                                                  \
      NAME(weights)(row, format, count, &rows[j]);                                                 \
    }                                                                                              \
    UNROLL for (int i = 0; i < T; i++) {                                                           \
      LANES input;                                                                                 \
      NAME(load)(x + (t + i) * x_pitch + k, &input);                                               \
      UNROLL for (int j = 0; j < N; j++) sums[i][j] = FMA(input, rows[j], sums[i][j]);             \
    }                                                                                              \
  }
#define TILE(T, N)                                                                                 \
  {                                                                                                \
    LANES sums[T][N];                                                                              \
    UNROLL for (int i = 0; i < T; i++) UNROLL for (int j = 0; j < N; j++) sums[i][j] = (LANES){0}; \
    long k = 0;                                                                                    \
    for (; k + 16 <= inner; k += 16) STEP(T, N, 16)                                                \
    if (k < inner) STEP(T, N, inner - k)                                                           \
    UNROLL for (int i = 0; i < T; i++) UNROLL for (int j = 0; j < N; j++)                          \
      y[(t + i) * y_pitch + n + j] += NAME(tree)(&sums[i][j]);                                     \
  }
// y += x · Wᵀ for W of [rows, inner]. Rows of x are zero from `inner` to a multiple of 16.
INLINE void NAME(linear_rows)(
  int format, const float *x, long x_pitch, long tokens, const char *w, long inner, long first,
  long last, float *y, long y_pitch) {
  long size = format == ckforward_f32 ? 4 : 2;
  long n = first;
  if (tokens > 1) {
    for (; n + CKFORWARD_ROWS <= last; n += CKFORWARD_ROWS) {
      long t = 0;
      for (; t + CKFORWARD_TOKENS <= tokens; t += CKFORWARD_TOKENS)
        TILE(CKFORWARD_TOKENS, CKFORWARD_ROWS)
      for (; t < tokens; t++) TILE(1, CKFORWARD_ROWS)
    }
  }
  for (; n < last; n++) {
    for (long t = 0; t < tokens; t++) TILE(1, 1)
  }
}
#undef TILE
#undef STEP
CKFORWARD_TARGET static inline void NAME(linear)(
  int format, const float *x, long x_pitch, long tokens, const void *w, long inner, long first,
  long last, float *y, long y_pitch) {
#define CALL(format)                                                                               \
  NAME(linear_rows)(format, x, x_pitch, tokens, (const char *)w, inner, first, last, y, y_pitch)
  if (format == ckforward_f16) CALL(ckforward_f16);
  else if (format == ckforward_bf16) CALL(ckforward_bf16);
  else CALL(ckforward_f32);
#undef CALL
}

// Layer norm of a row, whose rest up to a multiple of 16 is zero.
CKFORWARD_TARGET static inline void NAME(norm)(
  const float *x, const float *w, const float *b, long count, float epsilon, float *y) {
  LANES values, sum = {0}, squares = {0}, mean, factor;
  for (long i = 0; i < count; i += 16) {
    NAME(load)(x + i, &values);
    sum = sum + values;
  }
  NAME(spread)(NAME(tree)(&sum) / (float)count, &mean);
  for (long i = 0; i < count; i += 16) {
    NAME(load)(x + i, &values);
    LANES distance = values - mean;
    for (long j = count - i; j < 16; j++) distance[j] = 0;
    squares = FMA(distance, distance, squares);
  }
  float variance = NAME(tree)(&squares) / (float)count;
  NAME(spread)(1.0f / __builtin_sqrtf(variance + epsilon), &factor);
  for (long i = 0; i < count; i += 16) {
    LANES weight, bias;
    NAME(load)(x + i, &values);
    NAME(load)(w + i, &weight);
    NAME(load)(b + i, &bias);
    LANES result = FMA((values - mean) * factor, weight, bias);
    for (long j = count - i; j < 16; j++) result[j] = 0;
    NAME(store)(y + i, &result);
  }
}

// e to the power of each lane, to 2 units in the last place (Cephes `expf`).
INLINE void NAME(exp)(LANES *x) {
  LANES value = *x, lower, upper, z;
  NAME(spread)(-87.3f, &lower);
  NAME(spread)(88.3f, &upper);
  value = __builtin_elementwise_max(__builtin_elementwise_min(value, upper), lower);
  z = __builtin_elementwise_roundeven(value * 1.44269504088896341f);
  LANES c;
  NAME(spread)(-0.693359375f, &c);
  value = FMA(z, c, value);
  NAME(spread)(2.12194440e-4f, &c);
  value = FMA(z, c, value);
  static const float factors[] = {
    1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f,
    5.0000001201e-1f,
  };
  LANES y;
  NAME(spread)(factors[0], &y);
  UNROLL for (int i = 1; i < 6; i++) {
    NAME(spread)(factors[i], &c);
    y = FMA(y, value, c);
  }
  y = FMA(y, value * value, value + 1.0f);
  ckforward_ints power = (__builtin_convertvector(z, ckforward_ints) + 127) << 23;
  LANES scale;
  memcpy(&scale, &power, 64);
  *x = y * scale;
}

// The attention of one query of one head to `count` keys, each `size` numbers, a multiple of 16.
CKFORWARD_TARGET static inline void NAME(attend)(
  const float *q, const float *k, const float *v, long pitch, long count, long size, float scale,
  float *scores, float *out) {
  float top = -__builtin_inff();
  for (long j = 0; j < count; j++) {
    LANES sum = {0}, a, b;
    for (long d = 0; d < size; d += 16) {
      NAME(load)(q + d, &a);
      NAME(load)(k + j * pitch + d, &b);
      sum = FMA(a, b, sum);
    }
    scores[j] = NAME(tree)(&sum) * scale;
    if (scores[j] > top) top = scores[j];
  }
  LANES total = {0}, most;
  NAME(spread)(top, &most);
  for (long j = 0; j < count; j += 16) {
    LANES value = {0};
    long rest = count - j < 16 ? count - j : 16;
    memcpy(&value, scores + j, (size_t)rest * 4);
    value = value - most;
    NAME(exp)(&value);
    for (long i = rest; i < 16; i++) value[i] = 0;
    memcpy(scores + j, &value, (size_t)rest * 4);
    total = total + value;
  }
  float inverse = 1.0f / NAME(tree)(&total);
  for (long d = 0; d < size; d += 16) {
    LANES sum = {0}, weight, b;
    for (long j = 0; j < count; j++) {
      NAME(spread)(scores[j], &weight);
      NAME(load)(v + j * pitch + d, &b);
      sum = FMA(weight, b, sum);
    }
    sum = sum * inverse;
    NAME(store)(out + d, &sum);
  }
}

// gelu with tanh, in Megatron's form, of a row whose rest up to a multiple of 16 may be changed.
CKFORWARD_TARGET static inline void NAME(gelu_tanh)(float *x, long count) {
  for (long i = 0; i < count; i += 16) {
    LANES value, one, cube;
    NAME(load)(x + i, &value);
    NAME(spread)(1.0f, &one);
    cube = value * 0.044715f;
    LANES u = (value * 0.79788456f) * FMA(cube, value, one);
    LANES e = u + u;
    NAME(exp)(&e);
    // tanh(u) is 1 - 2 / (e + 1).
    LANES t = one - (one + one) / (e + one);
    LANES result = (value * 0.5f) * (one + t);
    NAME(store)(x + i, &result);
  }
}
#undef LANES
#undef INLINE
#undef UNROLL
#undef NAME
#undef FMA
#undef CKFORWARD_TARGET
#undef CKFORWARD_NAME
#undef CKFORWARD_HAS_HALVES
#undef CKFORWARD_TOKENS
#undef CKFORWARD_ROWS
#undef CKFORWARD_COLUMNS
