/* What lies between products, of one row each. Included where it is used, so that it is compiled into its place. */

#ifndef ROWS_H
#define ROWS_H

#include "forward.h"
#include "wide.h"

#define INLINE static inline __attribute__((always_inline))

INLINE long least(long one, long other) { return one < other ? one : other; }

/* The first `left` of 16. */
INLINE __mmask16 some_of(long left) { return left < 16 ? (__mmask16)((1 << left) - 1) : 0xffff; }

INLINE void norm_row(const float *x, const float *weight, float *y, long width, double eps)
{
    __m512 squares[4] = {0};
    for (long at = 0; at < width; at += 16) {
        __m512 some = _mm512_loadu_ps(x + at);
        squares[at / 16 % 4] = _mm512_fmadd_ps(some, some, squares[at / 16 % 4]);
    }
    __m512 all = _mm512_add_ps(_mm512_add_ps(squares[0], squares[1]), _mm512_add_ps(squares[2], squares[3]));
    float mean = _mm512_reduce_add_ps(all) / (float)width + (float)eps;
    __m512 scale = _mm512_set1_ps(1.0f / __builtin_sqrtf(mean));
    for (long at = 0; at < width; at += 16)
        _mm512_storeu_ps(y + at, _mm512_mul_ps(_mm512_mul_ps(_mm512_loadu_ps(x + at), scale), _mm512_loadu_ps(weight + at)));
}

/* exp(x) for x <= 0, relative error 1e-7, as 2^n times a polynomial of the remainder; NaN propagates. */
INLINE __m512 exponential(__m512 x)
{
    x = _mm512_max_ps(_mm512_set1_ps(-87), x); /* gives its second operand where one is NaN */
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8);
    __m512 left = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    left = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), left);
    const float terms[] = {1 / 5040.0f, 1 / 720.0f, 1 / 120.0f, 1 / 24.0f, 1 / 6.0f, 0.5f, 1, 1};
    __m512 sum = _mm512_set1_ps(terms[0]);
    for (int term = 1; term < 8; term++)
        sum = _mm512_fmadd_ps(sum, left, _mm512_set1_ps(terms[term]));
    return _mm512_scalef_ps(sum, n);
}

INLINE void gate_row(const float *gates, const float *ups, float *y, long width)
{
    for (long at = 0; at < width; at += 16) {
        __m512 gate = _mm512_loadu_ps(gates + at), one = _mm512_set1_ps(1);
        __m512 small = exponential(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_abs_ps(gate))); /* e^-|gate| */
        __mmask16 below = _mm512_cmp_ps_mask(gate, _mm512_setzero_ps(), _CMP_LT_OQ);
        __m512 sigmoid = _mm512_div_ps(_mm512_mask_mov_ps(one, below, small), _mm512_add_ps(one, small));
        _mm512_storeu_ps(y + at, _mm512_mul_ps(_mm512_mul_ps(gate, sigmoid), _mm512_loadu_ps(ups + at)));
    }
}

/* Where the largest number lies first, and itself; NaN where one is NaN. */
INLINE long largest_of(const float *x, long width, float *largest)
{
    __m512 least = _mm512_set1_ps(-__builtin_inff()), most = least;
    __mmask16 wrong = 0;
    for (long at = 0; at < width; at += 16) {
        __m512 some = _mm512_mask_loadu_ps(least, some_of(width - at), x + at);
        wrong |= _mm512_cmp_ps_mask(some, some, _CMP_UNORD_Q);
        most = _mm512_max_ps(most, some);
    }
    *largest = wrong ? __builtin_nanf("") : _mm512_reduce_max_ps(most);
    for (long at = 0; !wrong && at < width; at += 16) {
        __m512 some = _mm512_mask_loadu_ps(least, some_of(width - at), x + at);
        __mmask16 found = _mm512_cmp_ps_mask(some, _mm512_set1_ps(*largest), _CMP_EQ_OQ);
        if (found)
            return at + __builtin_ctz(found);
    }
    return 0;
}

/* The first `turned` numbers of a head in pairs (i, i + turned / 2); the others as they are. */
INLINE void turn(const float *restrict x, const float *cos, const float *sin, float *restrict y, long size, long turned)
{
    long half = turned / 2;
    for (long at = 0; at < half; at++) {
        y[at] = __builtin_fmaf(x[at + half], sin[at], x[at] * cos[at]); /* as torch's addcmul rounds */
        y[at + half] = __builtin_fmaf(x[at], sin[at + half], x[at + half] * cos[at + half]);
    }
    for (long at = turned; at < size; at++)
        y[at] = x[at];
}

/* Keys and values of a text's last place, which they take; k is turned first. */
INLINE void keep(const float *k, const float *v, const float *cos, const float *sin, float *keys, float *values, const Text *text,
                 const Span *spans, long groups, long size, long places, long turned)
{
    const Span *last = spans + text->span;
    long left = text->keys - 1;
    while (left >= last->count)
        left -= last++->count;
    for (long group = 0; group < groups; group++) {
        long place = group * places + last->start + left;
        turn(k + group * size, cos, sin, keys + place * size, size, turned);
        turn(v + group * size, cos, sin, values + place * size, size, 0);
    }
}

/* Of 16 vectors the sum of each, in order. A sum's additions have the same order whatever stands beside it. */
INLINE __m512 sums_of(const __m512 *x)
{
    __m512 pairs[8], fours[4], halves[2];
    for (int one = 0; one < 8; one++)
        pairs[one] = _mm512_add_ps(_mm512_unpacklo_ps(x[2 * one], x[2 * one + 1]), _mm512_unpackhi_ps(x[2 * one], x[2 * one + 1]));
    for (int one = 0; one < 4; one++) {
        __m512d a = _mm512_castps_pd(pairs[2 * one]), b = _mm512_castps_pd(pairs[2 * one + 1]);
        fours[one] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    for (int one = 0; one < 2; one++) {
        __m512 a = fours[2 * one], b = fours[2 * one + 1];
        halves[one] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    }
    return _mm512_add_ps(_mm512_shuffle_f32x4(halves[0], halves[1], 0x88), _mm512_shuffle_f32x4(halves[0], halves[1], 0xdd));
}

/* Products of a query with up to 16 keys that lie behind one another. */
INLINE __m512 products(const float *q, const float *keys, long size, long count)
{
    __m512 sums[16];
    for (int one = 0; one < 16; one++)
        sums[one] = _mm512_setzero_ps();
    for (long part = 0; part < size; part += 16) {
        __m512 some = _mm512_loadu_ps(q + part);
        for (int one = 0; one < 16; one++) /* there are sums that nobody wants, so that all of them stay in registers */
            sums[one] = _mm512_fmadd_ps(some, _mm512_loadu_ps(keys + least(one, count - 1) * size + part), sums[one]);
    }
    return sums_of(sums);
}

/* Of `heads` queries beside each other that share keys and values, which are then read once; `scores`: each has `each` numbers,
   16 more than there are keys. */
INLINE void attend_heads(const float *q, const float *keys, const float *values, float *y, float *scores, const Text *text,
                         const Span *spans, long size, long each, long window, float scale, int heads)
{
    long first = window && text->keys > window ? text->keys - window : 0, at = 0;
    float most[MOST_HEADS];
    __m512 mosts[MOST_HEADS], unseen = _mm512_set1_ps(-__builtin_inff());
    for (int head = 0; head < heads; head++) {
        mosts[head] = unseen;
        for (long before = 0; before < first; before += 16)
            _mm512_storeu_ps(scores + head * each + before, unseen);
    }
    for (const Span *span = spans + text->span; at < text->keys; span++) {
        long place = first > at ? least(first - at, span->count) : 0, count = least(span->count, text->keys - at);
        for (long some; place < count; place += some) {
            const float *key = keys + (span->start + place) * size;
            some = least(16, count - place);
            for (int head = 0; head < heads; head++) {
                __m512 found = some == 16 ? products(q + head * size, key, size, 16) : products(q + head * size, key, size, some);
                found = _mm512_mul_ps(found, _mm512_set1_ps(scale));
                _mm512_mask_storeu_ps(scores + head * each + at + place, some_of(some), found);
                mosts[head] = _mm512_mask_max_ps(mosts[head], some_of(some), found, mosts[head]); /* its second, where one is NaN */
            }
        }
        at += count;
    }
    for (int head = 0; head < heads; head++)
        most[head] = _mm512_reduce_max_ps(mosts[head]);
    __m512 whole[MOST_HEADS];
    for (int head = 0; head < heads; head++) {
        __m512 total = _mm512_setzero_ps();
        for (at = 0; at < text->keys; at += 16) {
            __mmask16 there = some_of(text->keys - at);
            __m512 far = _mm512_sub_ps(_mm512_maskz_loadu_ps(there, scores + head * each + at), _mm512_set1_ps(most[head]));
            there &= _mm512_cmp_ps_mask(far, _mm512_set1_ps(-87), _CMP_NLE_UQ);
            far = _mm512_maskz_mov_ps(there, exponential(far));
            _mm512_storeu_ps(scores + head * each + at, far);
            total = _mm512_add_ps(total, far);
        }
        whole[head] = _mm512_set1_ps(_mm512_reduce_add_ps(total));
    }
    for (long part = 0; part < size; part += 64) {
        __m512 sums[MOST_HEADS][4] = {0};
        long wide = least(64, size - part) / 16;
        at = 0;
        for (const Span *span = spans + text->span; at < text->keys; span++)
            for (long place = 0; place < span->count && at < text->keys; place++, at++) {
                const float *value = values + (span->start + place) * size + part;
                for (long one = 0; at >= first && one < wide; one++) {
                    __m512 some = _mm512_loadu_ps(value + one * 16);
                    for (int head = 0; head < heads; head++)
                        sums[head][one] = _mm512_fmadd_ps(_mm512_set1_ps(scores[head * each + at]), some, sums[head][one]);
                }
            }
        for (int head = 0; head < heads; head++)
            for (long one = 0; one < wide; one++)
                _mm512_storeu_ps(y + head * size + part + one * 16, _mm512_div_ps(sums[head][one], whole[head]));
    }
}

/* Heads that attend at once: as many as share keys, or a part of them. */
INLINE int heads_at_once(long shared)
{
    int heads = MOST_HEADS;
    while (shared % heads)
        heads--;
    return heads;
}

/* Each count, and heads of 64 numbers, are compiled on their own, with sums in registers. */
static inline void attend_some(const float *q, const float *keys, const float *values, float *y, float *scores, const Text *text,
                               const Span *spans, long size, long each, long window, float scale, int heads)
{
#define HEADS(count)                                                                                                          \
    case count:                                                                                                               \
        if (size == 64)                                                                                                       \
            attend_heads(q, keys, values, y, scores, text, spans, 64, each, window, scale, count);                            \
        else                                                                                                                  \
            attend_heads(q, keys, values, y, scores, text, spans, size, each, window, scale, count);                          \
        return;
    switch (heads) {
        HEADS(1)
        HEADS(2)
        HEADS(3)
        HEADS(4)
    }
#undef HEADS
}

/* max |x|, compared as integers, which have the same order; NaN is larger than all. */
INLINE float largest(const float *x, long in)
{
    __m512i most = _mm512_setzero_si512(), size = _mm512_set1_epi32(0x7fffffff);
    for (long at = 0; at < in; at += 16) {
        __mmask16 there = in - at < 16 ? (__mmask16)((1 << (in - at)) - 1) : 0xffff;
        most = _mm512_max_epi32(most, _mm512_and_si512(size, _mm512_castps_si512(_mm512_maskz_loadu_ps(there, x + at))));
    }
    int32_t found = _mm512_reduce_max_epi32(most);
    float same;
    __builtin_memcpy(&same, &found, 4);
    return same;
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

#endif
