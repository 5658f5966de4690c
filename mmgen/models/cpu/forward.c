/* All blocks of a decoder over GGUF's blocks, in one parallel region: decoding, and prompts too.

   Thirty narrow layers are bound by what stands between their products: 180 parallel regions a token, and rows that go through
   memory. Here a product's unit goes on with what follows for its outputs alone: the residual, or the gate and the integers of
   the next product. */

#include "crew.h"
#include "draw.h"

/* A pass over one layer, as its units read it. */
typedef struct {
    const Layer *layer;
    const Shape *shape;
    const Ends *ends;
    const Text *texts;
    const Span *spans;
    float *x, *some, *qkv, *seen, *own, *gated, *scores;
    Fixed *fixed, *gated_fixed;
    Steps *steps;
    Text *chosen; /* of wanted rows, once only these go on */
    Shape narrow;
} Pass;

INLINE long queries(const Shape *shape) { return shape->heads * shape->size; }

/* Of a row: the norm, and its integers. */
INLINE void begin(const Pass *pass, const float *weight, const Product *by, long row)
{
    long width = pass->shape->width;
    norm_row(pass->x + row * width, weight, pass->some + row * width, width, pass->shape->eps);
    fix_inputs(pass->some + row * width, pass->fixed + row * (width / 32), width / 32, by->planes);
}

static void begin_attention(const void *about, long row, int thread)
{
    const Pass *pass = about;
    begin(pass, pass->layer->norm, &pass->layer->qkv, row);
}

static void begin_network(const void *about, long row, int thread)
{
    const Pass *pass = about;
    begin(pass, pass->layer->second_norm, &pass->layer->up, row);
}

static void project(const void *about, long unit, int thread)
{
    const Pass *pass = about;
    const Product *by = &pass->layer->qkv;
    multiply_unit(pass->some, by->weights, by->bias, pass->qkv + unit_begin(by->weights, unit), pass->fixed, unit, by->out,
                  pass->shape->texts, by->in, by->planes);
}

/* Of a row: its queries and keys turned, its keys and values in their place. */
static void place(const void *about, long row, int thread)
{
    const Pass *pass = about;
    const Shape *shape = pass->shape;
    const Layer *layer = pass->layer;
    long size = shape->size, turned = layer->turns ? shape->turned : 0;
    float *own = pass->qkv + pass->texts[row].row * layer->qkv.out, *k = own + queries(shape), *v = k + shape->groups * size;
    for (long head = 0; layer->query_norm && head < shape->heads; head++)
        norm_row(own + head * size, layer->query_norm, own + head * size, size, shape->eps);
    for (long head = 0; layer->key_norm && head < shape->groups; head++)
        norm_row(k + head * size, layer->key_norm, k + head * size, size, shape->eps);
    const float *cos = cos_of(layer, shape) + row * turned, *sin = sin_of(layer, shape) + row * turned;
    keep(k, v, cos, sin, layer->keys, layer->values, pass->texts + row, pass->spans, shape->groups, size, shape->places, turned);
    for (long head = 0; turned && head < shape->heads; head++) {
        float other[MAX_HEAD_DIM];
        turn(own + head * size, cos, sin, other, size, turned);
        __builtin_memcpy(own + head * size, other, size * sizeof(float));
    }
}

static void look(const void *about, long unit, int thread)
{
    const Pass *pass = about;
    const Shape *shape = pass->shape;
    const Layer *layer = pass->layer;
    int heads = heads_at_once(shape->heads / shape->groups);
    long each = shape->heads / heads, row = unit / each, head = unit % each * heads, size = shape->size;
    long from = head / (shape->heads / shape->groups) * shape->places * size;
    attend_some(pass->qkv + pass->texts[row].row * layer->qkv.out + head * size, layer->keys + from, layer->values + from,
                pass->seen + row * queries(shape) + head * size, pass->scores + thread * MOST_HEADS * shape->each, pass->texts + row,
                pass->spans, size, shape->each, layer->window, (float)layer->scale, heads);
}

static void fix_seen(const void *about, long row, int thread)
{
    const Pass *pass = about;
    long size = queries(pass->shape);
    fix_inputs(pass->seen + row * size, pass->fixed + row * (size / 32), size / 32, pass->layer->out.planes);
}

/* Of a thread its own: 2 * UNIT outputs of each row. In the rows' full width they would be pages apart, and in the same places of
   the first cache. */
INLINE float *own_room(const Pass *pass, int thread) { return pass->own + thread * pass->shape->texts * 2 * UNIT; }

/* A unit of the product, added to x. */
INLINE void add_unit(const Pass *pass, const Product *by, const float *x, const Fixed *fixed, long unit, int thread)
{
    long rows = pass->shape->texts, width = pass->shape->width, first = unit_begin(by->weights, unit), size = unit_size(by->weights, unit);
    float *own = own_room(pass, thread);
    multiply_unit(x, by->weights, by->bias, own, fixed, unit, UNIT, rows, by->in, by->planes);
    for (long row = 0; row < rows; row++)
        for (long at = 0; at < size; at++)
            pass->x[row * width + first + at] += own[row * UNIT + at];
}

static void add_seen(const void *about, long unit, int thread)
{
    const Pass *pass = about;
    add_unit(pass, &pass->layer->out, pass->seen, pass->fixed, unit, thread);
}

/* 32 gates and what they let through, as integers of the next product, or as they are if it takes them so. */
static void gate(const void *about, long unit, int thread)
{
    const Pass *pass = about;
    const Product *by = &pass->layer->up, *next = &pass->layer->down;
    long rows = pass->shape->texts, hidden = pass->shape->hidden;
    float *own = own_room(pass, thread), some[UNIT];
    int floats = next->planes != PAIRS && takes_floats(next->weights, next->chunk);
    for (long half = 0; half < 2; half++)
        multiply_unit(pass->some, by->weights, by->bias, own + half * UNIT, pass->fixed, unit + half * (hidden / UNIT), 2 * UNIT, rows,
                      by->in, by->planes);
    for (long row = 0; row < rows; row++) {
        const float *gates = own + row * 2 * UNIT;
        float *gated = floats ? pass->gated + row * hidden + unit * UNIT : some;
        gate_row(gates, gates + UNIT, gated, UNIT);
        fix_inputs(gated, pass->gated_fixed + row * (hidden / 32) + unit, 1, next->planes);
    }
}

static void add_network(const void *about, long unit, int thread)
{
    const Pass *pass = about;
    add_unit(pass, &pass->layer->down, pass->gated, pass->gated_fixed, unit, thread);
}

static void find_words(const void *about, long row, int thread)
{
    const Pass *pass = about;
    unpack_blocks(pass->ends->words, pass->ends->ids + row, pass->x + row * pass->shape->width, 1, pass->shape->width);
}

/* Of a row behind the last layer: the norm. */
static void end_row(const void *about, long row, int thread)
{
    const Pass *pass = about;
    float *x = pass->x + row * pass->shape->width;
    norm_row(x, pass->ends->norm, x, pass->shape->width, pass->shape->eps);
}

/* Of a wanted row: it takes its place among them, and its integers. */
static void want(const void *about, long number, int thread)
{
    const Pass *pass = about;
    long width = pass->shape->width;
    float *row = pass->some + number * width;
    long from = pass->texts == pass->chosen ? number : pass->ends->wanted[number];
    __builtin_memcpy(row, pass->x + from * width, width * sizeof(float));
    fix_inputs(row, pass->fixed + number * (width / 32), width / 32, pass->ends->head.planes);
}

static void judge(const void *about, long unit, int thread)
{
    const Pass *pass = about;
    const Product *by = &pass->ends->head;
    multiply_unit(pass->some, by->weights, by->bias, pass->ends->logits + unit_begin(by->weights, unit), pass->fixed, unit, by->out,
                  pass->ends->count, by->in, by->planes);
}

/* From here on wanted rows alone: all keys and values of the last layer have their place. */
INLINE void narrow(Pass *pass)
{
    long width = pass->shape->width;
    pass->narrow = *pass->shape, pass->narrow.texts = pass->ends->count;
    for (long number = 0; number < pass->ends->count; number++) {
        long row = pass->ends->wanted[number];
        pass->chosen[number] = pass->texts[row];
        __builtin_memmove(pass->x + number * width, pass->x + row * width, width * sizeof(float));
    }
    pass->shape = &pass->narrow, pass->texts = pass->chosen;
}

static void lead(Crew *crew, Pass *pass)
{
    const Shape *shape = pass->shape;
    if (pass->ends)
        share(crew, find_words, pass, shape->texts);
    for (long number = 0; number < shape->layers; number++, pass->layer++) {
        const Layer *layer = pass->layer;
        long rows = shape->texts;
        share(crew, begin_attention, pass, rows);
        share(crew, project, pass, block_units(layer->qkv.weights, layer->qkv.chunk));
        share(crew, place, pass, rows);
        if (pass->ends && pass->ends->only && number + 1 == shape->layers) {
            narrow(pass);
            shape = pass->shape, rows = shape->texts;
        }
        share(crew, look, pass, rows * (shape->heads / heads_at_once(shape->heads / shape->groups)));
        share(crew, fix_seen, pass, rows);
        share(crew, add_seen, pass, block_units(layer->out.weights, layer->out.chunk));
        share(crew, begin_network, pass, rows);
        share(crew, gate, pass, shape->hidden / UNIT);
        share(crew, add_network, pass, block_units(layer->down.weights, layer->down.chunk));
    }
    if (!pass->ends)
        return;
    share(crew, end_row, pass, shape->texts);
    share(crew, want, pass, pass->ends->count);
    if (pass->ends->count)
        share(crew, judge, pass, block_units(pass->ends->head.weights, pass->ends->head.chunk));
}

/* Of a text: the next token. */
static void choose(const void *about, long row, int thread)
{
    const Pass *pass = about;
    Steps *steps = pass->steps;
    const Draw *draw = steps->draws + row;
    long words = pass->ends->head.out;
    const float *logits = pass->ends->logits + row * words;
    float largest, *room = steps->room + thread * 3 * words;
    long word = largest_of(logits, words, &largest);
    if (!(largest - largest == 0))
        steps->unsound = 1;
    else if (draw->temperature > 0)
        word = draw_word(logits, words, largest, draw, draw->uniforms[steps->done], room, (Candidate *)(room + words));
    steps->tokens[steps->done * pass->shape->texts + row] = word;
}

/* Whether another token of each text is to follow the last ones, which are then read next. */
INLINE int goes_on(Pass *pass, Shape *shape, int64_t *ids, Text *texts, double began)
{
    Steps *steps = pass->steps;
    const int64_t *tokens = steps->tokens + (steps->done - 1) * shape->texts;
    double spent = omp_get_wtime() - began;
    int over = steps->unsound || steps->done == steps->most || *(volatile const int32_t *)steps->stop;
    over |= spent + spent / (double)steps->done > steps->seconds;
    for (long row = 0; row < shape->texts; row++) {
        for (long one = 0; one < steps->final_count; one++)
            over |= tokens[row] == steps->finals[one];
        ids[row] = tokens[row];
        texts[row].keys++;
    }
    for (int one = 0; one < 2 && shape->cos[one]; one++) {
        shape->cos[one] += shape->texts * shape->turned;
        shape->sin[one] += shape->texts * shape->turned;
    }
    return !over;
}

static Pass pass_of(const Layer *layers, const Shape *shape, const Ends *ends, float *x, float *room, const Text *texts, const Span *spans)
{
    long rows = shape->texts;
    Pass pass = {layers, shape, ends, texts, spans, x};
    pass.chosen = (Text *)room, pass.some = (float *)(pass.chosen + rows), pass.qkv = pass.some + rows * shape->width, pass.seen = pass.qkv + rows * layers->qkv.out;
    pass.own = pass.seen + rows * queries(shape), pass.gated = pass.own + rows * shape->threads * 2 * UNIT;
    pass.fixed = (Fixed *)(pass.gated + rows * shape->hidden);
    pass.gated_fixed = (Fixed *)((float *)pass.fixed + rows * shape->padded);
    pass.scores = (float *)pass.gated_fixed + rows * shape->padded;
    return pass;
}

/* As `decode`, where all products are of GGUF's blocks; texts are rows in order, and a text may have several: its tokens one
   after another. With `ends` it begins with ids and ends with states behind the last norm, in x, of all rows or of the wanted
   ones, and logits of these. */
void forward_blocks(const Layer *layers, const Shape *shape, const Ends *ends, float *x, float *room, const Text *texts,
                    const Span *spans)
{
    Pass pass = pass_of(layers, shape, ends, x, room, texts, spans);
    Crew crew = {.threads = least(shape->threads, MOST_THREADS)};
#pragma omp parallel num_threads(crew.threads)
    {
        int thread = omp_get_thread_num();
        if (thread) {
            serve(&crew, thread);
        } else {
            lead(&crew, &pass);
            dismiss(&crew);
        }
    }
}

/* The same with `ends`, over a token of each text, again and again. `ids` are the ends', and logits of all rows are wanted; texts
   see one more key after each step, and cosines and sines of all steps lie behind one another: (most, texts, turned). */
void decode_steps(const Layer *layers, const Shape *shape, const Ends *ends, Steps *steps, float *x, float *room, int64_t *ids,
                  Text *texts, const Span *spans)
{
    Shape now = *shape;
    Pass pass = pass_of(layers, &now, ends, x, room, texts, spans);
    Crew crew = {.threads = least(shape->threads, MOST_THREADS)};
    double began = omp_get_wtime();
    pass.steps = steps, steps->done = steps->unsound = 0;
#pragma omp parallel num_threads(crew.threads)
    {
        int thread = omp_get_thread_num();
        if (thread) {
            serve(&crew, thread);
        } else {
            do {
                pass.layer = layers;
                lead(&crew, &pass);
                share(&crew, choose, &pass, shape->texts);
                steps->done++;
            } while (goes_on(&pass, &now, ids, texts, began));
            dismiss(&crew);
        }
    }
}
