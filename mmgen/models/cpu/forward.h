/* A pass of a decoder over its next tokens: what Python tells of it. structs.py mirrors these structs. */

#ifndef FORWARD_H
#define FORWARD_H

#include "blocks.h"

typedef struct {
    long row, keys, span; /* of q; how many keys it sees, the last is its own; its first span */
} Text;

typedef struct {
    long start, count; /* neighbours among all keys */
} Span;

typedef struct {
    long kind; /* bits of a weight: 32, 8 or 4; 0: GGUF's blocks, of which `weights` are `chunk` parts */
    const void *weights;
    const float *bias, *scales;
    const int32_t *sums;
    long in, out, padded, chunk, planes;
} Product;

typedef struct {
    const float *norm, *query_norm, *key_norm, *second_norm; /* of heads: 0 where there are none */
    Product qkv, out, up, down;
    float *keys, *values;
    long turns; /* by which of the shape's rotations queries and keys are turned, from 1 on; 0: they are not */
    long window;
    double scale;
} Layer;

typedef struct {
    long layers, texts, width, heads, groups, size, hidden, places, turned, each, threads, padded;
    const float *cos[2], *sin[2]; /* (texts, turned): of layers that see everything, and of those with a window */
    double eps;
} Shape;

/* What a pass begins and ends with: word vectors, and the head over some of its rows. */
typedef struct {
    const int64_t *ids;    /* of each row */
    const Part *words;     /* their vectors */
    const float *norm;     /* behind the last layer */
    const int64_t *wanted; /* rows whose logits are asked for */
    long count;            /* of them */
    long only;             /* whether the states of others count for nothing; wanted rows then ascend */
    float *logits;         /* (count, head.out) */
    Product head;
} Ends;

/* How words are drawn. */
typedef struct {
    double temperature; /* 0: the likeliest, whatever else is said */
    double top_p, min_p;
    long top_k;
    const double *uniforms; /* in [0, 1), one for each word */
} Draw;

/* Multi-step decoding: a token of every text after the other. */
typedef struct {
    long most;             /* tokens of a text */
    double seconds;        /* no other token is begun that would not be ready by then */
    const int32_t *stop;   /* nor once this is not 0: others write it */
    const int64_t *finals; /* nor once a text has one of these tokens, */
    long final_count;
    int64_t *tokens;       /* (most, texts): what was chosen */
    const Draw *draws;     /* of each text */
    float *room;           /* for 3 numbers of each word, of each thread */
    long done;             /* tokens of each text */
    long unsound;          /* whether logits of the last ones were NaN or infinite */
} Steps;

static inline const float *cos_of(const Layer *layer, const Shape *shape) { return layer->turns ? shape->cos[layer->turns - 1] : 0; }
static inline const float *sin_of(const Layer *layer, const Shape *shape) { return layer->turns ? shape->sin[layer->turns - 1] : 0; }

#endif
