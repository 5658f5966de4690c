/* softmax(scale Q K' + bias) V of many queries: the attention of image networks, where no query is before another.

   fp32, or bfloat16 with sums in fp32 where the processor multiplies it. Keys and values are laid out anew first, so that 16
   keys, or 16 numbers of a value, are multiplied at once. A query's result depends on its keys alone: they are summed in one
   order, whatever other queries there are and whichever thread computes them. After Dao et al. 2022 (FlashAttention): scores
   of some keys at a time, weights relative to the largest score so far. */

#include "attention.h"
#include "vectors.h"
#include <omp.h>

#define AT_ONCE 6   /* queries */
#define TILE 64     /* keys whose scores are summed in registers */
#define SEEN 256    /* keys whose scores are kept: a multiple of TILE */

typedef struct {
    float scores[AT_ONCE][SEEN], sums[AT_ONCE][MAX_HEAD_DIM], largest[AT_ONCE];
    __m512 totals[AT_ONCE];
    uint32_t queries[AT_ONCE][MAX_HEAD_DIM]; /* a number of fp32, or two of bfloat16 */
    uint32_t weights[AT_ONCE][SEEN];
} Work;

/* sums + a b, or with two numbers of bfloat16 in each place sums + a1 b1 + a2 b2. */
INLINE __m512 multiply(__m512 sums, __m512i a, uint32_t b, int narrow)
{
#ifdef __AVX512BF16__
    if (narrow)
        return _mm512_dpbf16_ps(sums, (__m512bh)a, (__m512bh)_mm512_set1_epi32((int)b));
#endif
    return _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(_mm512_set1_epi32((int)b)), sums);
}

/* Scores of up to TILE keys, as exponents of two; minus infinity behind the last one. keys: (depth, TILE) of 32 bits. */
INLINE void score(Work *work, __m512 *most, const uint32_t *keys, const float *bias, long depth, long place, long count, float scale,
                  int narrow)
{
    const __m512 scales = _mm512_set1_ps(scale * BASE), none = _mm512_set1_ps(-__builtin_inff());
    __m512 sums[AT_ONCE][TILE / 16] = {0};
    for (long at = 0; at < depth; at++)
        for (int part = 0; part < TILE / 16; part++) {
            __m512i some = _mm512_loadu_si512(keys + at * TILE + part * 16);
            for (int query = 0; query < AT_ONCE; query++)
                sums[query][part] = multiply(sums[query][part], some, work->queries[query][at], narrow);
        }
    for (int part = 0; part < TILE / 16; part++) {
        __mmask16 there = count > part * 16 ? some_of(count - part * 16) : 0;
        __m512 added = bias ? _mm512_mul_ps(_mm512_maskz_loadu_ps(there, bias + part * 16), _mm512_set1_ps(BASE)) : _mm512_setzero_ps();
        for (int query = 0; query < AT_ONCE; query++) {
            __m512 some = _mm512_mask_mov_ps(none, there, _mm512_fmadd_ps(sums[query][part], scales, added));
            most[query] = _mm512_max_ps(some, most[query]);
            _mm512_storeu_ps(work->scores[query] + place + part * 16, some);
        }
    }
}

/* Scores of `count` keys, a multiple of TILE, become weights; what was summed before becomes relative to the largest of now. */
INLINE void weigh(Work *work, const __m512 *most, long count, long width, int narrow)
{
    for (int query = 0; query < AT_ONCE; query++) {
        const float *scores = work->scores[query];
        float before = work->largest[query], now = _mm512_reduce_max_ps(most[query]);
        if (now > before) {
            __m512 fewer = power(_mm512_set1_ps(before - now), 0);
            work->totals[query] = _mm512_mul_ps(work->totals[query], fewer);
            for (long at = 0; at < width; at += 16)
                _mm512_storeu_ps(work->sums[query] + at, _mm512_mul_ps(_mm512_loadu_ps(work->sums[query] + at), fewer));
            work->largest[query] = now;
        }
        __m512 largest = _mm512_set1_ps(work->largest[query]), total = work->totals[query];
        for (long at = 0; at < count; at += 32) {
            __m512 one = power(_mm512_sub_ps(_mm512_loadu_ps(scores + at), largest), narrow);
            __m512 other = power(_mm512_sub_ps(_mm512_loadu_ps(scores + at + 16), largest), narrow);
            total = _mm512_add_ps(total, _mm512_add_ps(one, other));
#ifdef __AVX512BF16__
            if (narrow) {
                _mm512_storeu_si512(work->weights[query] + at / 2, (__m512i)_mm512_cvtne2ps_pbh(other, one));
                continue;
            }
#endif
            _mm512_storeu_ps((float *)work->weights[query] + at, one);
            _mm512_storeu_ps((float *)work->weights[query] + at + 16, other);
        }
        work->totals[query] = total;
    }
}

/* Adds weighted values, `parts` times 16 numbers of each. values: (deep, width) of 32 bits. */
INLINE void add_some(Work *work, const uint32_t *values, long deep, long width, long first, int parts, int narrow)
{
    __m512 sums[AT_ONCE][4];
    for (int query = 0; query < AT_ONCE; query++)
        for (int part = 0; part < parts; part++)
            sums[query][part] = _mm512_loadu_ps(work->sums[query] + first + part * 16);
    for (long at = 0; at < deep; at++)
        for (int part = 0; part < parts; part++) {
            __m512i some = _mm512_loadu_si512(values + at * width + first + part * 16);
            for (int query = 0; query < AT_ONCE; query++)
                sums[query][part] = multiply(sums[query][part], some, work->weights[query][at], narrow);
        }
    for (int query = 0; query < AT_ONCE; query++)
        for (int part = 0; part < parts; part++)
            _mm512_storeu_ps(work->sums[query] + first + part * 16, sums[query][part]);
}

INLINE void add_values(Work *work, const uint32_t *values, long deep, long width, int narrow)
{
    for (long first = 0; first < width; first += 64)
        switch (width - first) { /* each is compiled on its own, with its sums in registers */
        case 16: add_some(work, values, deep, width, first, 1, narrow); break;
        case 32: add_some(work, values, deep, width, first, 2, narrow); break;
        case 48: add_some(work, values, deep, width, first, 3, narrow); break;
        default: add_some(work, values, deep, width, first, 4, narrow);
        }
}

/* Two numbers of bfloat16, or one of fp32; zero behind the end. */
INLINE uint32_t some_at(const char *row, long at, long size, int narrow)
{
    if (!narrow)
        return at < size ? ((const uint32_t *)row)[at] : 0;
    const uint16_t *numbers = (const uint16_t *)row + 2 * at;
    return (2 * at < size ? numbers[0] : 0u) | (2 * at + 1 < size ? (uint32_t)numbers[1] << 16 : 0u);
}

/* TILE keys and values as they are multiplied; zeros for those that are not there. */
INLINE void lay_out(const Attention *about, const char *keys, const char *values, long there, uint32_t *to_keys, uint32_t *to_values,
                    long depth, long width, int narrow)
{
    long bytes = narrow ? 2 : 4, size = about->size;
    for (long key = 0; key < TILE; key++)
        for (long at = 0; at < depth; at++)
            to_keys[at * TILE + key] = key < there ? some_at(keys + key * about->k.place * bytes, at, size, narrow) : 0;
    for (long key = 0; key < TILE; key += narrow ? 2 : 1) {
        const char *row = values + key * about->v.place * bytes, *next = row + about->v.place * bytes;
        uint32_t *to = to_values + key / (narrow ? 2 : 1) * width;
        for (long at = 0; at < width; at++) {
            uint32_t one = 0;
            if (at < size && key < there)
                one = narrow ? ((const uint16_t *)row)[at] : ((const uint32_t *)row)[at];
            if (narrow && at < size && key + 1 < there)
                one |= (uint32_t)((const uint16_t *)next)[at] << 16;
            to[at] = one;
        }
    }
}

INLINE void attend_group(const Attention *about, long row, long head, long first, const uint32_t *room, long depth, long width,
                         int narrow)
{
    Work work;
    long bytes = narrow ? 2 : 4, there = least(AT_ONCE, about->queries - first), pairs = narrow ? 2 : 1;
    long tiles = (about->keys + TILE - 1) / TILE, key_step = depth * TILE, value_step = TILE / pairs * width;
    const uint32_t *keys = room, *values = room + tiles * key_step;
    const float *bias = about->bias ? (const float *)about->bias + row * about->bias_row + head * about->bias_head : 0;
    for (int query = 0; query < AT_ONCE; query++) {
        long own = first + least(query, there - 1);
        const char *q = (const char *)about->q.at + (row * about->q.row + head * about->q.head + own * about->q.place) * bytes;
        for (long at = 0; at < depth; at++)
            work.queries[query][at] = some_at(q, at, about->size, narrow);
        for (long at = 0; at < width; at++)
            work.sums[query][at] = 0;
        work.largest[query] = -__builtin_inff();
        work.totals[query] = _mm512_setzero_ps();
    }
    for (long begin = 0; begin < about->keys; begin += SEEN) {
        long count = least(SEEN, about->keys - begin), deep = (count + TILE - 1) / TILE * TILE;
        __m512 most[AT_ONCE];
        for (int query = 0; query < AT_ONCE; query++)
            most[query] = _mm512_set1_ps(-__builtin_inff());
        for (long at = 0; at < count; at += TILE)
            score(&work, most, keys + (begin + at) / TILE * key_step, bias ? bias + begin + at : 0, depth, at, count - at,
                  (float)about->scale, narrow);
        weigh(&work, most, deep, width, narrow);
        add_values(&work, values + begin / TILE * value_step, deep / pairs, width, narrow);
    }
    for (int query = 0; query < there; query++) {
        long place = row * about->y.row + head * about->y.head + (first + query) * about->y.place;
        __m512 share = _mm512_set1_ps(1 / _mm512_reduce_add_ps(work.totals[query]));
        for (long at = 0; at < about->size; at += 16) {
            __m512 some = _mm512_mul_ps(_mm512_loadu_ps(work.sums[query] + at), share);
            store((void *)about->y.at, place + at, some_of(about->size - at), some, narrow);
        }
    }
}

INLINE void attend_of(const Attention *about, int narrow)
{
    long depth = narrow ? (about->size + 1) / 2 : about->size, width = (about->size + 15) / 16 * 16, bytes = narrow ? 2 : 4;
    long tiles = (about->keys + TILE - 1) / TILE, groups = (about->queries + AT_ONCE - 1) / AT_ONCE;
    long each = tiles * TILE * (depth + width / (narrow ? 2 : 1)), shared = about->heads / about->key_heads;
    uint32_t *room = (uint32_t *)about->room;
#pragma omp parallel num_threads(about->threads)
    {
#pragma omp for schedule(static)
        for (long one = 0; one < about->rows * about->key_heads * tiles; one++) {
            long tile = one % tiles, head = one / tiles % about->key_heads, row = one / tiles / about->key_heads;
            const char *keys = (const char *)about->k.at + (row * about->k.row + head * about->k.head + tile * TILE * about->k.place) * bytes;
            const char *values = (const char *)about->v.at + (row * about->v.row + head * about->v.head + tile * TILE * about->v.place) * bytes;
            uint32_t *own = room + (row * about->key_heads + head) * each;
            lay_out(about, keys, values, least(TILE, about->keys - tile * TILE), own + tile * depth * TILE,
                    own + tiles * depth * TILE + tile * TILE / (narrow ? 2 : 1) * width, depth, width, narrow);
        }
#pragma omp for schedule(static)
        for (long one = 0; one < about->rows * about->heads * groups; one++) {
            long group = one % groups, head = one / groups % about->heads, row = one / groups / about->heads;
            attend_group(about, row, head, group * AT_ONCE, room + (row * about->key_heads + head / shared) * each, depth, width,
                         narrow);
        }
    }
}

/* Whether it is faster than torch's: the scores of a tile want 32 registers. */
int attends_fast(void)
{
#ifdef __AVX512F__
    return 1;
#else
    return 0;
#endif
}

/* Whether bfloat16 is taken. */
int attends_narrow(void)
{
#ifdef __AVX512BF16__
    return 1;
#else
    return 0;
#endif
}

void attend_all(const Attention *about)
{
    if (about->narrow)
        attend_of(about, 1);
    else
        attend_of(about, 0);
}
