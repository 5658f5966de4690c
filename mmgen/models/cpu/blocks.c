/* Matrices that stay in GGUF's blocks, as few bytes as their files have, and products with them.

   A matrix lies in panels of 16 outputs. A panel has the numbers of a few groups of 32 inputs, group by group, then their scales,
   block by block; then the next groups: in the order in which it is read, as a processor fetches ahead what goes on, and of two
   places by turns half as fast (17 against 28 GB/s, one Zen core). Numbers are unsigned; what a type subtracts from them (8 in Q4_0) is subtracted from the sum of products,
   as integers. A group of 32 inputs is 8 steps of 4: a vector of a step has, for each of 16 outputs, its 4 inputs' bytes, and

     4 bits: [4][64] bytes; the lower halves of the first are step 0, the upper ones step 1, and so on
     a fifth bit: [64] bytes more; bit s of each belongs to step s
     two more bits: [2][64] bytes; of the first, bits 0 and 1 belong to step 0, bits 2 and 3 to step 1
     8 bits: [8][64] bytes

   Inputs become integers, 32 by 32 (Fixed). So products are of bytes, four at once where the processor has AVX-512 VNNI,
   with the same sums where it has not. Three planes of bytes are as exact as fp32, 2^-24 of the largest of 32 inputs; one
   plane is what llama.cpp does. fp16 and bf16 are multiplied in floating point, input after input; bf16 also with inputs rounded
   to it (PAIRS), two of them at once: its panels are (in / 2, 16, 2). */

#include "blocks.h"
#include "wide.h"
#include <omp.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define LANES 16    /* outputs of a panel */
#ifdef __AVX512F__
#define MOST_ROWS 8       /* that are multiplied at once, of one plane: as many sums as registers hold */
#define MOST_EXACT_ROWS 4 /* of three planes */
#else
#define MOST_ROWS 4
#define MOST_EXACT_ROWS 2
#endif
#define AHEAD 16    /* rows that are left of a panel when the next one is fetched */
#define MOST_PAIR_ROWS 12 /* that are multiplied at once with two panels of bf16: 24 vectors of sums */

enum { F16 = 1, Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8, Q4_K = 12, Q5_K = 13, Q6_K = 14, BF16 = 30, MXFP4 = 39 };

INLINE long least(long one, long other) { return one < other ? one : other; }
INLINE int is_plain(int type) { return type == F16 || type == BF16; }
INLINE int is_super(int type) { return type == Q4_K || type == Q5_K || type == Q6_K; }
INLINE int has_mins(int type) { return type == Q4_1 || type == Q5_1 || type == Q4_K || type == Q5_K; }
INLINE int halves(int type) { return type == Q6_K ? 2 : 1; } /* of a group, with a scale each */

/* What is subtracted from every number. */
INLINE int zero(int type)
{
    return type == Q4_0 ? 8 : type == Q5_0 ? 16 : type == Q8_0 ? 128 : type == Q6_K ? 32 : type == MXFP4 ? 12 : 0;
}

/* Bytes of a group's numbers in a panel. */
INLINE long group_bytes(int type)
{
    if (type == Q8_0)
        return 512;
    return type == Q5_0 || type == Q5_1 || type == Q5_K ? 320 : type == Q6_K ? 384 : 256;
}

/* Bytes of a block's scales in a panel. Of Q4_K and Q5_K those of 6 bits become bytes. */
INLINE long head_bytes(int type)
{
    if (is_super(type))
        return type == Q6_K ? 288 : 320;
    return type == MXFP4 ? 16 : has_mins(type) ? 64 : 32;
}

static long panel_bytes(int type, long in)
{
    if (is_plain(type))
        return in * LANES * 2;
    return in / 32 * group_bytes(type) + in / (is_super(type) ? 256 : 32) * head_bytes(type);
}

/* Where in a panel an input's number of 16 bits lies. */
INLINE long plain_at(int type, long at, long lane)
{
    return type == BF16 ? (at / 2 * LANES + lane) * 4 + at % 2 * 2 : (at * LANES + lane) * 2;
}

/* Groups whose numbers lie together, with their scales behind them: so that all begin at a multiple of 64 bytes. */
INLINE long together(int type) { return is_super(type) ? 8 : head_bytes(type) >= 64 ? 1 : 64 / head_bytes(type); }

/* Where a group's numbers lie in a panel of so many. */
INLINE const uint8_t *group_at(int type, const uint8_t *panel, long group)
{
    long blocks = is_super(type) ? 1 : together(type), each = together(type) * group_bytes(type) + blocks * head_bytes(type);
    return panel + group / together(type) * each + group % together(type) * group_bytes(type);
}

/* And the scales of its block. */
INLINE const uint8_t *head_at(int type, const uint8_t *panel, long group, long groups)
{
    long first = group / together(type) * together(type), some = least(together(type), groups - first);
    return group_at(type, panel, first) + some * group_bytes(type) + (is_super(type) ? 0 : (group - first) * head_bytes(type));
}

/* 1. From a file's rows to panels, and back to numbers. */

INLINE float half_float(const uint8_t *from)
{
    uint16_t bits;
    memcpy(&bits, from, 2);
    return _cvtsh_ss(bits);
}

/* A block's numbers, 32 or 256. */
static void unpack(int type, const uint8_t *block, uint8_t *codes)
{
    if (type == Q8_0) {
        for (int at = 0; at < 32; at++)
            codes[at] = block[2 + at] ^ 128;
    } else if (type == Q6_K) {
        for (int at = 0; at < 256; at++) {
            int part = at / 128, left = at % 128;
            int low = block[part * 64 + left % 64] >> (left / 64 * 4) & 15;
            codes[at] = low | (block[128 + part * 32 + left % 32] >> (left / 32 * 2) & 3) << 4;
        }
    } else if (is_super(type)) {
        const uint8_t *numbers = block + (type == Q5_K ? 48 : 16);
        for (int at = 0; at < 256; at++) {
            codes[at] = numbers[at / 64 * 32 + at % 32] >> (at / 32 % 2 * 4) & 15;
            if (type == Q5_K)
                codes[at] |= (block[16 + at % 32] >> at / 32 & 1) << 4;
        }
    } else {
        const uint8_t *numbers = block + (type == Q4_0 ? 2 : type == Q4_1 ? 4 : type == Q5_0 ? 6 : type == Q5_1 ? 8 : 1);
        for (int at = 0; at < 32; at++) {
            codes[at] = numbers[at % 16] >> (at / 16 * 4) & 15;
            if (type == Q5_0 || type == Q5_1)
                codes[at] |= (numbers[-4 + at / 8] >> at % 8 & 1) << 4;
        }
    }
}

/* A block's scales, as output `lane` of a panel has them. */
static void pack_head(int type, const uint8_t *block, uint8_t *head, int lane)
{
    if (type == MXFP4) {
        head[lane] = block[0];
    } else if (type == Q6_K) {
        memcpy(head + lane * 2, block + 208, 2);
        for (int at = 0; at < 16; at++)
            head[32 + at * LANES + lane] = block[192 + at];
    } else {
        memcpy(head + lane * 2, block, 2);
        if (has_mins(type))
            memcpy(head + 32 + lane * 2, block + 2, 2);
        for (int at = 0; is_super(type) && at < 8; at++) {
            const uint8_t *scales = block + 4;
            int scale = at < 4 ? scales[at] & 63 : (scales[4 + at] & 15) | (scales[at - 4] >> 6) << 4;
            int offset = at < 4 ? scales[4 + at] & 63 : scales[4 + at] >> 4 | (scales[at] >> 6) << 4;
            head[64 + at * LANES + lane] = scale;
            head[192 + at * LANES + lane] = offset;
        }
    }
}

/* A group's numbers of one output; `to` was zero before. */
static void pack_group(int type, const uint8_t *codes, uint8_t *to, int lane)
{
    for (int at = 0; at < 32; at++) {
        int step = at / 4, place = lane * 4 + at % 4;
        if (type == Q8_0) {
            to[step * 64 + place] = codes[at];
            continue;
        }
        to[step / 2 * 64 + place] |= (codes[at] & 15) << step % 2 * 4;
        if (type == Q6_K)
            to[256 + step / 4 * 64 + place] |= codes[at] >> 4 << step % 4 * 2;
        else if (group_bytes(type) == 320)
            to[256 + place] |= codes[at] >> 4 << step;
    }
}

/* Bytes of all panels; 0: a type that is not known here, or inputs that its blocks do not fill. */
long blocks_bytes(long type, long out, long in)
{
    const int known[] = {F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, BF16, MXFP4};
    for (unsigned one = 0; one < sizeof(known) / sizeof(int); one++)
        if (type == known[one] && in % (is_super(type) ? 256 : 32) == 0)
            return (out + LANES - 1) / LANES * panel_bytes(type, in);
    return 0;
}

/* From rows of `step` bytes; `panels` is zero before. */
void pack_blocks(const uint8_t *rows, uint8_t *panels, long type, long out, long in, long step)
{
    long values = is_super(type) ? 256 : 32, size = step / (in / values), each = panel_bytes(type, in);
#pragma omp parallel for schedule(static)
    for (long first = 0; first < out; first += LANES)
        for (long lane = 0; lane < least(LANES, out - first); lane++) {
            const uint8_t *row = rows + (first + lane) * step;
            uint8_t *panel = panels + first / LANES * each;
            for (long at = 0; is_plain(type) && at < in; at++)
                memcpy(panel + plain_at(type, at, lane), row + at * 2, 2);
            for (long block = 0; !is_plain(type) && block < in / values; block++) {
                uint8_t codes[256];
                unpack(type, row + block * size, codes);
                long begin = block * values / 32;
                pack_head(type, row + block * size, (uint8_t *)head_at(type, panel, begin, in / 32), lane);
                for (long group = 0; group < values / 32; group++)
                    pack_group(type, codes + group * 32, (uint8_t *)group_at(type, panel, begin + group), lane);
            }
        }
}

/* 2. What the products read. */

INLINE __m512 halves_of(const uint8_t *from) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from)); }

/* 16 outputs' numbers of an input. */
INLINE __m512 plain_weights(int type, const uint8_t *panel, long at)
{
    if (type == F16)
        return halves_of(panel + plain_at(type, at, 0));
    __m512i pairs = _mm512_loadu_si512(panel + plain_at(type, at / 2 * 2, 0));
    return _mm512_castsi512_ps(at % 2 ? _mm512_and_si512(pairs, _mm512_set1_epi32(0xffff0000)) : _mm512_slli_epi32(pairs, 16));
}

INLINE __m512 bytes(const uint8_t *from, int is_signed)
{
    __m128i some = _mm_loadu_si128((const __m128i *)from);
    return _mm512_cvtepi32_ps(is_signed ? _mm512_cvtepi8_epi32(some) : _mm512_cvtepu8_epi32(some));
}

/* 2^(e - 128), as ggml has it: also where that is no normal number. */
INLINE __m512 powers(const uint8_t *from)
{
    __m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)from));
    __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    __m512i small = _mm512_sllv_epi32(_mm512_set1_epi32(0x200000), e);
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2)), small));
}

/* The scale of a group, or of its `half`; `head`: its block's. */
INLINE __m512 scale_of(int type, const uint8_t *head, long group, int half)
{
    if (type == MXFP4)
        return powers(head);
    if (type == Q6_K)
        return _mm512_mul_ps(halves_of(head), bytes(head + 32 + (group % 8 * 2 + half) * LANES, 1));
    return is_super(type) ? _mm512_mul_ps(halves_of(head), bytes(head + 64 + group % 8 * LANES, 0)) : halves_of(head);
}

INLINE __m512 min_of(int type, const uint8_t *head, long group)
{
    if (!is_super(type))
        return halves_of(head + 32);
    __m512 product = _mm512_mul_ps(halves_of(head + 32), bytes(head + 192 + group % 8 * LANES, 0));
    return _mm512_sub_ps(_mm512_setzero_ps(), product);
}

/* The bytes of a step. */
INLINE __m512i codes_of(int type, const uint8_t *group, int step)
{
    if (type == Q8_0)
        return _mm512_loadu_si512(group + step * 64);
    __m512i both = _mm512_loadu_si512(group + step / 2 * 64), four = _mm512_set1_epi8(15);
    __m512i low = _mm512_and_si512(step % 2 ? _mm512_srli_epi16(both, 4) : both, four);
    if (type == MXFP4) {
        const __m128i values = _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0);
        return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(values), low);
    }
    if (group_bytes(type) == 256)
        return low;
    __m512i more = _mm512_loadu_si512(group + 256 + (type == Q6_K ? step / 4 * 64 : 0));
    int right = type == Q6_K ? step % 4 * 2 - 4 : step - 4; /* to bit 4 */
    more = right < 0 ? _mm512_slli_epi16(more, -right) : right ? _mm512_srli_epi16(more, right) : more;
    return _mm512_or_si512(low, _mm512_and_si512(more, _mm512_set1_epi8(type == Q6_K ? 0x30 : 0x10)));
}

void unpack_blocks(const Part *part, const int64_t *outputs, float *y, long count, long in)
{
    int type = part->type;
    for (long one = 0; one < count; one++) {
        const uint8_t *panel = part->panels + outputs[one] / LANES * panel_bytes(type, in);
        int lane = outputs[one] % LANES;
        float *to = y + one * in, some[LANES], less[LANES] = {0};
        if (is_plain(type)) {
            for (long at = 0; at < in; at++) {
                const uint8_t *from = panel + plain_at(type, at, lane);
                uint32_t bits = (uint32_t)(from[0] | from[1] << 8) << 16;
                to[at] = half_float(from);
                if (type == BF16)
                    memcpy(to + at, &bits, 4);
            }
            continue;
        }
        for (long at = 0; at < in; at += 4) {
            const uint8_t *head = head_at(type, panel, at / 32, in / 32), *group = group_at(type, panel, at / 32);
            uint8_t codes[64];
            if (at % 16 == 0) {
                _mm512_storeu_ps(some, scale_of(type, head, at / 32, at / 16 % 2));
                if (has_mins(type))
                    _mm512_storeu_ps(less, min_of(type, head, at / 32));
            }
            _mm512_storeu_si512(codes, codes_of(type, group, at / 4 % 8));
            for (int place = 0; place < 4; place++)
                to[at + place] = some[lane] * (float)(codes[lane * 4 + place] - zero(type)) + less[lane];
        }
    }
}

/* 3. Products. */

/* The largest of 32 sizes; NaN where one is NaN. */
INLINE float largest_size(const __m512 *parts)
{
    __m512i sizes[2], all = _mm512_set1_epi32(0x7fffffff);
    for (int half = 0; half < 2; half++)
        sizes[half] = _mm512_and_si512(_mm512_castps_si512(parts[half]), all);
    int32_t size = _mm512_reduce_max_epi32(_mm512_max_epi32(sizes[0], sizes[1])); /* as integers: NaN is larger than all */
    float largest;
    memcpy(&largest, &size, 4);
    return largest;
}

/* In 8 bits. */
static void fix_to_bytes(const float *x, Fixed *to)
{
    __m512 parts[2] = {_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16)};
    float largest = largest_size(parts), step = largest < 1e-30f ? 0 : largest / 127; /* false for NaN */
    __m512 by = _mm512_set1_ps(largest < 1e-30f ? 0 : 127 / largest);
    __m128i halves[2];
    for (int half = 0; half < 2; half++)
        halves[half] = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(parts[half], by)));
    __m256i all = _mm256_set_m128i(halves[1], halves[0]);
    __m256i sums = _mm256_sad_epu8(_mm256_xor_si256(all, _mm256_set1_epi8(-128)), _mm256_setzero_si256()); /* of 8, each plus 128 */
    _mm256_storeu_si256((__m256i *)to->planes[0], all);
    to->lower[0] = (int32_t)(_mm256_extract_epi64(sums, 0) + _mm256_extract_epi64(sums, 1)) - 16 * 128;
    to->lower[1] = (int32_t)(_mm256_extract_epi64(sums, 2) + _mm256_extract_epi64(sums, 3)) - 16 * 128;
    to->upper[0] = to->upper[1] = 0;
    to->step = step;
    to->total = step * (float)(to->lower[0] + to->lower[1]);
}

/* In 24 bits. */
static void fix(const float *x, Fixed *to)
{
    __m512 parts[2] = {_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16)};
    float largest = largest_size(parts), step = largest < 1e-30f ? 0 : largest / (float)(127 << 16); /* false for NaN */
    __m512 by = _mm512_set1_ps(step == 0 ? 1 : step);
    for (int half = 0; half < 2; half++) {
        __m512i number = _mm512_cvtps_epi32(_mm512_div_ps(parts[half], by));
        __m512i high = _mm512_srai_epi32(_mm512_add_epi32(number, _mm512_set1_epi32(32896)), 16);
        __m512i upper = _mm512_srai_epi32(_mm512_add_epi32(number, _mm512_set1_epi32(128)), 8);
        __m512i last = _mm512_sub_epi32(number, _mm512_slli_epi32(upper, 8));
        _mm_storeu_si128((__m128i *)(to->planes[0] + half * 16), _mm512_cvtepi32_epi8(high));
        _mm_storeu_si128((__m128i *)(to->planes[1] + half * 16), _mm512_cvtepi32_epi8(upper)); /* modulo 256 */
        _mm_storeu_si128((__m128i *)(to->planes[2] + half * 16), _mm512_cvtepi32_epi8(last));
        to->upper[half] = _mm512_reduce_add_epi32(upper);
        to->lower[half] = _mm512_reduce_add_epi32(last);
    }
    to->step = step;
    to->total = step * (256 * (float)(to->upper[0] + to->upper[1]) + (float)(to->lower[0] + to->lower[1]));
}

INLINE __m512i four(const int8_t *from)
{
    int32_t same;
    memcpy(&same, from, 4);
    return _mm512_set1_epi32(same);
}

/* sum + the products of four unsigned with four signed bytes. */
INLINE __m512i add_products(__m512i sum, __m512i codes, __m512i x)
{
#ifdef __AVX512VNNI__
    return _mm512_dpbusd_epi32(sum, codes, x);
#else
    __m512i even = _mm512_and_si512(codes, _mm512_set1_epi16(255)), odd = _mm512_srli_epi16(codes, 8);
    sum = _mm512_add_epi32(sum, _mm512_madd_epi16(even, _mm512_srai_epi16(_mm512_slli_epi16(x, 8), 8)));
    return _mm512_add_epi32(sum, _mm512_madd_epi16(odd, _mm512_srai_epi16(x, 8)));
#endif
}

/* Steps whose products fit into 16 bits together, as unsigned numbers times signed bytes in pairs; 0: those of one do not. */
INLINE int steps_in_16_bits(int type)
{
    return type == Q8_0 ? 0 : type == Q6_K ? 2 : group_bytes(type) == 320 || type == MXFP4 ? 4 : 8;
}

/* Of a group, or half of one, the products with each plane of each row. */
INLINE void multiply_steps(int type, const uint8_t *numbers, const Fixed *x, long groups, int half, int rows, int planes,
                           __m512i sums[MOST_ROWS][3])
{
#ifdef __AVX512F__
    int fit = 0; /* VNNI needs none, and takes the same as two instructions of 16 bits */
#else
    int fit = steps_in_16_bits(type);
    __m512i narrow[MOST_ROWS][3];
#endif
    for (int row = 0; row < rows; row++)
        for (int plane = 0; plane < planes; plane++)
            sums[row][plane] = _mm512_setzero_si512();
    for (int step = half * 4; step < (half + 1) * 8 / halves(type); step++) {
        __m512i codes = codes_of(type, numbers, step);
        for (int row = 0; row < rows; row++)
            for (int plane = 0; plane < planes; plane++) {
                __m512i own = four(x[row * groups].planes[plane] + step * 4);
                if (!fit) {
                    sums[row][plane] = add_products(sums[row][plane], codes, own);
                    continue;
                }
#ifndef __AVX512F__
                __m512i pairs = _mm512_maddubs_epi16(codes, own);
                narrow[row][plane] = step % fit ? _mm512_add_epi16(narrow[row][plane], pairs) : pairs;
                if (step % fit == fit - 1)
                    sums[row][plane] =
                        _mm512_add_epi32(sums[row][plane], _mm512_madd_epi16(narrow[row][plane], _mm512_set1_epi16(1)));
#endif
            }
    }
}

/* y + what a group, or half of one, gives. `sums`: of the products with each plane. */
INLINE __m512 scaled(const __m512i *sums, const Fixed *x, int type_zero, int halves, int half, __m512 scale, __m512 y, int planes)
{
    int32_t lower = halves == 2 ? x->lower[half] : x->lower[0] + x->lower[1];
    __m512 exact = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums[planes - 1], _mm512_set1_epi32(type_zero * lower)));
    if (planes == 3) {
        int32_t upper = halves == 2 ? x->upper[half] : x->upper[0] + x->upper[1];
        __m512i high = _mm512_add_epi32(_mm512_slli_epi32(sums[0], 8), sums[1]);
        high = _mm512_sub_epi32(high, _mm512_set1_epi32(type_zero * upper));
        exact = _mm512_fmadd_ps(_mm512_cvtepi32_ps(high), _mm512_set1_ps(256), exact);
    }
    return _mm512_fmadd_ps(_mm512_mul_ps(exact, _mm512_set1_ps(x->step)), scale, y);
}

/* A panel times a few rows. x: (rows, in / 32). `next`: a panel that is read after this one, and is fetched meanwhile; or 0. */
INLINE void panel_rows(int type, const uint8_t *panel, const Fixed *x, __m512 *to, long in, int rows, int planes, const uint8_t *next)
{
    long groups = in / 32, each = panel_bytes(type, in) / groups;
    __m512 y[MOST_ROWS];
    for (int row = 0; row < rows; row++)
        y[row] = _mm512_setzero_ps();
    for (long group = 0; group < groups; group++) {
        const uint8_t *numbers = group_at(type, panel, group), *head = head_at(type, panel, group, groups);
        for (long at = 0; next && at < each; at += 64)
            _mm_prefetch((const char *)next + group * each + at, _MM_HINT_T1);
        for (int half = 0; half < halves(type); half++) {
            __m512i sums[MOST_ROWS][3];
            multiply_steps(type, numbers, x + group, groups, half, rows, planes, sums);
            __m512 scale = scale_of(type, head, group, half);
            for (int row = 0; row < rows; row++) {
                const Fixed *own = x + row * groups + group;
                y[row] = scaled(sums[row], own, zero(type), halves(type), half, scale, y[row], planes);
                if (has_mins(type))
                    y[row] = _mm512_fmadd_ps(_mm512_set1_ps(own->total), min_of(type, head, group), y[row]);
            }
        }
    }
    for (int row = 0; row < rows; row++)
        to[row] = y[row];
}

INLINE void plain_rows(int type, const uint8_t *panel, const float *x, __m512 *to, long in, int rows)
{
    __m512 y[MOST_ROWS];
    for (int row = 0; row < rows; row++)
        y[row] = _mm512_setzero_ps();
    for (long pair = 0; pair < in; pair += 2)
        for (long at = pair; at < pair + 2; at++) {
            __m512 weights = plain_weights(type, panel, at);
            for (int row = 0; row < rows; row++)
                y[row] = _mm512_fmadd_ps(weights, _mm512_set1_ps(x[row * in + at]), y[row]);
        }
    for (int row = 0; row < rows; row++)
        to[row] = y[row];
}

/* A panel times some of the rows that are left, from `row` on; returns how many. Each count is compiled on its own, with sums in
   registers. `next`: as of `panel_rows`, fetched with the last rows. */
static long some_rows(int type, const uint8_t *panel, const float *plain, const Fixed *x, __m512 *y, long in, long left, int planes,
                      const uint8_t *next)
{
#define COUNT(type, planes, count)                                                                                            \
    if (left >= count) {                                                                                                      \
        panel_rows(type, panel, x, y, in, count, planes, left <= AHEAD ? next : 0);                                           \
        return count;                                                                                                         \
    }
#define PLAIN(type, count)                                                                                                    \
    if (left >= count) {                                                                                                      \
        plain_rows(type, panel, plain, y, in, count);                                                                         \
        return count;                                                                                                         \
    }
#define TYPE(type)                                                                                                            \
    case type:                                                                                                                \
        if (planes == 3) {                                                                                                    \
            COUNT(type, 3, MOST_EXACT_ROWS)                                                                                   \
            COUNT(type, 3, 2)                                                                                                 \
            COUNT(type, 3, 1)                                                                                                 \
        }                                                                                                                     \
        COUNT(type, 1, MOST_ROWS)                                                                                             \
        COUNT(type, 1, 4)                                                                                                     \
        COUNT(type, 1, 2)                                                                                                     \
        COUNT(type, 1, 1)                                                                                                     \
        break;
#define PLAIN_TYPE(type)                                                                                                      \
    case type:                                                                                                                \
        PLAIN(type, MOST_ROWS)                                                                                                \
        PLAIN(type, 4)                                                                                                        \
        PLAIN(type, 2)                                                                                                        \
        PLAIN(type, 1)                                                                                                        \
        break;
    switch (type) {
        TYPE(Q4_0)
        TYPE(Q4_1)
        TYPE(Q5_0)
        TYPE(Q5_1)
        TYPE(Q8_0)
        TYPE(Q4_K)
        TYPE(Q5_K)
        TYPE(Q6_K)
        TYPE(MXFP4)
        PLAIN_TYPE(F16)
        PLAIN_TYPE(BF16)
    }
#undef TYPE
#undef PLAIN_TYPE
#undef COUNT
#undef PLAIN
    return left;
}

INLINE __mmask16 lanes(long count) { return count >= LANES ? 0xffff : count <= 0 ? 0 : (__mmask16)((1 << count) - 1); }

/* A panel of a part, of outputs from `first` of it on. `y` and `bias` begin with that output; `step`: outputs of a row of y. */
static void multiply_panel(const Part *part, long first, const float *plain, const Fixed *x, const float *bias, float *y, long step,
                           long rows, long in, int planes)
{
    const uint8_t *panel = part->panels + first / LANES * panel_bytes(part->type, in), *next = panel + panel_bytes(part->type, in);
    __mmask16 there = lanes(part->out - first);
    for (long row = 0, done; row < rows; row += done) {
        __m512 sums[MOST_ROWS];
        done = some_rows(part->type, panel, plain + row * in, x + row * (in / 32), sums, in, rows - row, planes, next);
        for (long one = 0; one < done; one++) {
            if (bias)
                sums[one] = _mm512_add_ps(sums[one], _mm512_maskz_loadu_ps(there, bias));
            _mm512_mask_storeu_ps(y + (row + one) * step, there, sums[one]);
        }
    }
}

#ifdef __AVX512BF16__

int multiplies_bf16(void) { return 1; }

/* In bfloat16. */
INLINE void fix_to_pairs(const float *x, Fixed *to)
{
    _mm512_storeu_si512(to->planes, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(x)));
}

/* Some panels, `each` bytes apart, times a few rows of bfloat16; of each row as many vectors of sums. */
INLINE void pair_rows(const uint8_t *panel, long each, const Fixed *x, __m512 *to, long in, int rows, int panels)
{
    long groups = in / 32;
    __m512 y[MOST_PAIR_ROWS * 2];
    for (int one = 0; one < rows * panels; one++)
        y[one] = _mm512_setzero_ps();
    for (long group = 0; group < groups; group++)
        for (int pair = 0; pair < 16; pair++, panel += 64) {
            __m512bh weights[2];
            for (int one = 0; one < panels; one++)
                weights[one] = (__m512bh)_mm512_loadu_si512(panel + one * each);
            for (int row = 0; row < rows; row++) {
                __m512bh same = (__m512bh)four((const int8_t *)x[row * groups + group].planes + pair * 4);
                for (int one = 0; one < panels; one++)
                    y[row * panels + one] = _mm512_dpbf16_ps(y[row * panels + one], same, weights[one]);
            }
        }
    for (int one = 0; one < rows * panels; one++)
        to[one] = y[one];
}

/* As `some_rows`. */
static long some_pairs(const uint8_t *panel, long each, const Fixed *x, __m512 *y, long in, long left, int panels)
{
#define COUNT(count)                                                                                                          \
    if (left >= count) {                                                                                                      \
        if (panels == 2)                                                                                                      \
            pair_rows(panel, each, x, y, in, count, 2);                                                                       \
        else                                                                                                                  \
            pair_rows(panel, each, x, y, in, count, 1);                                                                       \
        return count;                                                                                                         \
    }
    COUNT(12)
    COUNT(8)
    COUNT(4)
    COUNT(2)
    COUNT(1)
#undef COUNT
    return left;
}

/* A unit of a part in bf16, of outputs from `first` of it on, times inputs in bf16; as `multiply_panel`. */
static void multiply_pairs(const Part *part, long first, const Fixed *x, const float *bias, float *y, long step, long rows, long in)
{
    long each = panel_bytes(BF16, in), wide = least(UNIT, part->out - first);
    int panels = wide > LANES ? 2 : 1;
    for (long row = 0, done; row < rows; row += done) {
        __m512 sums[MOST_PAIR_ROWS * 2];
        done = some_pairs(part->panels + first / LANES * each, each, x + row * (in / 32), sums, in, rows - row, panels);
        for (long one = 0; one < done * panels; one++) {
            long at = one % panels * LANES;
            if (bias)
                sums[one] = _mm512_add_ps(sums[one], _mm512_maskz_loadu_ps(lanes(wide - at), bias + at));
            _mm512_mask_storeu_ps(y + (row + one / panels) * step + at, lanes(wide - at), sums[one]);
        }
    }
}

#else

int multiplies_bf16(void) { return 0; }
INLINE void fix_to_pairs(const float *x, Fixed *to) {}
INLINE void multiply_pairs(const Part *part, long first, const Fixed *x, const float *bias, float *y, long step, long rows, long in) {}

#endif

void fix_inputs(const float *x, Fixed *to, long groups, long planes)
{
    for (long group = 0; group < groups; group++)
        if (planes == 3)
            fix(x + group * 32, to + group);
        else if (planes == PAIRS)
            fix_to_pairs(x + group * 32, to + group);
        else
            fix_to_bytes(x + group * 32, to + group);
}

INLINE long units_of(const Part *part) { return (part->out + UNIT - 1) / UNIT; }

long block_units(const Part *parts, long count)
{
    long units = 0;
    for (long one = 0; one < count; one++)
        units += units_of(parts + one);
    return units;
}

long unit_begin(const Part *parts, long unit)
{
    long before = 0;
    for (; unit >= units_of(parts); parts++) {
        unit -= units_of(parts);
        before += parts->out;
    }
    return before + unit * UNIT;
}

long unit_size(const Part *parts, long unit)
{
    for (; unit >= units_of(parts); parts++)
        unit -= units_of(parts);
    return least(UNIT, parts->out - unit * UNIT);
}

int takes_floats(const Part *parts, long count)
{
    int some = 0;
    for (long one = 0; one < count; one++)
        some |= is_plain(parts[one].type);
    return some;
}

void multiply_unit(const float *x, const Part *parts, const float *bias, float *y, const Fixed *fixed, long unit, long step,
                   long rows, long in, long planes)
{
    const float *added = bias ? bias + unit_begin(parts, unit) : 0;
    for (; unit >= units_of(parts); parts++)
        unit -= units_of(parts);
    if (planes == PAIRS) {
        multiply_pairs(parts, unit * UNIT, fixed, added, y, step, rows, in);
        return;
    }
    for (long at = 0; at < least(UNIT, parts->out - unit * UNIT); at += LANES)
        multiply_panel(parts, unit * UNIT + at, x, fixed, added ? added + at : 0, y + at, step, rows, in, planes);
}

void multiply_blocks(const float *x, const Part *parts, const float *bias, float *y, Fixed *room, long count, long rows, long in,
                     long planes)
{
    long groups = in / 32, whole = 0, units = block_units(parts, count);
    for (long one = 0; one < count; one++)
        whole += parts[one].out;
#pragma omp parallel for schedule(static) if (rows > 4)
    for (long row = 0; row < rows; row++)
        fix_inputs(x + row * in, room + row * groups, groups, planes);
#pragma omp parallel for schedule(static)
    for (long unit = 0; unit < units; unit++)
        multiply_unit(x, parts, bias, y + unit_begin(parts, unit), room, unit, whole, rows, in, planes);
}
