/* Threads that stay together for many short pieces of work. Included where it is used.

   Beginning and ending a parallel region costs microseconds, and its end waits for every thread, also for one that the system
   has just put aside. Here the first thread leads: it lays out work in units, takes part in it, and waits for nothing but units
   that another has begun. Each thread has a part of every work, neighbours among its units, so that it knows what it will read;
   who is ready with its own takes units from the end of another's. Threads look for units until it is over. */

#ifndef CREW_H
#define CREW_H

#include "rows.h"
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#define UNIT_BITS 20
#define MOST_UNITS ((1L << UNIT_BITS) - 1)
#define MOST_THREADS 256
#define SPINS 2000 /* after which a thread that waits lets others have its processor: some ten microseconds */

typedef void (*Work)(const void *about, long unit, int thread);

typedef struct {
    _Alignas(64) _Atomic uint64_t left; /* a number of the work, the next unit of a thread's part, and the part's end */
} Range;

typedef struct {
    Range ranges[MOST_THREADS];
    _Alignas(64) _Atomic long done;
    _Alignas(64) Work work;
    const void *about;
    long threads;
    _Atomic int over;
} Crew;

/* The first unit of a thread's part; of the thread behind the last one: their count. */
INLINE long part_begin(long count, long thread, long threads) { return count * thread / threads; }

/* Takes some of the units that are left of a part, fewer as fewer are left, and does them; 0: there are none. */
INLINE int take_some(Crew *crew, int whose, int thread)
{
    Range *range = crew->ranges + whose;
    uint64_t left = atomic_load_explicit(&range->left, memory_order_acquire), taken;
    long next = left >> UNIT_BITS & MOST_UNITS, end = left & MOST_UNITS;
    if (next >= end)
        return 0;
    Work work = crew->work; /* of this number, if it is still the same below: before its units are done there is no other */
    const void *about = crew->about;
    long some = (end - next) / 8 + 1, first = whose == thread ? next : end - some;
    taken = whose == thread ? left + ((uint64_t)some << UNIT_BITS) : left - (uint64_t)some;
    if (!atomic_compare_exchange_strong(&range->left, &left, taken))
        return 1;
    for (long unit = first; unit < first + some; unit++)
        work(about, unit, thread);
    atomic_fetch_add_explicit(&crew->done, some, memory_order_release);
    return 1;
}

INLINE int take_part(Crew *crew, int thread)
{
    for (long one = 0; one < crew->threads; one++)
        if (take_some(crew, (int)((thread + one) % crew->threads), thread))
            return 1;
    return 0;
}

INLINE void wait_a_little(long *spins)
{
    if (++*spins % SPINS)
        _mm_pause();
    else
        sched_yield();
}

/* For the first thread: all units of this work. */
INLINE void share(Crew *crew, Work work, const void *about, long count)
{
    if (count < 2 || count > MOST_UNITS || crew->threads < 2) {
        for (long unit = 0; unit < count; unit++)
            work(about, unit, 0);
        return;
    }
    uint64_t number = (atomic_load_explicit(&crew->ranges->left, memory_order_relaxed) >> 2 * UNIT_BITS) + 1;
    crew->work = work, crew->about = about;
    atomic_store_explicit(&crew->done, 0, memory_order_relaxed);
    for (long thread = crew->threads - 1; thread >= 0; thread--) {
        uint64_t begin = part_begin(count, thread, crew->threads), end = part_begin(count, thread + 1, crew->threads);
        atomic_store_explicit(&crew->ranges[thread].left, number << 2 * UNIT_BITS | begin << UNIT_BITS | end, memory_order_release);
    }
    while (take_part(crew, 0))
        ;
    for (long spins = 0; atomic_load_explicit(&crew->done, memory_order_acquire) < count;)
        wait_a_little(&spins);
}

/* For every other thread, until the first one dismisses them. */
INLINE void serve(Crew *crew, int thread)
{
    for (long spins = 0; !atomic_load_explicit(&crew->over, memory_order_acquire);)
        if (take_part(crew, thread))
            spins = 0;
        else
            wait_a_little(&spins);
}

INLINE void dismiss(Crew *crew) { atomic_store_explicit(&crew->over, 1, memory_order_release); }

#endif
