/* What lies between the products of image networks, in one pass over memory each; fp32, or bfloat16 with sums in fp32.

   A number's result does not depend on how rows, or parts of them, are divided between threads. */

#include "vectors.h"
#include <omp.h>

#define PART 64 /* places that are summed together */

/* Sums and sums of squares of each channel over some places. x (places, channels); sums (2, channels). */
INLINE void add_up(const void *x, float *sums, long places, long channels, int narrow)
{
    for (long first = 0; first < channels; first += 64) {
        __m512 sum[4] = {0}, squares[4] = {0};
        __mmask16 there[4];
        for (int part = 0; part < 4; part++)
            there[part] = first + part * 16 < channels ? some_of(channels - first - part * 16) : 0;
        for (long place = 0; place < places; place++)
            for (int part = 0; part < 4; part++) {
                __m512 some = load(x, place * channels + first + part * 16, there[part], narrow);
                sum[part] = _mm512_add_ps(sum[part], some);
                squares[part] = _mm512_fmadd_ps(some, some, squares[part]);
            }
        for (int part = 0; part < 4; part++) {
            _mm512_mask_storeu_ps(sums + first + part * 16, there[part], sum[part]);
            _mm512_mask_storeu_ps(sums + channels + first + part * 16, there[part], squares[part]);
        }
    }
}

INLINE float number(const void *x, long at, int narrow)
{
    if (!narrow)
        return ((const float *)x)[at];
    union { uint32_t bits; float number; } one = {(uint32_t)((const uint16_t *)x)[at] << 16};
    return one.number;
}

/* How each channel of a row is changed: by a factor, and what is added. sums (parts, 2, channels); changes (2, channels). */
INLINE void change_of(const void *weight, const void *bias, const void *added, const void *scale, const void *shift,
                      const float *sums, float *changes, long parts, long places, long channels, long groups, double eps, int narrow)
{
    long each = channels / groups;
    for (long group = 0; group < groups; group++) {
        double total = 0, squares = 0;
        for (long one = group * each; one < (group + 1) * each; one++) {
            double sum = 0, square = 0, more = added ? number(added, one, narrow) : 0;
            for (long part = 0; part < parts; part++) {
                sum += sums[part * 2 * channels + one];
                square += sums[(part * 2 + 1) * channels + one];
            }
            total += sum + (double)places * more;
            squares += square + 2 * more * sum + (double)places * more * more;
        }
        double mean = total / (double)(each * places), variance = squares / (double)(each * places) - mean * mean;
        double factor = 1 / __builtin_sqrt((variance < 0 ? 0 : variance) + eps);
        for (long one = group * each; one < (group + 1) * each; one++) {
            double by = factor * number(weight, one, narrow), more = added ? number(added, one, narrow) : 0;
            double plus = number(bias, one, narrow) + (more - mean) * by;
            if (scale) {
                double times = 1 + number(scale, one, narrow);
                by *= times;
                plus = plus * times + number(shift, one, narrow);
            }
            changes[one] = (float)by;
            changes[channels + one] = (float)plus;
        }
    }
}

INLINE void change(const void *x, const float *changes, void *y, long places, long channels, long silu, int narrow)
{
    const __m512 one = _mm512_set1_ps(1);
    for (long at = 0; at < places * channels; at += channels)
        for (long first = 0; first < channels; first += 16) {
            __mmask16 there = some_of(channels - first);
            __m512 by = _mm512_maskz_loadu_ps(there, changes + first), plus = _mm512_maskz_loadu_ps(there, changes + channels + first);
            __m512 some = _mm512_fmadd_ps(load(x, at + first, there, narrow), by, plus);
            store(y, at + first, there, silu ? gated_by_itself(some, one, narrow) : some, narrow);
        }
}

INLINE void norm_all(const char *x, const char *weight, const char *bias, const char *added, const char *scale, const char *shift,
                     char *y, float *room, long rows, long places, long channels, long groups, long step, long silu, long threads,
                     double eps, int narrow)
{
    long parts = (places + PART - 1) / PART, bytes = narrow ? 2 : 4, each = (parts + 1) * 2 * channels;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (long one = 0; one < rows * parts; one++) {
            long row = one / parts, part = one % parts;
            add_up(x + (row * places + part * PART) * channels * bytes, room + row * each + part * 2 * channels,
                   least(PART, places - part * PART), channels, narrow);
        }
#pragma omp for schedule(static)
        for (long row = 0; row < rows; row++) {
            long own = row * step * bytes;
            change_of(weight, bias, added ? added + own : 0, scale ? scale + own : 0, shift ? shift + own : 0, room + row * each,
                      room + row * each + parts * 2 * channels, parts, places, channels, groups, eps, narrow);
        }
#pragma omp for schedule(static)
        for (long one = 0; one < rows * parts; one++) {
            long row = one / parts, part = one % parts, at = (row * places + part * PART) * channels * bytes;
            change(x + at, room + row * each + parts * 2 * channels, y + at, least(PART, places - part * PART), channels, silu, narrow);
        }
    }
}

/* Group norm (Wu and He 2018), and a SiLU behind it. x, y (rows, places, channels); weight, bias (channels); of each row, `step`
   numbers apart, or 0: added (channels) to x first; scale, shift (channels): the norm's result times 1 + scale, plus shift.
   room: (rows, parts + 1, 2, channels), a part for each begun 64 places. */
void group_norm(const void *x, const void *weight, const void *bias, const void *added, const void *scale, const void *shift,
                void *y, float *room, long rows, long places, long channels, long groups, long step, long silu, long narrow,
                long threads, double eps)
{
    if (narrow)
        norm_all(x, weight, bias, added, scale, shift, y, room, rows, places, channels, groups, step, silu, threads, eps, 1);
    else
        norm_all(x, weight, bias, added, scale, shift, y, room, rows, places, channels, groups, step, silu, threads, eps, 0);
}

/* x times the share of a normal distribution below it; absolute error of the share 1e-7: Abramowitz and Stegun 1964, 7.1.26. */
INLINE __m512 gelu(__m512 x, int narrow)
{
    const float terms[] = {1.061405429f, -1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f};
    __m512 size = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.70710678f));
    __m512 t = inverse(_mm512_fmadd_ps(size, _mm512_set1_ps(0.3275911f), _mm512_set1_ps(1)), narrow), sum = _mm512_set1_ps(terms[0]);
    for (int term = 1; term < 5; term++)
        sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(terms[term]));
    __m512 tail = power(_mm512_mul_ps(_mm512_mul_ps(size, size), _mm512_set1_ps(-BASE)), narrow);
    tail = _mm512_mul_ps(_mm512_mul_ps(sum, t), _mm512_mul_ps(tail, _mm512_set1_ps(0.5f))); /* the share beyond |x| */
    __mmask16 below = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
    return _mm512_mul_ps(x, _mm512_mask_mov_ps(_mm512_sub_ps(_mm512_set1_ps(1), tail), below, tail));
}

INLINE void gate_all(const char *x, char *y, long rows, long width, long threads, int narrow)
{
    long bytes = narrow ? 2 : 4;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long row = 0; row < rows; row++) {
        const char *own = x + row * 2 * width * bytes;
        for (long at = 0; at < width; at += 16) {
            __mmask16 there = some_of(width - at);
            __m512 gate = load(own + width * bytes, at, there, narrow);
            store(y + row * width * bytes, at, there, _mm512_mul_ps(load(own, at, there, narrow), gelu(gate, narrow)), narrow);
        }
    }
}

/* x (rows, 2 width), values and then their gates -> y (rows, width), values times the GELU of the gates: GEGLU, Shazeer 2020. */
void gated_gelu(const void *x, void *y, long rows, long width, long narrow, long threads)
{
    if (narrow)
        gate_all(x, y, rows, width, threads, 1);
    else
        gate_all(x, y, rows, width, threads, 0);
}

INLINE void tanh_all(const char *x, char *y, long count, long threads, int narrow)
{
    const __m512 one = _mm512_set1_ps(1), cube = _mm512_set1_ps(0.044715f), by = _mm512_set1_ps(1.5957691216f); /* 2 sqrt(2 / pi) */
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long at = 0; at < count; at += 16) {
        __mmask16 there = some_of(count - at);
        __m512 some = load(x, at, there, narrow);
        __m512 bent = _mm512_mul_ps(by, _mm512_fmadd_ps(_mm512_mul_ps(some, some), cube, one));
        store(y, at, there, gated_by_itself(some, bent, narrow), narrow);
    }
}

/* GELU by tanh (Hendrycks and Gimpel 2016), as a sigmoid of twice its argument. */
void gelu_by_tanh(const void *x, void *y, long count, long narrow, long threads)
{
    if (narrow)
        tanh_all(x, y, count, threads, 1);
    else
        tanh_all(x, y, count, threads, 0);
}
