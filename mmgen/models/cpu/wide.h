/* Vectors of 16 numbers: AVX-512's, or AVX2's two by two. */

#ifndef WIDE_H
#define WIDE_H

#ifndef __x86_64__
#error "the kernels need x86-64; torch computes elsewhere"
#endif

#include <immintrin.h>

#ifndef __AVX512F__
#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "the kernels need AVX-512, or AVX2 with FMA and F16C; torch computes elsewhere"
#endif
#include "avx2.h"
#endif

#endif
