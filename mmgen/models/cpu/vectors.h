/* Sixteen numbers at once, in fp32, or stored as bfloat16: what attention.c and activations.c share. */

#ifndef VECTORS_H
#define VECTORS_H

#include "rows.h"

#define BASE 1.44269504f /* e^x is 2^(BASE x) */

/* 2^x from 2^-126 on, relative error 1e-7, or where it will be bfloat16 7e-5; NaN propagates. */
INLINE __m512 power(__m512 x, int narrow)
{
    x = _mm512_max_ps(_mm512_set1_ps(-126), x); /* gives its second operand where one is NaN */
    __m512 n = _mm512_roundscale_ps(x, 8), left = _mm512_sub_ps(x, n);
    const float terms[] = {1.327647178e-3f, 9.675541333e-3f, 5.550713274e-2f, 2.402211972e-1f, 6.931469671e-1f, 1.000000072f};
    const float few[] = {5.517166722e-2f, 2.426111221e-1f, 6.932609858e-1f, 9.999280736e-1f};
    __m512 sum = _mm512_set1_ps(narrow ? few[0] : terms[0]);
    for (int term = 1; term < (narrow ? 4 : 6); term++)
        sum = _mm512_fmadd_ps(sum, left, _mm512_set1_ps(narrow ? few[term] : terms[term]));
    return _mm512_scalef_ps(sum, n);
}

/* 1 / x, relative error 1e-7, or where it will be bfloat16 6e-5. */
INLINE __m512 inverse(__m512 x, int narrow)
{
    __m512 y = _mm512_rcp14_ps(x);
    if (narrow)
        return y;
    __m512 better = _mm512_fmadd_ps(_mm512_fnmadd_ps(x, y, _mm512_set1_ps(1)), y, y);
    return _mm512_mask_mov_ps(better, _mm512_cmp_ps_mask(better, better, _CMP_UNORD_Q), y); /* of infinity */
}

/* x / (1 + e^(-by x)) */
INLINE __m512 gated_by_itself(__m512 x, __m512 by, int narrow)
{
    __m512 small = power(_mm512_mul_ps(_mm512_mul_ps(x, by), _mm512_set1_ps(-BASE)), narrow);
    return _mm512_mul_ps(x, inverse(_mm512_add_ps(small, _mm512_set1_ps(1)), narrow));
}

/* The numbers of `some` from place `at` on, zeros for the others. */
INLINE __m512 load(const void *x, long at, __mmask16 some, int narrow)
{
    if (!narrow)
        return _mm512_maskz_loadu_ps(some, (const float *)x + at);
    __m256i numbers = _mm256_maskz_loadu_epi16(some, (const uint16_t *)x + at);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(numbers), 16));
}

INLINE void store(void *y, long at, __mmask16 some, __m512 numbers, int narrow)
{
#ifdef __AVX512BF16__
    if (narrow) {
        _mm256_mask_storeu_epi16((uint16_t *)y + at, some, (__m256i)_mm512_cvtneps_pbh(numbers));
        return;
    }
#endif
    _mm512_mask_storeu_ps((float *)y + at, some, numbers);
}

#endif
