/*
** A load of HTTP/1.1 requests on loopback, from a process of its own.
**
** The variant is "PORT,WRITERS,WRITES,ROWS,PINGS,MS": connections that POST rows to
** /rows, how many such requests a second (0: each connection sends the next one as
** soon as it has an answer, which finds the capacity), rows in each of them, how many
** GETs of /ping a second beside them, and for how long.
**
** With a rate the load is open: a request is due at its time whether or not others
** were answered, and what it waits for a connection counts.  So a server that stands
** still for a while delays all requests that were due meanwhile, as it does for people.
** What was due within the time is sent and waited for, however late that becomes.
*/
#define _GNU_SOURCE 1 /* for ppoll() and strcasestr() */

#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PING_CONNECTIONS 8
#define CONNECTIONS_MAX 1100
#define ANSWER_MAX 4096
#define ROWS_MAX 32
#define BODY_MAX (64 * ROWS_MAX)
#define LATE_MAX_NS 60000000000 /* an answer may come that long after the end */

typedef struct Connection {
  int64_t due_ns; /* of the request under way; 0: none is */
  int length;     /* of the answer so far */
  char answer[ANSWER_MAX];
} Connection;

/* Requests of one kind, on connections of their own. */
typedef struct Kind {
  int rows;  /* in each; 0: they are GETs */
  int first; /* connection */
  int count;
  int64_t interval_ns; /* between two; 0: closed */
  int64_t next_ns;     /* the next one is due */
  int64_t sent;
  int64_t *samples;
  size_t answered;
  size_t room;
} Kind;

static Connection connections[CONNECTIONS_MAX];
static struct pollfd polled[CONNECTIONS_MAX];

static void connect_to(int port, int i) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int on = 1;
  int s = socket(AF_INET, SOCK_STREAM, 0);
  if (s < 0 || connect(s, (struct sockaddr *)&address, sizeof address) != 0) {
    bench_fail("cannot connect to port %d: %s", port, strerror(errno));
  }
  setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(s, F_SETFL, O_NONBLOCK);
  polled[i] = (struct pollfd){.fd = s, .events = POLLIN};
}

/* {"names":["...","..."]}; returns the length. */
static int write_body(const Kind *kind, char *body) {
  int length = 0;
  for (int row = 0; row < kind->rows; row++) {
    length +=
        snprintf(body + length, BODY_MAX - (size_t)length, "%s\"a row to commit, number %lld\"",
                 row == 0 ? "{\"names\":[" : ",", (long long)kind->sent * kind->rows + row);
  }
  return length + snprintf(body + length, BODY_MAX - (size_t)length, "]}");
}

static void send_request(Kind *kind, int i, int64_t due_ns) {
  char request[BODY_MAX + 256];
  int n;
  if (kind->rows > 0) {
    char body[BODY_MAX];
    int length = write_body(kind, body);
    n = snprintf(request, sizeof request,
                 "POST /rows HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                 "Content-Length: %d\r\n\r\n%s",
                 length, body);
  } else {
    n = snprintf(request, sizeof request, "GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }
  if (send(polled[i].fd, request, (size_t)n, MSG_NOSIGNAL) != n) {
    bench_fail("cannot send: %s", strerror(errno));
  }
  kind->sent++;
  connections[i].due_ns = due_ns;
  connections[i].length = 0;
}

/* Is the answer complete?  It must be a 200 with a Content-Length. */
static bool is_complete(Connection *connection) {
  char *text = connection->answer;
  text[connection->length] = '\0';
  char *end = strstr(text, "\r\n\r\n");
  if (end == NULL) return false;
  if (strncmp(text, "HTTP/1.1 200", 12) != 0) bench_fail("the answer is %.40s", text);
  char *header = strcasestr(text, "\r\ncontent-length:");
  if (header == NULL || header > end) bench_fail("an answer has no Content-Length");
  return connection->length - (end + 4 - text) >= atoi(header + 17);
}

static void note_answer(Kind *kind, Connection *connection, int64_t now_ns) {
  if (kind->answered == kind->room) {
    kind->room = kind->room == 0 ? 4096 : 2 * kind->room;
    kind->samples = realloc(kind->samples, kind->room * sizeof *kind->samples);
    if (kind->samples == NULL) bench_fail("out of memory");
  }
  kind->samples[kind->answered++] = now_ns - connection->due_ns;
  connection->due_ns = 0;
}

static void read_answers(Kind *kind) {
  for (int i = kind->first; i < kind->first + kind->count; i++) {
    if (polled[i].revents == 0) continue;
    Connection *connection = &connections[i];
    int room = ANSWER_MAX - 1 - connection->length;
    ssize_t n = recv(polled[i].fd, connection->answer + connection->length, (size_t)room, 0);
    if (n <= 0 && errno == EAGAIN) continue;
    if (n <= 0) bench_fail("a connection was closed");
    connection->length += (int)n;
    if (is_complete(connection)) note_answer(kind, connection, bench_now_ns());
  }
}

/* Send what is due, and was before the end, as far as connections are free. */
static void send_due(Kind *kind, int64_t now_ns, int64_t end_ns) {
  for (int i = kind->first; i < kind->first + kind->count; i++) {
    if (connections[i].due_ns != 0) continue;
    if (kind->interval_ns == 0) {
      if (now_ns < end_ns) send_request(kind, i, now_ns);
    } else if (kind->next_ns <= now_ns && kind->next_ns < end_ns) {
      send_request(kind, i, kind->next_ns);
      kind->next_ns += kind->interval_ns;
    }
  }
}

static void wait_until(int64_t until_ns, int count) {
  int64_t left_ns = until_ns - bench_now_ns();
  if (left_ns < 0) left_ns = 0;
#if defined(__linux__)
  struct timespec left = {.tv_sec = left_ns / 1000000000, .tv_nsec = left_ns % 1000000000};
  int n = ppoll(polled, (nfds_t)count, &left, NULL);
#else
  int n = poll(polled, (nfds_t)count, (int)(left_ns / 1000000));
#endif
  if (n < 0) bench_fail("poll: %s", strerror(errno));
}

/* When to look again if no answer comes: with no connection free, only an answer helps, and
** to look all the time would take the CPU from the server's threads. */
static int64_t next_due_ns(const Kind *kind, int64_t otherwise_ns) {
  if (kind->interval_ns == 0 || kind->next_ns >= otherwise_ns) return otherwise_ns;
  for (int i = kind->first; i < kind->first + kind->count; i++) {
    if (connections[i].due_ns == 0) return kind->next_ns;
  }
  return otherwise_ns;
}

/* Is there something still to send, or to be answered? */
static bool is_owed(const Kind *kind, int64_t end_ns) {
  bool unsent = kind->interval_ns > 0 && kind->next_ns < end_ns;
  return unsent || kind->sent > (int64_t)kind->answered;
}

/* Send what is due and read answers, once. */
static void step(Kind *posts, Kind *gets, int64_t end_ns, int64_t wake_ns) {
  int64_t now_ns = bench_now_ns();
  send_due(posts, now_ns, end_ns);
  send_due(gets, now_ns, end_ns);
  wait_until(next_due_ns(gets, next_due_ns(posts, wake_ns)), posts->count + gets->count);
  read_answers(posts);
  read_answers(gets);
}

static int64_t interval_of(int per_second) { return per_second == 0 ? 0 : 1000000000 / per_second; }

void bench_load(const Bench *bench) {
  int port;
  int writers;
  int writes;
  int rows;
  int pings;
  int ms;
  int found =
      sscanf(bench->variant, "%d,%d,%d,%d,%d,%d", &port, &writers, &writes, &rows, &pings, &ms);
  if (found != 6 || writers < 1 || writers + PING_CONNECTIONS > CONNECTIONS_MAX || rows < 1 ||
      rows > ROWS_MAX) {
    bench_fail("the variant is to be PORT,WRITERS,WRITES,ROWS,PINGS,MS: \"%s\"", bench->variant);
  }
  Kind posts = {.rows = rows, .count = writers, .interval_ns = interval_of(writes)};
  Kind gets = {.first = writers,
               .count = pings == 0 ? 0 : PING_CONNECTIONS,
               .interval_ns = interval_of(pings)};
  int count = posts.count + gets.count;
  for (int i = 0; i < count; i++) connect_to(port, i);
  int64_t start_ns = bench_now_ns();
  int64_t end_ns = start_ns + (int64_t)ms * 1000000;
  posts.next_ns = gets.next_ns = start_ns;
  while (bench_now_ns() < end_ns) step(&posts, &gets, end_ns, end_ns);
  size_t answered = posts.answered;
  while (is_owed(&posts, end_ns) || is_owed(&gets, end_ns)) {
    if (bench_now_ns() > end_ns + LATE_MAX_NS) bench_fail("no answer");
    step(&posts, &gets, end_ns, bench_now_ns() + 1000000000);
  }
  bench_print_one("answered in time", 0, (int64_t)answered);
  bench_print_one("sent", 0, posts.sent);
  bench_print("write", 0, posts.samples, posts.answered);
  bench_print("ping", 0, gets.samples, gets.answered);
  for (int i = 0; i < count; i++) close(polled[i].fd);
}
