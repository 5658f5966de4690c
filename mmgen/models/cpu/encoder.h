/* A pass of an encoder over rows of tokens: what Python tells of it. structs.py mirrors these structs. */

#ifndef ENCODER_H
#define ENCODER_H

#include "forward.h"

typedef struct {
    long first, count;           /* rows of the pass */
    long past_first, past_count; /* rows of an earlier pass that it sees too, before its own */
} Sequence;

/* s(-x) for x >= 0, in pieces about 0, 1, 2 ... over `pieces`: value, slope and square of each. */
typedef struct {
    float value[32], slope[32], square[32];
    float pieces, reach; /* pieces up to 1; where the last one ends */
} Gate;

typedef struct {
    const float *norm, *norm_bias, *second_norm, *second_norm_bias; /* biases: 0 where there are none */
    Product qkv, out, up, down;                                /* kind 16: bfloat16, 8: int8, both in oneDNN's panels */
    uint16_t *states;     /* (rows, 3 heads size) in bfloat16: queries, keys and values of this pass */
    const uint16_t *past; /* of the earlier one */
} EncoderLayer;

typedef struct {
    long layers, rows, sequences, width, heads, size, hidden;
    long pre;    /* whether norms stand before attention and network, or behind their residuals */
    long causal; /* whether a row sees its own sequence only up to itself */
    long tile;   /* rows that go through a block's products together: a multiple of ROWS */
    long most;   /* keys that a sequence sees */
    long threads;
    const Gate *gate; /* of the activation */
    const int64_t *wanted; /* of each sequence a row, whose state alone is asked for; 0: all are */
    double scale, eps;
} EncoderShape;

#endif
