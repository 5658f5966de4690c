/* Products of a few rows with a large matrix, as decoding makes them: as fast as memory gives the weights.

   Compiled by native.py on the machine that runs them, where it has a compiler. Threads are those of torch: its OpenMP
   library is loaded by then, and none is linked here. Matrices lie in panels of 64 output columns: that is how oneDNN lays
   out what it multiplies often on AVX-512, and so large batches can go on through oneDNN, over the same weights. */

#include <stdint.h>

#define WIDE 64 /* output columns of a panel */
#define MOST 6  /* rows that are multiplied at once */
#define INLINE static inline __attribute__((always_inline))

typedef float floats __attribute__((vector_size(64)));

INLINE long least(long one, long other) { return one < other ? one : other; }

/* 1. Floating point. x (rows, in), y (rows, out); weights: panels of (in, 64), `padded` numbers deep.

   Sums go on for `chunk` inputs, are added to what was summed before, and begin anew: oneDNN's order, to the last bit. */

INLINE void panel(const float *x, const floats *weights, floats *y, long in, long chunk, int rows)
{
    for (long begin = 0; begin < in; begin += chunk) {
        floats sums[MOST][4] = {0};
        long end = least(in, begin + chunk);
        for (long at = begin; at < end; at++, weights += 4)
            for (int row = 0; row < rows; row++)
                for (int part = 0; part < 4; part++)
                    sums[row][part] += weights[part] * x[row * in + at];
        for (int row = 0; row < rows; row++)
            for (int part = 0; part < 4; part++)
                y[row * 4 + part] = begin ? y[row * 4 + part] + sums[row][part] : sums[row][part];
    }
}

void multiply_fp32(const float *x, const float *weights, const float *bias, float *y, long rows, long in, long out,
                   long padded, long chunk)
{
#pragma omp parallel for schedule(static)
    for (long column = 0; column < out; column += WIDE) {
        const floats *from = (const floats *)(weights + column * padded);
        for (long first = 0; first < rows; first += MOST) {
            floats sums[MOST * 4];
            const float *own = x + first * in;
            long there = least(MOST, rows - first);
            switch (there) { /* each is compiled on its own, with its sums in registers */
            case 1: panel(own, from, sums, in, chunk, 1); break;
            case 2: panel(own, from, sums, in, chunk, 2); break;
            case 3: panel(own, from, sums, in, chunk, 3); break;
            case 4: panel(own, from, sums, in, chunk, 4); break;
            case 5: panel(own, from, sums, in, chunk, 5); break;
            default: panel(own, from, sums, in, chunk, 6);
            }
            for (long row = 0; row < there; row++)
                for (long at = 0; at < least(WIDE, out - column); at++) {
                    float sum = ((const float *)sums)[row * WIDE + at];
                    y[(first + row) * out + column + at] = bias ? sum + bias[column + at] : sum;
                }
        }
    }
}

/* 2. Integers, with the processor's instruction for four products at once. */

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#include <immintrin.h>

int has_integers(void) { return 1; }

INLINE float largest(const float *x, long in)
{
    __m512 most = _mm512_setzero_ps();
    long at = 0;
    for (; at + 16 <= in; at += 16)
        most = _mm512_max_ps(most, _mm512_abs_ps(_mm512_loadu_ps(x + at)));
    float found = _mm512_reduce_max_ps(most);
    for (; at < in; at++) {
        float size = x[at] < 0 ? -x[at] : x[at];
        found = size > found ? size : found;
    }
    return found;
}

/* x (in) -> round(x / step) + `zero` as bytes; returns the step, of which 127 reach to the largest. */
INLINE float rounded(const float *x, uint8_t *bytes, long in, float zero)
{
    float step = largest(x, in) * (1.0f / 127), shift = zero + 0.5f;
    if (step == 0) {
        for (long at = 0; at < in; at++)
            bytes[at] = (uint8_t)zero;
        return 0;
    }
    long at = 0;
    for (; at + 16 <= in; at += 16) {
        __m512 scaled = _mm512_add_ps(_mm512_div_ps(_mm512_loadu_ps(x + at), _mm512_set1_ps(step)), _mm512_set1_ps(shift));
        _mm_storeu_si128((__m128i *)(bytes + at), _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(scaled)));
    }
    for (; at < in; at++)
        bytes[at] = (uint8_t)(int)(x[at] / step + shift);
    return step;
}

INLINE __m512i four(const uint8_t *bytes)
{
    int32_t same;
    __builtin_memcpy(&same, bytes, 4);
    return _mm512_set1_epi32(same);
}

/* Weights: panels of (padded / 4, 64, 4) int8. sums: of each output's weights, 128 times: x is kept as 0 to 255. */

INLINE void panel_int8(const uint8_t *x, const __m512i *weights, const int32_t *sums, const float *scales, const float *steps,
                       const float *bias, float *y, long padded, long out, long wide, int rows)
{
    __m512i products[4][4];
    for (int row = 0; row < rows; row++)
        for (int part = 0; part < 4; part++)
            products[row][part] = _mm512_setzero_si512();
    for (long at = 0; at < padded; at += 4, weights += 4)
        for (int row = 0; row < rows; row++) {
            __m512i same = four(x + row * padded + at);
            for (int part = 0; part < 4; part++)
                products[row][part] = _mm512_dpbusd_epi32(products[row][part], same, weights[part]);
        }
    for (int row = 0; row < rows; row++)
        for (long part = 0; part * 16 < wide; part++) {
            __mmask16 there = wide - part * 16 >= 16 ? 0xffff : (__mmask16)((1 << (wide - part * 16)) - 1);
            __m512i exact = _mm512_sub_epi32(products[row][part], _mm512_maskz_loadu_epi32(there, sums + part * 16));
            __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(exact), _mm512_maskz_loadu_ps(there, scales + part * 16));
            scaled = _mm512_mul_ps(scaled, _mm512_set1_ps(steps[row]));
            if (bias)
                scaled = _mm512_add_ps(scaled, _mm512_maskz_loadu_ps(there, bias + part * 16));
            _mm512_mask_storeu_ps(y + row * out + part * 16, there, scaled);
        }
}

/* `bytes`: room for rows * padded, `steps`: for rows. */
void multiply_int8(const float *x, const int8_t *weights, const int32_t *sums, const float *scales, const float *bias, float *y,
                   uint8_t *bytes, float *steps, long rows, long in, long out, long padded)
{
#pragma omp parallel for schedule(static) if (rows > 4)
    for (long row = 0; row < rows; row++)
        steps[row] = rounded(x + row * in, bytes + row * padded, in, 128);
#pragma omp parallel for schedule(static)
    for (long column = 0; column < out; column += WIDE)
        for (long row = 0; row < rows; row += 4) {
            const __m512i *from = (const __m512i *)(weights + column * padded);
            const float *added = bias ? bias + column : 0;
            float *to = y + row * out + column;
            long wide = least(WIDE, out - column);
#define PANEL(rows) panel_int8(bytes + row * padded, from, sums + column, scales + column, steps + row, added, to, padded, out, wide, rows)
            switch (least(4, rows - row)) {
            case 1: PANEL(1); break;
            case 2: PANEL(2); break;
            case 3: PANEL(3); break;
            default: PANEL(4);
            }
#undef PANEL
        }
}

/* Weights: panels of (in / 32) groups. A group: 64 scales and 64 offsets as fp16; then (4, 64, 4) bytes, of which the lower
   half holds the first four of eight inputs' numbers, the upper half the others. A weight is (number - 8) * scale + offset.
   Inputs are rounded to bytes too, 32 by 32. */

#define GROUP 32

typedef struct {
    _Float16 scales[WIDE], offsets[WIDE];
    uint8_t numbers[4][4][64];
} Group;

typedef struct {
    float step, sum; /* sum: of the group's bytes, times step */
    int32_t eight; /* times their sum */
} Rounded;

INLINE void panel_int4(const uint8_t *x, const Rounded *about, const Group *weights, __m512 *y, long in, int rows)
{
    for (int place = 0; place < rows * 4; place++)
        y[place] = _mm512_setzero_ps();
    for (long group = 0; group < in / GROUP; group++, weights++) {
        __m512i products[4][4];
        for (int row = 0; row < rows; row++)
            for (int part = 0; part < 4; part++)
                products[row][part] = _mm512_setzero_si512();
        for (int eight = 0; eight < 4; eight++)
            for (int part = 0; part < 4; part++) {
                __m512i both = _mm512_loadu_si512(weights->numbers[eight][part]), mask = _mm512_set1_epi8(15);
                __m512i first = _mm512_and_si512(both, mask), second = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
                for (int row = 0; row < rows; row++) {
                    const uint8_t *own = x + row * in + group * GROUP + eight * 8;
                    products[row][part] = _mm512_dpbusd_epi32(products[row][part], first, four(own));
                    products[row][part] = _mm512_dpbusd_epi32(products[row][part], second, four(own + 4));
                }
            }
        for (int part = 0; part < 4; part++) {
            __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(weights->scales + part * 16)));
            __m512 offset = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(weights->offsets + part * 16)));
            for (int row = 0; row < rows; row++) {
                const Rounded *own = about + row * (in / GROUP) + group;
                __m512i exact = _mm512_sub_epi32(products[row][part], _mm512_set1_epi32(own->eight));
                __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(exact), _mm512_set1_ps(own->step));
                y[row * 4 + part] = _mm512_fmadd_ps(scaled, scale, y[row * 4 + part]);
                y[row * 4 + part] = _mm512_fmadd_ps(_mm512_set1_ps(own->sum), offset, y[row * 4 + part]);
            }
        }
    }
}

/* Any number of rows. `bytes`: room for rows * in; `about`: for rows * in / 32. */
void multiply_int4(const float *x, const Group *weights, const float *bias, float *y, uint8_t *bytes, Rounded *about, long rows,
                   long in, long out)
{
    long groups = in / GROUP;
#pragma omp parallel for schedule(static) if (rows > 4)
    for (long group = 0; group < rows * groups; group++) {
        int sum = 0;
        float step = rounded(x + group * GROUP, bytes + group * GROUP, GROUP, 128);
        for (int at = 0; at < GROUP; at++)
            sum += (int8_t)(bytes[group * GROUP + at] ^= 128);
        about[group] = (Rounded){step, step * (float)sum, 8 * sum};
    }
#pragma omp parallel for schedule(static)
    for (long column = 0; column < out; column += WIDE)
        for (long row = 0; row < rows; row += 4) {
            __m512 sums[16];
            const Group *from = weights + column / WIDE * groups;
            const uint8_t *own = bytes + row * in;
            const Rounded *steps = about + row * groups;
            long there = least(4, rows - row);
            switch (there) {
            case 1: panel_int4(own, steps, from, sums, in, 1); break;
            case 2: panel_int4(own, steps, from, sums, in, 2); break;
            case 3: panel_int4(own, steps, from, sums, in, 3); break;
            default: panel_int4(own, steps, from, sums, in, 4);
            }
            for (long one = 0; one < there; one++)
                for (long at = 0; at < least(WIDE, out - column); at++) {
                    float sum = ((const float *)sums)[one * WIDE + at];
                    y[(row + one) * out + column + at] = bias ? sum + bias[column + at] : sum;
                }
        }
}

#else

int has_integers(void) { return 0; }

#endif
