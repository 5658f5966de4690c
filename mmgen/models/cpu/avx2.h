/* Vectors of 16 numbers as two of 8, for processors with AVX2, FMA and F16C and without AVX-512: under the names of AVX-512's
   intrinsics, as far as they are used here, so that there is one source. A sum's additions keep their order. */

#ifndef AVX2_H
#define AVX2_H

#include <immintrin.h>
#include <stdint.h>

#define EACH static inline __attribute__((always_inline))

typedef struct {
    __m256 lo, hi;
} Floats;
typedef struct {
    __m256d lo, hi;
} Doubles;
typedef struct {
    __m256i lo, hi;
} Ints;

/* Of both halves. */
#define ONE(type, name, one) EACH type name(type x) { return (type){one(x.lo), one(x.hi)}; }
#define TWO(type, name, two) EACH type name(type x, type y) { return (type){two(x.lo, y.lo), two(x.hi, y.hi)}; }
#define THREE(type, name, three)                                                                                              \
    EACH type name(type x, type y, type z) { return (type){three(x.lo, y.lo, z.lo), three(x.hi, y.hi, z.hi)}; }
#define SHIFT(name, shift) EACH Ints name(Ints x, int by) { return (Ints){shift(x.lo, by), shift(x.hi, by)}; }

TWO(Floats, add_floats, _mm256_add_ps)
TWO(Floats, sub_floats, _mm256_sub_ps)
TWO(Floats, mul_floats, _mm256_mul_ps)
TWO(Floats, div_floats, _mm256_div_ps)
TWO(Floats, max_floats, _mm256_max_ps)
TWO(Floats, min_floats, _mm256_min_ps)
TWO(Floats, low_floats, _mm256_unpacklo_ps)
TWO(Floats, high_floats, _mm256_unpackhi_ps)
TWO(Doubles, low_doubles, _mm256_unpacklo_pd)
TWO(Doubles, high_doubles, _mm256_unpackhi_pd)
TWO(Doubles, add_doubles, _mm256_add_pd)
THREE(Floats, fmadd_floats, _mm256_fmadd_ps)
THREE(Floats, fmsub_floats, _mm256_fmsub_ps)
THREE(Floats, fnmadd_floats, _mm256_fnmadd_ps)
TWO(Ints, add_ints, _mm256_add_epi32)
TWO(Ints, sub_ints, _mm256_sub_epi32)
TWO(Ints, max_ints, _mm256_max_epi32)
TWO(Ints, and_ints, _mm256_and_si256)
TWO(Ints, or_ints, _mm256_or_si256)
TWO(Ints, madd_shorts, _mm256_madd_epi16)
TWO(Ints, madd_bytes, _mm256_maddubs_epi16)
TWO(Ints, add_shorts, _mm256_add_epi16)
TWO(Ints, shuffle_bytes, _mm256_shuffle_epi8)
TWO(Ints, shift_each_left, _mm256_sllv_epi32)
SHIFT(shift_left, _mm256_slli_epi32)
SHIFT(shift_right, _mm256_srai_epi32)
SHIFT(shift_shorts_left, _mm256_slli_epi16)
SHIFT(shift_shorts_down, _mm256_srli_epi16)
SHIFT(shift_shorts_right, _mm256_srai_epi16)

EACH Floats same_floats(float x) { return (Floats){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
EACH Ints same_ints(int32_t x) { return (Ints){_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
EACH Ints same_shorts(int16_t x) { return (Ints){_mm256_set1_epi16(x), _mm256_set1_epi16(x)}; }
EACH Ints same_bytes(int8_t x) { return (Ints){_mm256_set1_epi8(x), _mm256_set1_epi8(x)}; }
EACH Ints four_times(__m128i x) { return (Ints){_mm256_broadcastsi128_si256(x), _mm256_broadcastsi128_si256(x)}; }
EACH Floats no_floats(void) { return (Floats){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
EACH Doubles no_doubles(void) { return (Doubles){_mm256_setzero_pd(), _mm256_setzero_pd()}; }
EACH Ints no_ints(void) { return (Ints){_mm256_setzero_si256(), _mm256_setzero_si256()}; }

/* All bits of a number whose bit in `some` is set. */
EACH Ints places_of(__mmask16 some)
{
    __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128), lo = _mm256_set1_epi32(some), hi = _mm256_set1_epi32(some >> 8);
    return (Ints){_mm256_cmpeq_epi32(_mm256_and_si256(lo, bits), bits), _mm256_cmpeq_epi32(_mm256_and_si256(hi, bits), bits)};
}

EACH __mmask16 bits_of(__m256 lo, __m256 hi) { return (__mmask16)(_mm256_movemask_ps(lo) | _mm256_movemask_ps(hi) << 8); }

EACH Floats load_floats(const void *from) { return (Floats){_mm256_loadu_ps(from), _mm256_loadu_ps((const float *)from + 8)}; }
EACH Ints load_ints(const void *from)
{
    return (Ints){_mm256_loadu_si256((const __m256i *)from), _mm256_loadu_si256((const __m256i *)from + 1)};
}
EACH void store_floats(void *to, Floats x)
{
    _mm256_storeu_ps(to, x.lo);
    _mm256_storeu_ps((float *)to + 8, x.hi);
}
EACH void store_ints(void *to, Ints x)
{
    _mm256_storeu_si256((__m256i *)to, x.lo);
    _mm256_storeu_si256((__m256i *)to + 1, x.hi);
}

EACH Floats choose_floats(Floats other, __mmask16 some, Floats x)
{
    Ints places = places_of(some);
    return (Floats){_mm256_blendv_ps(other.lo, x.lo, _mm256_castsi256_ps(places.lo)),
                    _mm256_blendv_ps(other.hi, x.hi, _mm256_castsi256_ps(places.hi))};
}
EACH Ints choose_ints(Ints other, __mmask16 some, Ints x)
{
    Ints places = places_of(some);
    return (Ints){_mm256_blendv_epi8(other.lo, x.lo, places.lo), _mm256_blendv_epi8(other.hi, x.hi, places.hi)};
}
EACH Floats max_some(Floats other, __mmask16 some, Floats x, Floats y) { return choose_floats(other, some, max_floats(x, y)); }

/* Memory of other numbers is not touched. */
EACH Floats load_some(__mmask16 some, const float *from)
{
    if (some == 0xffff)
        return load_floats(from);
    Ints places = places_of(some);
    return (Floats){_mm256_maskload_ps(from, places.lo), _mm256_maskload_ps(from + 8, places.hi)};
}
EACH Floats load_or(Floats other, __mmask16 some, const float *from) { return choose_floats(other, some, load_some(some, from)); }
EACH void store_some(float *to, __mmask16 some, Floats x)
{
    if (some == 0xffff) {
        store_floats(to, x);
        return;
    }
    Ints places = places_of(some);
    _mm256_maskstore_ps(to, places.lo, x.lo);
    _mm256_maskstore_ps(to + 8, places.hi, x.hi);
}
EACH __m256i load_some_shorts(__mmask16 some, const uint16_t *from)
{
    uint16_t numbers[16] = {0};
    for (int at = 0; at < 16; at++)
        if (some >> at & 1)
            numbers[at] = from[at];
    return _mm256_loadu_si256((const __m256i *)numbers);
}

EACH Floats floats_of(Ints x) { return (Floats){_mm256_cvtepi32_ps(x.lo), _mm256_cvtepi32_ps(x.hi)}; }
EACH Ints ints_of(Floats x) { return (Ints){_mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi)}; }
EACH Ints cut_ints_of(Floats x) { return (Ints){_mm256_cvttps_epi32(x.lo), _mm256_cvttps_epi32(x.hi)}; }
EACH Floats of_halves(__m256i x)
{
    return (Floats){_mm256_cvtph_ps(_mm256_castsi256_si128(x)), _mm256_cvtph_ps(_mm256_extracti128_si256(x, 1))};
}
EACH Doubles doubles_of(__m256 x)
{
    return (Doubles){_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}
EACH Ints ints_of_bytes(__m128i x) { return (Ints){_mm256_cvtepu8_epi32(x), _mm256_cvtepu8_epi32(_mm_srli_si128(x, 8))}; }
EACH Ints ints_of_signed_bytes(__m128i x) { return (Ints){_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_srli_si128(x, 8))}; }
EACH Ints ints_of_shorts(__m256i x)
{
    return (Ints){_mm256_cvtepu16_epi32(_mm256_castsi256_si128(x)), _mm256_cvtepu16_epi32(_mm256_extracti128_si256(x, 1))};
}
EACH __m128i bytes_of(Ints x)
{
    __m256i low = _mm256_set1_epi32(255);
    __m256i shorts = _mm256_packus_epi32(_mm256_and_si256(x.lo, low), _mm256_and_si256(x.hi, low));
    shorts = _mm256_permute4x64_epi64(shorts, 0xd8);
    return _mm_packus_epi16(_mm256_castsi256_si128(shorts), _mm256_extracti128_si256(shorts, 1));
}
EACH Floats as_floats(Ints x) { return (Floats){_mm256_castsi256_ps(x.lo), _mm256_castsi256_ps(x.hi)}; }
EACH Ints as_ints(Floats x) { return (Ints){_mm256_castps_si256(x.lo), _mm256_castps_si256(x.hi)}; }
EACH Doubles as_doubles(Floats x) { return (Doubles){_mm256_castps_pd(x.lo), _mm256_castps_pd(x.hi)}; }
EACH Floats doubles_as_floats(Doubles x) { return (Floats){_mm256_castpd_ps(x.lo), _mm256_castpd_ps(x.hi)}; }

EACH Floats sizes_of(Floats x) { return as_floats(and_ints(as_ints(x), same_ints(0x7fffffff))); }
EACH Floats round_floats(Floats x) { return (Floats){_mm256_round_ps(x.lo, 8), _mm256_round_ps(x.hi, 8)}; }
EACH Floats inverse_floats(Floats x) { return div_floats(same_floats(1), x); }

/* 2^n for whole n from -126 to 128. */
EACH __m256 two_to(__m256i n) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23)); }

/* x 2^n for whole n, in two steps, as 2^n alone may be too large or small. */
EACH __m256 scale_half(__m256 x, __m256 n)
{
    n = _mm256_max_ps(_mm256_set1_ps(-252), _mm256_min_ps(_mm256_set1_ps(254), n));
    __m256i all = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(all, 1);
    return _mm256_mul_ps(_mm256_mul_ps(x, two_to(half)), two_to(_mm256_sub_epi32(all, half)));
}
EACH Floats scale_floats(Floats x, Floats n) { return (Floats){scale_half(x.lo, n.lo), scale_half(x.hi, n.hi)}; }

/* In the order in which compilers do it for 512 bits. */
EACH float sum_of(Floats x)
{
    __m256 eight = _mm256_add_ps(x.lo, x.hi);
    __m128 four = _mm_add_ps(_mm256_extractf128_ps(eight, 1), _mm256_castps256_ps128(eight));
    four = _mm_add_ps(four, _mm_shuffle_ps(four, four, 0x4e));
    return four[0] + four[1];
}
EACH double sum_of_doubles(Doubles x)
{
    __m256d four = _mm256_add_pd(x.lo, x.hi);
    __m128d two = _mm_add_pd(_mm256_extractf128_pd(four, 1), _mm256_castpd256_pd128(four));
    return two[0] + two[1];
}
EACH float most_of(Floats x)
{
    __m256 eight = _mm256_max_ps(x.lo, x.hi);
    __m128 four = _mm_max_ps(_mm256_extractf128_ps(eight, 1), _mm256_castps256_ps128(eight));
    four = _mm_max_ps(four, _mm_shuffle_ps(four, four, 0x4e));
    return four[0] > four[1] ? four[0] : four[1];
}
EACH int32_t most_of_ints(Ints x)
{
    __m256i eight = _mm256_max_epi32(x.lo, x.hi);
    __m128i four = _mm_max_epi32(_mm256_extracti128_si256(eight, 1), _mm256_castsi256_si128(eight));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}
EACH int32_t sum_of_ints(Ints x)
{
    __m256i eight = _mm256_add_epi32(x.lo, x.hi);
    __m128i four = _mm_add_epi32(_mm256_extracti128_si256(eight, 1), _mm256_castsi256_si128(eight));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

/* Of quarters of x and y, either the even ones (`which` 0x88) or the odd ones (0xdd). */
#define quarters(x, y, which)                                                                                                 \
    (Floats){_mm256_permute2f128_ps((x).lo, (x).hi, (which) == 0x88 ? 0x20 : 0x31),                                            \
             _mm256_permute2f128_ps((y).lo, (y).hi, (which) == 0x88 ? 0x20 : 0x31)}
#define compare_floats(x, y, how) bits_of(_mm256_cmp_ps((x).lo, (y).lo, how), _mm256_cmp_ps((x).hi, (y).hi, how))
EACH __mmask16 less_ints(Ints x, Ints y)
{
    return bits_of(_mm256_castsi256_ps(_mm256_cmpgt_epi32(y.lo, x.lo)), _mm256_castsi256_ps(_mm256_cmpgt_epi32(y.hi, x.hi)));
}

#define __m512 Floats
#define __m512d Doubles
#define __m512i Ints
#define _mm512_abs_ps sizes_of
#define _mm512_add_epi32 add_ints
#define _mm512_add_epi16 add_shorts
#define _mm512_add_pd add_doubles
#define _mm512_add_ps add_floats
#define _mm512_and_si512 and_ints
#define _mm512_broadcast_i32x4 four_times
#define _mm512_castpd_ps doubles_as_floats
#define _mm512_castps512_ps256(x) ((x).lo)
#define _mm512_castps_pd as_doubles
#define _mm512_castps_si512 as_ints
#define _mm512_castsi512_ps as_floats
#define _mm512_cmp_ps_mask compare_floats
#define _mm512_cmplt_epi32_mask less_ints
#define _mm512_cvtepi32_epi8 bytes_of
#define _mm512_cvtepi32_ps floats_of
#define _mm512_cvtepi8_epi32 ints_of_signed_bytes
#define _mm512_cvtepu16_epi32 ints_of_shorts
#define _mm512_cvtepu8_epi32 ints_of_bytes
#define _mm512_cvtph_ps of_halves
#define _mm512_cvtps_epi32 ints_of
#define _mm512_cvtps_pd doubles_of
#define _mm512_cvttps_epi32 cut_ints_of
#define _mm512_div_ps div_floats
#define _mm512_extractf32x8_ps(x, half) ((half) ? (x).hi : (x).lo)
#define _mm512_fmadd_ps fmadd_floats
#define _mm512_fmsub_ps fmsub_floats
#define _mm512_fnmadd_ps fnmadd_floats
#define _mm512_loadu_ps load_floats
#define _mm512_loadu_si512 load_ints
#define _mm512_madd_epi16 madd_shorts
#define _mm512_maddubs_epi16 madd_bytes
#define _mm512_mask_loadu_ps load_or
#define _mm512_mask_max_ps max_some
#define _mm512_mask_mov_epi32 choose_ints
#define _mm512_mask_mov_ps choose_floats
#define _mm512_mask_storeu_ps store_some
#define _mm512_maskz_loadu_ps load_some
#define _mm512_maskz_mov_ps(some, x) choose_floats(no_floats(), some, x)
#define _mm512_max_epi32 max_ints
#define _mm512_max_ps max_floats
#define _mm512_min_ps min_floats
#define _mm512_mul_ps mul_floats
#define _mm512_or_si512 or_ints
#define _mm512_rcp14_ps inverse_floats
#define _mm512_reduce_add_epi32 sum_of_ints
#define _mm512_reduce_add_pd sum_of_doubles
#define _mm512_reduce_add_ps sum_of
#define _mm512_reduce_max_epi32 most_of_ints
#define _mm512_reduce_max_ps most_of
#define _mm512_roundscale_ps(x, how) round_floats(x)
#define _mm512_scalef_ps scale_floats
#define _mm512_set1_epi16 same_shorts
#define _mm512_set1_epi32 same_ints
#define _mm512_set1_epi8 same_bytes
#define _mm512_set1_ps same_floats
#define _mm512_setzero_pd no_doubles
#define _mm512_setzero_ps no_floats
#define _mm512_setzero_si512 no_ints
#define _mm512_shuffle_epi8 shuffle_bytes
#define _mm512_shuffle_f32x4 quarters
#define _mm512_slli_epi16 shift_shorts_left
#define _mm512_slli_epi32 shift_left
#define _mm512_sllv_epi32 shift_each_left
#define _mm512_srai_epi16 shift_shorts_right
#define _mm512_srai_epi32 shift_right
#define _mm512_srli_epi16 shift_shorts_down
#define _mm512_storeu_ps store_floats
#define _mm512_storeu_si512 store_ints
#define _mm512_sub_epi32 sub_ints
#define _mm512_sub_ps sub_floats
#define _mm512_unpackhi_pd high_doubles
#define _mm512_unpackhi_ps high_floats
#define _mm512_unpacklo_pd low_doubles
#define _mm512_unpacklo_ps low_floats
#undef _mm256_maskz_loadu_epi16
#define _mm256_maskz_loadu_epi16 load_some_shorts

#undef ONE
#undef TWO
#undef THREE
#undef SHIFT

#endif
