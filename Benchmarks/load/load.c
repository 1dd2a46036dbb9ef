#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint64_t monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

void give_up(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

long whole_number(const char *option, const char *text, long least, long most) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < least || value > most)
        give_up("%s takes a number from %ld to %ld, not \"%s\"", option, least, most, text);
    return value;
}

double seconds_value(const char *option, const char *text) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value > 0 && value <= 600))
        give_up("%s takes seconds, more than 0 and at most 600, not \"%s\"", option, text);
    return value;
}

int connect_loopback(uint16_t port, unsigned sources) {
    static unsigned turn;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (sources) {
        struct sockaddr_in source = {.sin_family = AF_INET};
        source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + turn++ % sources);
        // The port is chosen at connect time, where only the whole four-tuple has to be free.
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(fd, (struct sockaddr *)&source, sizeof source)) goto failed;
    }
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(port)};
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&target, sizeof target) == 0 || errno == EINPROGRESS) return fd;
failed:;
    int cause = errno;
    close(fd);
    errno = cause;
    return -1;
}

void close_with_reset(int fd) {
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

void report_latency(Report *report, uint64_t nanoseconds) {
    if (report->latency_count == report->latency_capacity) {
        size_t capacity = report->latency_capacity ? report->latency_capacity * 2 : 65536;
        uint32_t *grown = realloc(report->latencies, capacity * sizeof *grown);
        if (!grown) give_up("out of memory");
        report->latencies = grown;
        report->latency_capacity = capacity;
    }
    uint64_t microseconds = nanoseconds / 1000;
    report->latencies[report->latency_count++] = microseconds > UINT32_MAX ? UINT32_MAX : (uint32_t)microseconds;
}

void report_failure(Report *report, const char *where, const char *detail) {
    report->failed++;
    if (!report->first_failure[0])
        snprintf(report->first_failure, sizeof report->first_failure, "%s: %s", where, detail);
}

static int ascending(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static void print_quoted(const char *text) {
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') putchar('\\');
        putchar(c < 0x20 || c > 0x7e ? '?' : c);
    }
    putchar('"');
}

void report_print(Report *report) {
    size_t count = report->latency_count;
    qsort(report->latencies, count, sizeof *report->latencies, ascending);
    printf("{\"done\": %llu, \"failed\": %llu, \"bytes\": %llu, \"seconds\": %.6f, \"negotiated\": ",
           (unsigned long long)report->done, (unsigned long long)report->failed, (unsigned long long)report->bytes,
           (double)(report->ended - report->started) / 1e9);
    print_quoted(report->negotiated);
    printf(", \"first_failure\": ");
    print_quoted(report->first_failure);
    if (count)
        printf(", \"latency_us\": {\"p50\": %u, \"p90\": %u, \"p99\": %u, \"max\": %u}", report->latencies[count / 2],
               report->latencies[count * 9 / 10], report->latencies[count * 99 / 100], report->latencies[count - 1]);
    puts("}");
    fflush(stdout);
}
