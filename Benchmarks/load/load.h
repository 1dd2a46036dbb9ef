// What the load tools share: time, option values, connections from several loopback addresses, and the report.
//
// Every tool runs for a given time, then starts nothing new and waits for what is under way. So a reader of a server's
// CPU time before the tool starts and after it ends can divide it by the work reported: nothing is counted half.
#ifndef LATCHSTRING_LOAD_H
#define LATCHSTRING_LOAD_H

#include <stddef.h>
#include <stdint.h>

// How long unfinished work may go on after the time is up; what is left then counts as failed.
#define DRAIN_NANOSECONDS 5000000000ull

uint64_t monotonic_nanoseconds(void);

// Ends the tool with exit status 2 and a message.
void give_up(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

// The value of a numeric option; gives up unless it is a number within the bounds.
long whole_number(const char *option, const char *text, long least, long most);
double seconds_value(const char *option, const char *text);

// A non-blocking socket that is connecting to 127.0.0.1:port. Source addresses take turns among 127.0.0.2 and the
// `sources - 1` addresses after it (0: the system's choice), so that a fast run does not use up the ports of one address.
// Returns -1 with errno set.
int connect_loopback(uint16_t port, unsigned sources);

// Closes at once with a reset. For use after the server has closed its side: it leaves no TIME_WAIT at either end.
void close_with_reset(int fd);

// What one run did. Latencies are kept one by one: a run has some 100,000 of them at most.
typedef struct {
    uint64_t done, failed, bytes;
    uint64_t started, ended;  // nanoseconds, monotonic
    uint32_t *latencies;      // microseconds
    size_t latency_count, latency_capacity;
    char negotiated[128], first_failure[160];
} Report;

void report_latency(Report *report, uint64_t nanoseconds);
void report_failure(Report *report, const char *where, const char *detail);

// Prints the report as one line of JSON.
void report_print(Report *report);

#endif
