/*
** Memory for queued ops and their payload: chunks that are filled from one
** end and, since a queue is first in, first out, given back whole.
**
** An op costs no call of malloc, and payload that is written to neighbouring
** places of a file one after the other lies together in memory, which is what
** lets the queue merge it into one op without copying.
**
** An arena belongs to one queue and is guarded by the same mutex.  Spare
** chunks are shared by all arenas, under a leaf mutex.
*/
#ifndef ASYNC_ARENA_H
#define ASYNC_ARENA_H

#include <stdbool.h>
#include <stddef.h>

/* The longest piece that can be taken: SQLite's largest write and an op. */
#define ASYNC_ARENA_PIECE_MAX (65536 + 256)

/* So many spare chunks stay for good: they keep a steady stream of commits, and bursts, from
** asking the system all the time, which takes as long as many commits. */
#define ASYNC_ARENA_SPARES_MAX 64

typedef struct AsyncChunk AsyncChunk;

typedef struct AsyncArena {
  AsyncChunk *filling; /* where the next piece comes from, or NULL */
} AsyncArena;

/* n bytes, aligned for any object, or NULL if memory is out. */
void *async_arena_take(AsyncArena *arena, size_t n);

/* Make sure that n bytes can be taken, in one piece or in several, without fail. */
bool async_arena_reserve(AsyncArena *arena, size_t n);

/* n more bytes directly behind `end`, the end of the last piece taken; or NULL. */
void *async_arena_extend(AsyncArena *arena, const void *end, size_t n);

/* The chunk of the last piece taken: what to hand to async_arena_give(). */
AsyncChunk *async_arena_chunk(const AsyncArena *arena);

/* One piece of the chunk is no longer needed. */
void async_arena_give(AsyncArena *arena, AsyncChunk *chunk);

/* The arena ends; no piece of it is in use. */
void async_arena_free(AsyncArena *arena);

/*
** Have a few spare chunks ready: are there fewer than that, and make one more, which takes
** about 100 us.  For an idle moment: a commit that needs one does not have to wait for it
** then.
*/
bool async_arena_wants_spare(void);
void async_arena_prepare_spare(void);

/*
** Give spare chunks back to the system, but for a few.  For an idle moment:
** whoever commits next has to ask for them again.
*/
void async_arena_trim_spares(void);
/* Would that give any back? */
bool async_arena_has_surplus(void);

/* Once, before any of the above. */
void async_arena_init_spares(void);

#endif /* ASYNC_ARENA_H */
