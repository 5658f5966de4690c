/* What decoding is made of: products of a few rows with a large matrix, as fast as memory gives the weights; and what lies
   between them, each in one call.

   Compiled by build.py on the machine that runs them, where it has a compiler; limits come from there, as -DTILE_N=64 and so
   on. Threads are those of torch: its OpenMP library is loaded by then, and none is linked here. Matrices lie in panels of
   TILE_N output columns: that is how oneDNN lays out what it multiplies often on AVX-512, and so large batches can go on
   through oneDNN, over the same weights. Pointers need no alignment beyond that of their numbers. */

#include "attention.h"
#include "draw.h"
#include "encoder.h"
#include "wide.h"
#include <omp.h>
#include <stdint.h>

#if !defined(TILE_N) || !defined(MAX_HEAD_DIM) || !defined(TILE_M)
#error "limits are given by build.py: TILE_N output columns of a panel, MAX_HEAD_DIM, TILE_M rows that are multiplied at once"
#endif
_Static_assert(TILE_N == 64 && TILE_M == 6 && MOST_HEADS == 4, "panels(), attend_some() and callers are written out for these");

typedef float floats __attribute__((vector_size(64)));
typedef float stored_floats __attribute__((vector_size(64), aligned(4), may_alias)); /* anywhere in memory */
typedef long long stored_ints __attribute__((vector_size(64), aligned(1), may_alias));

/* 1. Floating point. x (rows, in), y (rows, out); weights: panels of (in, 64), `padded` numbers deep.

   Sums go on for `chunk` inputs, are added to what was summed before, and begin anew: oneDNN's order, to the last bit. */

INLINE void panels(const float *x, const stored_floats *const *weights, floats *y, long in, long chunk, int rows, int ways)
{
    for (long begin = 0; begin < in; begin += chunk) {
        floats sums[TILE_M][4] = {0}; /* of a row and a panel */
#ifdef __AVX512F__
        for (long at = begin; at < least(in, begin + chunk); at++)
            for (int row = 0; row < rows; row++)
                for (int way = 0; way < ways; way++)
                    for (int part = 0; part < 4; part++)
                        sums[row * ways + way][part] += weights[way][at * 4 + part] * x[row * in + at];
#else
        for (int row = 0; row < rows; row++)
            for (int way = 0; way < ways; way++) { /* 16 registers hold one row's; for the others the panel is in the cache */
                __m512 own[4];
                for (int part = 0; part < 4; part++)
                    own[part] = _mm512_setzero_ps();
                for (long at = begin; at < least(in, begin + chunk); at++) {
                    __m512 same = _mm512_set1_ps(x[row * in + at]);
                    for (int part = 0; part < 4; part++)
                        own[part] = _mm512_fmadd_ps(_mm512_loadu_ps(weights[way] + at * 4 + part), same, own[part]);
                }
                for (int part = 0; part < 4; part++)
                    _mm512_storeu_ps(&sums[row * ways + way][part], own[part]);
            }
#endif
        for (int one = 0; one < rows * ways; one++)
            for (int part = 0; part < 4; part++)
                y[one * 4 + part] = begin ? y[one * 4 + part] + sums[one][part] : sums[one][part];
    }
}

/* Of few rows, two panels at once: memory gives two streams a tenth faster than one. */
void multiply_fp32(const float *x, const float *weights, const float *bias, float *y, long rows, long in, long out,
                   long padded, long chunk)
{
    long all = (out + TILE_N - 1) / TILE_N, ways = rows > TILE_M / 2 ? 1 : 2, each = (all + ways - 1) / ways;
#pragma omp parallel for schedule(static)
    for (long place = 0; place < each; place++) {
        long panel[2] = {place, place + each < all ? place + each : place};
        const stored_floats *from[2];
        for (int way = 0; way < 2; way++)
            from[way] = (const stored_floats *)(weights + panel[way] * TILE_N * padded);
        for (long first = 0; first < rows; first += TILE_M) {
            floats sums[TILE_M * 4];
            const float *own = x + first * in;
            long there = least(TILE_M, rows - first);
            switch (ways * 10 + there) { /* each is compiled on its own, with its sums in registers */
            case 21: panels(own, from, sums, in, chunk, 1, 2); break;
            case 22: panels(own, from, sums, in, chunk, 2, 2); break;
            case 23: panels(own, from, sums, in, chunk, 3, 2); break;
            case 11: panels(own, from, sums, in, chunk, 1, 1); break;
            case 12: panels(own, from, sums, in, chunk, 2, 1); break;
            case 13: panels(own, from, sums, in, chunk, 3, 1); break;
            case 14: panels(own, from, sums, in, chunk, 4, 1); break;
            case 15: panels(own, from, sums, in, chunk, 5, 1); break;
            default: panels(own, from, sums, in, chunk, 6, 1);
            }
            for (long one = 0; one < there * ways; one++) {
                long row = first + one / ways, column = panel[one % ways] * TILE_N;
                for (long at = 0; at < least(TILE_N, out - column); at++) {
                    float sum = ((const float *)sums)[one * TILE_N + at];
                    y[row * out + column + at] = bias ? sum + bias[column + at] : sum;
                }
            }
        }
    }
}

/* 2. Between the products; a row's work is in rows.h. */

/* y = x / sqrt(mean(x^2) + eps) * weight, row by row; `width` is a multiple of 16. */
void rms_norm(const float *x, const float *weight, float *y, long rows, long width, double eps)
{
#pragma omp parallel for schedule(static) if (rows > 8)
    for (long row = 0; row < rows; row++)
        norm_row(x + row * width, weight, y + row * width, width, eps);
}

/* y = silu(gate) * up, row by row; x (rows, 2 * width): gates, then ups; `width` is a multiple of 16. */
void gated_silu(const float *x, float *y, long rows, long width)
{
#pragma omp parallel for schedule(static) if (rows > 8)
    for (long row = 0; row < rows; row++)
        gate_row(x + row * 2 * width, x + (row * 2 + 1) * width, y + row * width, width);
}

/* Units a thread from which on heads attend together. */
#define MANY 8

/* softmax(scale q K') V of one query of each of many texts, over keys and values (groups, places, size) that lie in spans.

   q (rows, heads, size); the other's rows are as long as q_step, k_step and v_step say. Where there are new k and v, they take
   the place of the last key, and q and k are turned by cos and sin (texts, turned) first, in texts' order.
   y (texts, heads, size); `room`: for threads * MOST_HEADS * `each`, which is 16 more than the most keys. `size`: a multiple of 16,
   at most MAX_HEAD_DIM. Of many texts, as of a prompt's places, heads that share keys attend at once, and a head's keys stay in the
   cache while texts follow one another; threads get long and short ones in turn. */
void attend(const float *q, const float *k, const float *v, const float *cos, const float *sin, float *keys, float *values,
            float *y, float *room, const Text *texts, const Span *spans, long count, long heads, long groups, long size,
            long places, long turned, long q_step, long k_step, long v_step, long each, long threads, long window, double scale)
{
    for (long one = 0; k && one < count; one++)
        keep(k + texts[one].row * k_step, v + texts[one].row * v_step, cos + one * turned, sin + one * turned, keys, values, texts + one,
             spans, groups, size, places, turned);
    long at_once = count * groups < MANY * threads ? 1 : heads_at_once(heads / groups), units = heads / at_once;
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (long one = 0; one < count * units; one++) {
        long unit = one / count, text = (one + unit) % count, head = unit * at_once, group = head / (heads / groups);
        const float *own = q + texts[text].row * q_step + head * size;
        float turned_q[MOST_HEADS * MAX_HEAD_DIM];
        for (long other = 0; turned && other < at_once; other++)
            turn(own + other * size, cos + text * turned, sin + text * turned, turned_q + other * size, size, turned);
        attend_some(turned ? turned_q : own, keys + group * places * size, values + group * places * size,
                    y + (text * heads + head) * size, room + omp_get_thread_num() * MOST_HEADS * each, texts + text, spans, size, each,
                    window, (float)scale, (int)at_once);
    }
}

/* Of each row the largest number and where it lies first; NaN where one is NaN. */
void find_largest(const float *x, long rows, long width, float *largest, int64_t *places)
{
    for (long row = 0; row < rows; row++)
        places[row] = largest_of(x + row * width, width, largest + row);
}

/* Of each row a word, with the first uniform number of its draw. `room`: for 3 numbers of each word. */
void draw_words(const float *logits, long rows, long words, const Draw *draws, float *room, int64_t *places)
{
    for (long row = 0; row < rows; row++, logits += words) {
        float largest;
        largest_of(logits, words, &largest);
        places[row] = draw_word(logits, words, largest, draws + row, *draws[row].uniforms, room, (Candidate *)(room + words));
    }
}

/* 3. Integers, with the processor's instruction for four products at once. */

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)

int has_integers(void) { return 1; }

INLINE __m512i four(const uint8_t *bytes)
{
    int32_t same;
    __builtin_memcpy(&same, bytes, 4);
    return _mm512_set1_epi32(same);
}

/* Weights: panels of (padded / 4, 64, 4) int8. sums: of each output's weights, 128 times: x is kept as 0 to 255. */

INLINE void panel_int8(const uint8_t *x, const stored_ints *weights, const int32_t *sums, const float *scales, const float *steps,
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
                products[row][part] = _mm512_dpbusd_epi32(products[row][part], same, _mm512_loadu_si512(weights + part));
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
    for (long column = 0; column < out; column += TILE_N)
        for (long row = 0; row < rows; row += 4) {
            const stored_ints *from = (const stored_ints *)(weights + column * padded);
            const float *added = bias ? bias + column : 0;
            float *to = y + row * out + column;
            long wide = least(TILE_N, out - column);
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
    uint16_t scales[TILE_N], offsets[TILE_N]; /* fp16 */
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
    for (long column = 0; column < out; column += TILE_N)
        for (long row = 0; row < rows; row += 4) {
            __m512 sums[16];
            const Group *from = weights + column / TILE_N * groups;
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
                for (long at = 0; at < least(TILE_N, out - column); at++) {
                    float sum = ((const float *)sums)[one * TILE_N + at];
                    y[(row + one) * out + column + at] = bias ? sum + bias[column + at] : sum;
                }
        }
}

#else

int has_integers(void) { return 0; }

#endif

/* 4. All of it: the blocks of a decoder over the next token of each of some texts, in place. */

/* Structs that cpu/structs.py mirrors, in its order. */
long struct_size(long which)
{
    const long sizes[] = {sizeof(Text), sizeof(Span), sizeof(Product), sizeof(Layer), sizeof(Shape), sizeof(Part),
                          sizeof(Fixed), sizeof(Ends), sizeof(Steps), sizeof(Draw), sizeof(Sequence), sizeof(EncoderLayer), sizeof(EncoderShape), sizeof(Gate),
                          sizeof(Heads), sizeof(Attention)};
    return which < (long)(sizeof(sizes) / sizeof(long)) ? sizes[which] : 0;
}

INLINE void multiply(const Product *by, const float *x, float *y, long rows, uint8_t *bytes, float *about)
{
    if (by->kind == 0)
        multiply_blocks(x, by->weights, by->bias, y, (Fixed *)about, by->chunk, rows, by->in, by->planes);
    else if (by->kind == 32)
        multiply_fp32(x, by->weights, by->bias, y, rows, by->in, by->out, by->padded, by->chunk);
#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
    else if (by->kind == 8)
        multiply_int8(x, by->weights, by->sums, by->scales, by->bias, y, bytes, about, rows, by->in, by->out, by->padded);
    else
        multiply_int4(x, by->weights, by->bias, y, bytes, (Rounded *)about, rows, by->in, by->out);
#endif
}

INLINE void add(float *x, const float *y, long count)
{
    for (long at = 0; at < count; at++)
        x[at] += y[at];
}

/* `room`: for texts * (width + qkv + heads * size + 3 * hidden + 2 * padded) + threads * each numbers, where qkv is how many
   the first product gives, and `padded` the most inputs of a product as they lie. */
_Static_assert(sizeof(Fixed) <= 32 * sizeof(float), "a group of inputs takes no more room than they do");
void decode(const Layer *layers, const Shape *shape, float *x, float *room, const Text *texts, const Span *spans)
{
    long rows = shape->texts, width = shape->width, size = shape->size;
    for (const Layer *layer = layers; layer < layers + shape->layers; layer++) {
        long each = layer->qkv.out, queries = shape->heads * size, keys = shape->groups * size;
        float *some = room, *qkv = some + rows * width, *seen = qkv + rows * each, *hidden = seen + rows * queries;
        float *gated = hidden + rows * 2 * shape->hidden, *about = gated + rows * shape->hidden;
        float *scores = about + rows * shape->padded;
        uint8_t *bytes = (uint8_t *)(scores + shape->threads * shape->each);
        rms_norm(x, layer->norm, some, rows, width, shape->eps);
        multiply(&layer->qkv, some, qkv, rows, bytes, about);
        for (long row = 0; layer->query_norm && row < rows; row++) {
            float *own = qkv + row * each;
            rms_norm(own, layer->query_norm, own, shape->heads, size, shape->eps);
            rms_norm(own + queries, layer->key_norm, own + queries, shape->groups, size, shape->eps);
        }
        attend(qkv, qkv + queries, qkv + queries + keys, cos_of(layer, shape), sin_of(layer, shape), layer->keys, layer->values, seen, scores, texts,
               spans, rows, shape->heads, shape->groups, size, shape->places, layer->turns ? shape->turned : 0, each, each, each, shape->each,
               shape->threads, layer->window, layer->scale);
        multiply(&layer->out, seen, some, rows, bytes, about);
        add(x, some, rows * width);
        rms_norm(x, layer->second_norm, some, rows, width, shape->eps);
        multiply(&layer->up, some, hidden, rows, bytes, about);
        gated_silu(hidden, gated, rows, shape->hidden);
        multiply(&layer->down, gated, some, rows, bytes, about);
        add(x, some, rows * width);
    }
}
