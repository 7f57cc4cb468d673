/*
** Commits whose durability can be asked for.  See power_tickets.h.
*/
#include "power_tickets.h"

#include "recorder.h"
#include "registry.h"

void tickets_add(Tickets *tickets, const char *path, int state) {
  AsyncStream *stream = async_registry_find(path);
  async_mutex_enter(&stream->mutex);
  tickets->pending[tickets->count++] =
      (Ticket){.stream = stream->id, .seq = stream->pushed.seq, .state = state};
  async_mutex_leave(&stream->mutex);
  async_registry_unref(stream);
}

void tickets_note_durable(Tickets *tickets, int d) {
  while (tickets->first < tickets->count) {
    const Ticket *ticket = &tickets->pending[tickets->first];
    int64_t durable = async_registry_durable(ticket->stream);
    CHECK(durable >= 0);
    if (durable < ticket->seq) break;
    recorder_note(NOTE_DURABLE, d, ticket->state);
    tickets->first++;
  }
}

void tickets_end(Tickets *tickets) {
  CHECK_EQ(tickets->first, tickets->count);
  tickets->first = tickets->count = 0;
}
