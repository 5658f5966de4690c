/* Threads that stay together for many short pieces of work. Included where it is used.

   Beginning and ending a parallel region costs microseconds, and its end waits for every thread, also for one that the system
   has just put aside. Here the first thread leads: it lays out work in units, takes part in it, and waits for nothing but units
   that another has begun. The others look for units until it is over. */

#ifndef CREW_H
#define CREW_H

#include "rows.h"
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#define UNIT_BITS 20
#define MOST_UNITS ((1L << UNIT_BITS) - 1)
#define OVER UINT64_MAX
#define SPINS 2000 /* after which a thread that waits lets others have its processor: some ten microseconds */

typedef void (*Work)(const void *about, long unit, int thread);

typedef struct {
    _Alignas(64) _Atomic uint64_t ticket; /* a number of the work, how many units it has, and the next of them */
    _Alignas(64) _Atomic long done;
    _Alignas(64) Work work;
    const void *about;
    long threads;
} Crew;

INLINE void wait_a_little(long *spins)
{
    if (++*spins % SPINS)
        _mm_pause();
    else
        sched_yield();
}

/* Takes some of the units that are left, fewer as fewer are left, and does them; 0: there are none. */
INLINE int take_part(Crew *crew, int thread)
{
    uint64_t ticket = atomic_load_explicit(&crew->ticket, memory_order_acquire);
    long next = ticket & MOST_UNITS, count = ticket >> UNIT_BITS & MOST_UNITS;
    if (ticket == OVER || next >= count)
        return 0;
    Work work = crew->work; /* of this ticket, if it is still the same below: before its units are done there is no other */
    const void *about = crew->about;
    long some = least(count - next, (count - next) / (2 * crew->threads) + 1);
    if (!atomic_compare_exchange_strong(&crew->ticket, &ticket, ticket + (uint64_t)some))
        return 1;
    for (long unit = next; unit < next + some; unit++)
        work(about, unit, thread);
    atomic_fetch_add_explicit(&crew->done, some, memory_order_release);
    return 1;
}

/* For the first thread: all units of this work. */
INLINE void share(Crew *crew, Work work, const void *about, long count)
{
    if (count < 2 || count > MOST_UNITS || crew->threads < 2) {
        for (long unit = 0; unit < count; unit++)
            work(about, unit, 0);
        return;
    }
    uint64_t number = (atomic_load_explicit(&crew->ticket, memory_order_relaxed) >> 2 * UNIT_BITS) + 1;
    crew->work = work, crew->about = about;
    atomic_store_explicit(&crew->done, 0, memory_order_relaxed);
    atomic_store_explicit(&crew->ticket, (number & 0x7fffff) << 2 * UNIT_BITS | (uint64_t)count << UNIT_BITS, memory_order_release);
    while (take_part(crew, 0))
        ;
    for (long spins = 0; atomic_load_explicit(&crew->done, memory_order_acquire) < count;)
        wait_a_little(&spins);
}

/* For every other thread, until the first one dismisses them. */
INLINE void serve(Crew *crew, int thread)
{
    for (long spins = 0; atomic_load_explicit(&crew->ticket, memory_order_acquire) != OVER;)
        if (take_part(crew, thread))
            spins = 0;
        else
            wait_a_little(&spins);
}

INLINE void dismiss(Crew *crew) { atomic_store_explicit(&crew->ticket, OVER, memory_order_release); }

#endif
