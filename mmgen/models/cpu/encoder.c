/* All blocks of an encoder over packed rows in one parallel region: products in bfloat16 or int8, attention in bfloat16, sums,
   norms and softmax in fp32.

   A pass has two kinds of work a block: a tile of rows goes through all that is of each row alone (the attention's projection,
   the network, the next block's queries, keys and values), with what lies between in a room of the thread's own; and a head of a
   sequence attends. A number's sum has the same order whatever rows and sequences are beside it. */

#include "encoder.h"
#include "crew.h"
#include "rows.h"
#include "wide.h"
#include <stdint.h>

#if defined(__AVX512BF16__) && defined(__AVX512VNNI__) && defined(__AVX512BW__)

#define ROWS 6     /* multiplied at once with a panel of TILE_N outputs: 24 vectors of sums */
#define QUERIES 12 /* that attend at once: two times ROWS, or one time with HALF outputs */
#define HALF 32    /* numbers of a value */

typedef struct {
    const EncoderLayer *layer, *next; /* 0: before the first one, behind the last one */
    const EncoderShape *shape;
    const Sequence *sequences;
    float *x, *seen; /* (rows, width), (rows, heads size) */
    long rows;       /* in the last block with wanted rows: these */
    char *room;      /* of all threads */
    long each;       /* bytes of a thread's */
} Encoding;

INLINE long inner(const EncoderShape *shape) { return shape->heads * shape->size; }

INLINE long upto(long count, long multiple) { return (count + multiple - 1) / multiple * multiple; }

INLINE __m512i pair(const void *two)
{
    int32_t same;
    __builtin_memcpy(&same, two, 4);
    return _mm512_set1_epi32(same);
}

/* Rows of bfloat16 times a panel (in / 2, 16 vectors, 2): of each row `vectors` vectors of sums. A row behind `there` is the last
   one again. */
INLINE void dots(const uint16_t *x, long step, long there, const uint16_t *panel, long in, __m512 *sums, int rows, int vectors)
{
    const uint16_t *from[QUERIES];
    for (int row = 0; row < rows; row++)
        from[row] = x + least(row, there - 1) * step;
    for (int one = 0; one < rows * vectors; one++)
        sums[one] = _mm512_setzero_ps();
    for (long at = 0; at < in; at += 2, panel += vectors * 32)
        for (int row = 0; row < rows; row++) {
            __m512bh same = (__m512bh)pair(from[row] + at);
            for (int one = 0; one < vectors; one++)
                sums[row * vectors + one] =
                    _mm512_dpbf16_ps(sums[row * vectors + one], same, (__m512bh)_mm512_loadu_si512(panel + one * 32));
        }
}

/* The same of bytes, 128 more than they stand for, times a panel (in / 4, 16 vectors, 4); `sums`: 128 times each output's weights. */
INLINE void byte_dots(const uint8_t *x, long step, long there, const float *steps, const int8_t *panel, long in, const int32_t *sums,
                      const float *scales, __m512 *results)
{
    const uint8_t *from[ROWS];
    __m512i products[ROWS * 4];
    for (int row = 0; row < ROWS; row++)
        from[row] = x + least(row, there - 1) * step;
    for (int one = 0; one < ROWS * 4; one++)
        products[one] = _mm512_setzero_si512();
    for (long at = 0; at < in; at += 4, panel += TILE_N * 4)
        for (int row = 0; row < ROWS; row++) {
            __m512i same = pair(from[row] + at);
            for (int one = 0; one < 4; one++) /* written out, as GCC 12 does not keep these sums in registers */
                __asm__("vpdpbusd %2, %1, %0" : "+v"(products[row * 4 + one]) : "v"(same), "v"(_mm512_loadu_si512(panel + one * 64)));
        }
    for (int row = 0; row < ROWS; row++)
        for (int one = 0; one < 4; one++) {
            __m512i exact = _mm512_sub_epi32(products[row * 4 + one], _mm512_loadu_si512(sums + one * 16));
            __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(exact), _mm512_loadu_ps(scales + one * 16));
            results[row * 4 + one] = _mm512_mul_ps(scaled, _mm512_set1_ps(steps[least(row, there - 1)]));
        }
}

/* x s(x) for a curve s from 0 to 1 with s(-x) = 1 - s(x), as of GELU: max(x, 0) - |x| s(-|x|), the latter from a table. NaN
   propagates. */
INLINE __m512 gated(__m512 x, const Gate *gate)
{
    const __m512 shift = _mm512_set1_ps(8388608); /* of so large a number the last bits count ones: its piece */
    __m512 size = _mm512_abs_ps(x), near = _mm512_min_ps(_mm512_set1_ps(gate->reach), size); /* its second, where one is NaN */
    __m512 piece = _mm512_fmadd_ps(near, _mm512_set1_ps(gate->pieces), shift);
    __m512 off = _mm512_fnmadd_ps(_mm512_sub_ps(piece, shift), _mm512_set1_ps(1 / gate->pieces), near);
    __m512i which = _mm512_castps_si512(piece);
    __m512 sum = _mm512_permutex2var_ps(_mm512_loadu_ps(gate->square), which, _mm512_loadu_ps(gate->square + 16));
    sum = _mm512_fmadd_ps(sum, off, _mm512_permutex2var_ps(_mm512_loadu_ps(gate->slope), which, _mm512_loadu_ps(gate->slope + 16)));
    sum = _mm512_fmadd_ps(sum, off, _mm512_permutex2var_ps(_mm512_loadu_ps(gate->value), which, _mm512_loadu_ps(gate->value + 16)));
    return _mm512_fnmadd_ps(size, sum, _mm512_max_ps(_mm512_setzero_ps(), x));
}

/* A tile's rows as a product takes them: bfloat16, or bytes with a step each. */
typedef struct {
    void *numbers;
    float *steps;
    long step; /* numbers from a row to the next */
} Inputs;

INLINE void put_bf16(uint16_t *y, __m512 x) { _mm256_storeu_si256((__m256i *)y, (__m256i)_mm512_cvtneps_pbh(x)); }

/* x (in) -> bytes, 128 for 0; returns the step, of which 127 reach to the largest. As `rounded`, without its divisions. */
INLINE float rounded_fast(const float *x, uint8_t *bytes, long in)
{
    float most = largest(x, in);
    if (most < 1e-30f) {
        __builtin_memset(bytes, 128, in);
        return 0;
    }
    __m512 steps = _mm512_set1_ps(127 / most), shift = _mm512_set1_ps(128.5f);
    for (long at = 0; at < in; at += 16) {
        __m512 scaled = _mm512_fmadd_ps(_mm512_loadu_ps(x + at), steps, shift);
        _mm_storeu_si128((__m128i *)(bytes + at), _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(scaled)));
    }
    return most * (1.0f / 127);
}

static void prepare(const Inputs *inputs, const Product *by, const float *x, long step, long rows)
{
    for (long row = 0; row < rows; row++, x += step)
        if (by->kind == 8)
            inputs->steps[row] = rounded_fast(x, (uint8_t *)inputs->numbers + row * inputs->step, by->in);
        else
            for (long at = 0; at < by->in; at += 16)
                put_bf16((uint16_t *)inputs->numbers + row * inputs->step + at, _mm512_loadu_ps(x + at));
}

enum { KEPT, ACTIVATED, ACTIVATED_SHORT, ADDED };

/* Products of a tile, and what becomes of them: kept in bfloat16, activated in fp32 or in bfloat16, or added to what is there. */
INLINE void multiply_tile(const Product *by, const Inputs *inputs, long rows, void *y, long step, const Gate *gate, int what)
{
    for (long column = 0; column < by->out; column += TILE_N) {
        for (long first = 0; first < rows; first += ROWS) {
            long there = least(ROWS, rows - first);
            __m512 sums[ROWS * 4];
            if (by->kind == 8)
                byte_dots((uint8_t *)inputs->numbers + first * inputs->step, inputs->step, there, inputs->steps + first,
                          (const int8_t *)by->weights + column * by->in, by->in, by->sums + column, by->scales + column, sums);
            else
                dots((uint16_t *)inputs->numbers + first * inputs->step, inputs->step, there,
                     (const uint16_t *)by->weights + column * by->in, by->in, sums, ROWS, 4);
            for (long row = 0; row < there; row++)
                for (long one = 0; one < 4; one++) {
                    long at = (first + row) * step + column + one * 16;
                    __m512 sum = sums[row * 4 + one];
                    if (by->bias)
                        sum = _mm512_add_ps(sum, _mm512_loadu_ps(by->bias + column + one * 16));
                    if (what == ACTIVATED || what == ACTIVATED_SHORT)
                        sum = gated(sum, gate);
                    if (what == ADDED)
                        sum = _mm512_add_ps(_mm512_loadu_ps((float *)y + at), sum);
                    if (what == ADDED || what == ACTIVATED)
                        _mm512_storeu_ps((float *)y + at, sum);
                    else
                        put_bf16((uint16_t *)y + at, sum);
                }
        }
    }
}

static void multiply_kept(const Product *by, const Inputs *inputs, long rows, uint16_t *y)
{
    multiply_tile(by, inputs, rows, y, by->out, 0, KEPT);
}

static void multiply_activated(const Product *by, const Inputs *inputs, long rows, float *y, const Gate *gate)
{
    multiply_tile(by, inputs, rows, y, by->out, gate, ACTIVATED);
}

static void multiply_short(const Product *by, const Inputs *inputs, long rows, uint16_t *y, const Gate *gate)
{
    multiply_tile(by, inputs, rows, y, by->out, gate, ACTIVATED_SHORT);
}

static void multiply_added(const Product *by, const Inputs *inputs, long rows, float *y)
{
    multiply_tile(by, inputs, rows, y, by->out, 0, ADDED);
}

/* y = (x - mean) / sqrt(variance + eps) * weight + bias, row by row; y may be x. */
static void layer_norm(const float *x, const float *weight, const float *bias, float *y, long rows, long width, double eps)
{
    for (long row = 0; row < rows; row++, x += width, y += width) {
        __m512 sums[2] = {0}, squares[2] = {0};
        for (long at = 0; at < width; at += 16)
            sums[at / 16 % 2] = _mm512_add_ps(sums[at / 16 % 2], _mm512_loadu_ps(x + at));
        __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1])) / (float)width);
        for (long at = 0; at < width; at += 16) {
            __m512 off = _mm512_sub_ps(_mm512_loadu_ps(x + at), mean);
            squares[at / 16 % 2] = _mm512_fmadd_ps(off, off, squares[at / 16 % 2]);
        }
        float variance = _mm512_reduce_add_ps(_mm512_add_ps(squares[0], squares[1])) / (float)width;
        __m512 scale = _mm512_set1_ps(1.0f / __builtin_sqrtf(variance + (float)eps));
        for (long at = 0; at < width; at += 16) {
            __m512 off = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(x + at), mean), scale);
            __m512 added = bias ? _mm512_loadu_ps(bias + at) : _mm512_setzero_ps();
            _mm512_storeu_ps(y + at, _mm512_fmadd_ps(off, _mm512_loadu_ps(weight + at), added));
        }
    }
}

/* 64 bytes' multiples, one behind the other. */
INLINE void *taken(char **room, long bytes)
{
    char *own = *room;
    *room += upto(bytes, 64);
    return own;
}

/* A tile of rows: from what its heads saw to the next block's queries, keys and values. */
static void through_block(const void *about, long unit, int thread)
{
    const Encoding *pass = about;
    const EncoderShape *shape = pass->shape;
    const EncoderLayer *layer = pass->layer, *next = pass->next;
    long width = shape->width, first = unit * shape->tile, rows = least(shape->tile, pass->rows - first);
    long longest = shape->hidden > inner(shape) ? shape->hidden : inner(shape);
    float *x = pass->x + first * width;
    char *room = pass->room + thread * pass->each;
    Inputs inputs = {0, taken(&room, shape->tile * 4), upto(longest > width ? longest : width, 64)};
    inputs.numbers = taken(&room, shape->tile * inputs.step * 2);
    float *normed = taken(&room, shape->tile * width * 4), *hidden = taken(&room, shape->tile * shape->hidden * 4);
    if (layer) {
        prepare(&inputs, &layer->out, pass->seen + first * inner(shape), inner(shape), rows);
        multiply_added(&layer->out, &inputs, rows, x);
        if (shape->pre)
            layer_norm(x, layer->second_norm, layer->second_norm_bias, normed, rows, width, shape->eps);
        else
            layer_norm(x, layer->norm, layer->norm_bias, x, rows, width, shape->eps);
        prepare(&inputs, &layer->up, shape->pre ? normed : x, width, rows);
        if (layer->down.kind == 8) {
            multiply_activated(&layer->up, &inputs, rows, hidden, shape->gate);
            prepare(&inputs, &layer->down, hidden, shape->hidden, rows);
            multiply_added(&layer->down, &inputs, rows, x);
        } else {
            Inputs activated = {hidden, 0, shape->hidden};
            multiply_short(&layer->up, &inputs, rows, (uint16_t *)hidden, shape->gate);
            multiply_added(&layer->down, &activated, rows, x);
        }
        if (!shape->pre)
            layer_norm(x, layer->second_norm, layer->second_norm_bias, x, rows, width, shape->eps);
    }
    if (!next)
        return;
    if (shape->pre)
        layer_norm(x, next->norm, next->norm_bias, normed, rows, width, shape->eps);
    prepare(&inputs, &next->qkv, shape->pre ? normed : x, width, rows);
    multiply_kept(&next->qkv, &inputs, rows, next->states + first * next->qkv.out);
}

/* 2^x for x <= 0, relative error 1e-4: weights are rounded to bfloat16 behind it. NaN propagates. */
INLINE __m512 power(__m512 x)
{
    const float terms[] = {0.05583828f, 0.24263948f, 0.69313673f, 0.99992456f};
    x = _mm512_max_ps(_mm512_set1_ps(-126), x);
    __m512 whole = _mm512_roundscale_ps(x, 8), left = _mm512_sub_ps(x, whole), sum = _mm512_set1_ps(terms[0]);
    for (int term = 1; term < 4; term++)
        sum = _mm512_fmadd_ps(sum, left, _mm512_set1_ps(terms[term]));
    return _mm512_scalef_ps(sum, whole);
}

/* scores (`seen`) -> weights in bfloat16, 0 behind them up to `wide`; returns what they sum to. `scale`: that of scores, for
   powers of 2. */
INLINE float softmax(const float *scores, uint16_t *weights, long seen, long wide, float scale)
{
    __m512 most = _mm512_set1_ps(-__builtin_inff()), total = _mm512_setzero_ps(), scaled = _mm512_set1_ps(scale);
    long at = 0;
    for (; at + 16 <= seen; at += 16)
        most = _mm512_max_ps(_mm512_loadu_ps(scores + at), most);
    if (at < seen)
        most = _mm512_mask_max_ps(most, some_of(seen - at), _mm512_loadu_ps(scores + at), most);
    most = _mm512_mul_ps(_mm512_set1_ps(_mm512_reduce_max_ps(most)), scaled);
    for (at = 0; at + 16 <= seen; at += 16) {
        __m512 weight = power(_mm512_fmsub_ps(_mm512_loadu_ps(scores + at), scaled, most));
        total = _mm512_add_ps(total, weight);
        put_bf16(weights + at, weight);
    }
    for (; at < wide; at += 16) {
        __m512 weight = _mm512_maskz_mov_ps(seen > at ? some_of(seen - at) : 0, power(_mm512_fmsub_ps(_mm512_loadu_ps(scores + at), scaled, most)));
        total = _mm512_add_ps(total, weight);
        put_bf16(weights + at, weight);
    }
    return _mm512_reduce_add_ps(total);
}

/* Keys as panels (size / 2, 64, 2) and values as panels (keys / 2, HALF, 2), zeros behind the last one. */
INLINE void pack_keys(const uint16_t *states, long step, long from, long count, long size, long skip, long each, uint32_t *keys,
                      uint16_t *values)
{
    for (long key = from; key < from + count; key++, states += step) {
        uint32_t *panel = keys + key / TILE_N * TILE_N * (size / 2) + key % TILE_N;
        for (long at = 0; at < size / 2; at++)
            __builtin_memcpy(panel + at * TILE_N, states + skip + at * 2, 4);
        for (long at = 0; at < size; at += 16) {
            uint16_t *to = values + at / HALF * each * HALF + key / 2 * 2 * HALF + at % HALF * 2;
            __m512i own = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(states + 2 * skip + at)));
            if (key % 2) /* behind the other one's */
                own = _mm512_or_si512(_mm512_slli_epi32(own, 16), _mm512_loadu_si512(to));
            _mm512_storeu_si512(to, own);
        }
    }
}

/* A head of a sequence. */
static void attend_head(const void *about, long unit, int thread)
{
    const Encoding *pass = about;
    const EncoderShape *shape = pass->shape;
    const EncoderLayer *layer = pass->layer;
    const Sequence *sequence = pass->sequences + unit / shape->heads;
    long size = shape->size, step = layer->qkv.out, head = unit % shape->heads, past = sequence->past_count;
    long all = past + sequence->count, each = upto(shape->most, TILE_N), wide = upto(all, TILE_N);
    char *room = pass->room + thread * pass->each;
    float *scores = taken(&room, QUERIES * each * 4);
    uint16_t *weights = taken(&room, QUERIES * each * 2), *values = taken(&room, each * size * 2);
    uint32_t *keys = taken(&room, each * size * 2);
    const uint16_t *own = layer->states + sequence->first * step + head * size;
    __builtin_memset(keys + (wide - TILE_N) * (size / 2), 0, TILE_N * size * 2);
    for (long part = 0; part < size / HALF; part++)
        __builtin_memset(values + part * each * HALF + (wide - TILE_N) * HALF, 0, TILE_N * HALF * 2);
    if (past)
        pack_keys(layer->past + sequence->past_first * step + head * size, step, 0, past, size, inner(shape), each, keys, values);
    pack_keys(own, step, past, sequence->count, size, inner(shape), each, keys, values);
    const int64_t *wanted = pass->next ? 0 : shape->wanted; /* its last block: one row's query, whose place is the sequence's */
    long begin = wanted ? wanted[unit / shape->heads] - sequence->first : 0, end = wanted ? begin + 1 : sequence->count;
    float *y = pass->seen + (wanted ? unit / shape->heads - begin : sequence->first) * inner(shape) + head * size;
    for (long first = begin; first < end; first += QUERIES) {
        long there = least(QUERIES, end - first), seen = shape->causal ? past + first + there : all;
        float totals[QUERIES];
        __m512 sums[QUERIES * 2];
        wide = upto(seen, TILE_N);
        for (long panel = 0; panel < wide / TILE_N; panel++)
            for (long row = 0; row < there; row += ROWS) {
                dots(own + (first + row) * step, step, there - row, (uint16_t *)(keys + panel * TILE_N * (size / 2)), size, sums, ROWS, 4);
                for (int one = 0; one < ROWS * 4; one++)
                    _mm512_storeu_ps(scores + (row + one / 4) * each + panel * TILE_N + one % 4 * 16, sums[one]);
            }
        for (long row = 0; row < there; row++)
            totals[row] = softmax(scores + row * each, weights + row * each, shape->causal ? past + first + row + 1 : all, wide, (float)(shape->scale * 1.4426950408889634));
        for (long part = 0; part < size / HALF; part++) {
            dots(weights, each, there, values + part * each * HALF, upto(seen, 2), sums, QUERIES, 2);
            for (long row = 0; row < there; row++)
                for (long one = 0; one < 2; one++)
                    _mm512_storeu_ps(y + (first + row) * inner(shape) + part * HALF + one * 16, _mm512_div_ps(sums[row * 2 + one], _mm512_set1_ps(totals[row])));
        }
    }
}

/* Bytes of a thread's room. */
long encoder_room(const EncoderShape *shape)
{
    long longest = shape->hidden > inner(shape) ? shape->hidden : inner(shape), each = upto(shape->most, TILE_N);
    long tile = shape->tile * (4 + 2 * upto(longest > shape->width ? longest : shape->width, 64) + 4 * (shape->width + shape->hidden));
    long attention = QUERIES * each * 6 + each * shape->size * 4;
    return upto(tile > attention ? tile : attention, 64) + 8 * 64;
}

int has_encoder(void) { return 1; }

/* x (rows, width) -> the same behind all blocks, in place; of wanted rows alone, which come first then. `seen`: (rows, heads size); `room`: of every thread. */
void encode(const EncoderLayer *layers, const EncoderShape *shape, const Sequence *sequences, float *x, float *seen, char *room)
{
    Encoding pass = {0, layers, shape, sequences, x, seen, shape->rows, room, encoder_room(shape)};
    Crew crew = {.threads = least(shape->threads, MOST_THREADS)};
#pragma omp parallel num_threads(crew.threads)
    {
        int thread = omp_get_thread_num();
        if (thread) {
            serve(&crew, thread);
        } else {
            share(&crew, through_block, &pass, upto(pass.rows, shape->tile) / shape->tile);
            for (long number = 0; number < shape->layers; number++) {
                pass.layer = layers + number, pass.next = number + 1 < shape->layers ? layers + number + 1 : 0;
                share(&crew, attend_head, &pass, shape->sequences * shape->heads);
                if (!pass.next && shape->wanted) {
                    pass.rows = shape->sequences;
                    for (long one = 0; one < pass.rows; one++) /* they ascend */
                        __builtin_memmove(x + one * shape->width, x + shape->wanted[one] * shape->width, shape->width * sizeof(float));
                }
                share(&crew, through_block, &pass, upto(pass.rows, shape->tile) / shape->tile);
            }
            dismiss(&crew);
        }
    }
}

#else

int has_encoder(void) { return 0; }

#endif
