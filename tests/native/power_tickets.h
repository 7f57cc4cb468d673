/*
** Commits of a recorded history, for whose durability their streams can be asked.
*/
#ifndef TEST_POWER_TICKETS_H
#define TEST_POWER_TICKETS_H

#include "power_check.h"

typedef struct Ticket {
  int64_t stream;
  int64_t seq;
  int state;
} Ticket;

/* Of one database, in order. */
typedef struct Tickets {
  Ticket pending[STATES_MAX];
  int first;
  int count;
} Tickets;

/* The database at this path has just committed, and its state is this one. */
void tickets_add(Tickets *tickets, const char *path, int state);

/* Note what of database d is called durable from now on. */
void tickets_note_durable(Tickets *tickets, int d);

/* All of it is: begin anew. */
void tickets_end(Tickets *tickets);

#endif /* TEST_POWER_TICKETS_H */
