/* Matrices that stay in GGUF's blocks: see blocks.c. */

#ifndef BLOCKS_H
#define BLOCKS_H

#include <stdint.h>

/* Some outputs of a matrix, all of one type: GGUF's number of it. A matrix has one part or several, one below the other. */
typedef struct {
    long type, out;
    const uint8_t *panels;
} Part;

#define PAIRS 2

/* 32 inputs as integers of 24 bits, or of 8 where `planes` is 1: x is step times (65536 * first + 256 * second + third). Where it
   is PAIRS, two planes hold them in bfloat16 and nothing else counts. */
typedef struct {
    int8_t planes[3][32];
    float step, total;          /* total: step times the sum of all 32 */
    int32_t upper[2], lower[2]; /* sums of 16 each: of the numbers without their last plane, and of that plane alone */
} Fixed;

/* y (count, in): the matrix's rows of these outputs, the values that gguf-py gives. */
void unpack_blocks(const Part *part, const int64_t *outputs, float *y, long count, long in);

/* (groups, 32) numbers as integers, of so many planes. */
void fix_inputs(const float *x, Fixed *to, long groups, long planes);

/* Units of all parts together; a part's last one may be smaller. */
long block_units(const Part *parts, long count);

/* The first output of one, and how many it has. */
long unit_begin(const Part *parts, long unit);
long unit_size(const Part *parts, long unit);

/* Whether one of the parts multiplies inputs as they are, and not as integers. */
int takes_floats(const Part *parts, long count);

/* One unit's outputs: y begins with the first of them, and its rows are `step` apart; `fixed`: of x. */
void multiply_unit(const float *x, const Part *parts, const float *bias, float *y, const Fixed *fixed, long unit, long step,
                   long rows, long in, long planes);

/* y (rows, outputs of all parts) = x (rows, in) times the parts + bias; `room`: for rows * in / 32; `planes`: 3 or 1.
   A row's result is the same, to the bit, whatever other rows there are. */
void multiply_blocks(const float *x, const Part *parts, const float *bias, float *y, Fixed *room, long count, long rows, long in,
                     long planes);

#endif
