/* A word drawn from logits: temperature, top-k, top-p, min-p and the inverse of the cumulative distribution, as sampling.py has
   them. Included where it is used. */

#ifndef DRAW_H
#define DRAW_H

#include "rows.h"
#include <stdlib.h>

typedef struct {
    float weight; /* relative to the likeliest word's */
    int32_t word;
} Candidate;

/* The likelier one first; of two alike that with the lower number. */
static inline int by_weight(const void *one, const void *other)
{
    const Candidate *a = one, *b = other;
    if (a->weight != b->weight)
        return a->weight < b->weight ? 1 : -1;
    return a->word < b->word ? -1 : 1;
}

/* e^((x - largest) / temperature) of each word; 0 below e^-87. Returns their sum. */
static inline double weigh(const float *logits, long words, float largest, double temperature, float *weights)
{
    __m512 by = _mm512_set1_ps((float)(1 / (temperature < 1e-30 ? 1e-30 : temperature))), most = _mm512_set1_ps(largest);
    __m512d sums[2] = {_mm512_setzero_pd(), _mm512_setzero_pd()};
    for (long at = 0; at < words; at += 16) {
        __mmask16 there = some_of(words - at), seen;
        __m512 far = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(there, logits + at), most), by);
        seen = there & _mm512_cmp_ps_mask(far, _mm512_set1_ps(-87), _CMP_GT_OQ);
        __m512 weight = _mm512_maskz_mov_ps(seen, exponential(far));
        _mm512_mask_storeu_ps(weights + at, there, weight);
        sums[0] = _mm512_add_pd(sums[0], _mm512_cvtps_pd(_mm512_castps512_ps256(weight)));
        sums[1] = _mm512_add_pd(sums[1], _mm512_cvtps_pd(_mm512_extractf32x8_ps(weight, 1)));
    }
    return _mm512_reduce_add_pd(_mm512_add_pd(sums[0], sums[1]));
}

/* Of all words, in their order. */
static inline long draw_of_all(const float *weights, long words, double target)
{
    double sum = 0;
    long last = 0;
    for (long at = 0; at < words; at++)
        if (weights[at] > 0) {
            sum += weights[at], last = at;
            if (sum > target)
                break;
        }
    return last;
}

/* The likeliest words, sorted: as many as top-k and top-p can leave, and perhaps more. Returns how many; `sum`: of their weights. */
static inline long likeliest(const float *weights, long words, const Draw *draw, double total, Candidate *some, double *sum)
{
    const float floors[] = {3e-4f, 1e-7f, 1e-14f, 0};
    long count = 0, most = draw->top_k && draw->top_k < words ? draw->top_k : 0;
    for (int one = 0; one < 4; one++) {
        count = 0, *sum = 0;
        for (long at = 0; at < words; at++)
            if (weights[at] > floors[one]) {
                some[count++] = (Candidate){weights[at], (int32_t)at};
                *sum += weights[at];
            }
        if (most ? count >= most : draw->top_p < 1 ? *sum > draw->top_p * total : draw->min_p > floors[one])
            break;
    }
    qsort(some, count, sizeof(Candidate), by_weight);
    return most && most < count ? most : count;
}

/* `largest`: of the logits, finite. `weights`, `some`: room for as many as there are words. */
static inline long draw_word(const float *logits, long words, float largest, const Draw *draw, double uniform, float *weights,
                             Candidate *some)
{
    double total = weigh(logits, words, largest, draw->temperature, weights), sum, kept = 0, target;
    if (!draw->top_k && draw->top_p >= 1 && draw->min_p <= 0)
        return draw_of_all(weights, words, uniform * total);
    long count = likeliest(weights, words, draw, total, some, &sum), left = 0, one = 0;
    if (draw->top_k) {
        total = 0;
        for (long at = 0; at < count; at++)
            total += some[at].weight;
    }
    for (; left < count; left++) {
        if (left && (kept >= draw->top_p * total || some[left].weight < draw->min_p * some[0].weight))
            break;
        kept += some[left].weight;
    }
    target = uniform * kept;
    for (sum = some[0].weight; sum <= target && one + 1 < left;)
        sum += some[++one].weight;
    return some[one].word;
}

#endif
