/* What attention.c is given; mirrored in structs.py. */

#ifndef ATTENTION_H
#define ATTENTION_H

/* (rows, heads, places, size): where it lies, and numbers from one to the next; the last ones are neighbours. */
typedef struct {
    long at, row, head, place;
} Heads;

typedef struct {
    Heads q, k, v, y;
    long bias, bias_row, bias_head; /* of each row, head and key, fp32, added to scores; 0: none */
    long room;           /* rows * key_heads times what keys and values of a head take, filled up to 64 keys and 16 numbers */
    long rows, heads, key_heads, queries, keys, size, narrow, threads;
    double scale;
} Attention;

#endif
