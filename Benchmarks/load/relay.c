// relay: TCP connections through a relay on 127.0.0.1 to the raw origin (origin.c), for new connections or for bulk.
//
//   relay --port N --name SNI --seconds S --bytes N [--connections N] [--kept] [--sources N]
//
// Each connection begins with a ClientHello made by the TLS library for the server name. No TLS follows: a relay cannot
// tell, and neither end spends its time on encryption, so that the relay is what is measured.
// Without --kept, a connection asks for the bytes once, reads up to the origin's close, and counts as one unit of work.
// With --kept, it asks again and again; each whole answer is a unit of work.
// The bytes are discarded in the kernel (MSG_TRUNC), since copying them would cost this end as much as the relay.
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"
#include "wire.h"

struct connection {
    int fd;  // -1: idle
    int asked, closing;
    uint64_t began, left;
};

static struct {
    uint16_t port;
    const char *name;
    double seconds;
    uint64_t bytes;
    long connections;
    int kept;
    unsigned sources;
} options = {.name = "localhost", .connections = 32, .sources = 16};

static Report report;
static int poller;
static uint64_t deadline;
static uint8_t hello[4096];
static size_t hello_length;

static void make_hello(void) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *tls = context ? SSL_new(context) : NULL;
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (!tls || !in || !out || !SSL_set_tlsext_host_name(tls, options.name)) give_up("cannot make a ClientHello");
    SSL_set_bio(tls, in, out);
    SSL_set_connect_state(tls);
    SSL_do_handshake(tls);  // wants to read the answer; the hello is in `out` by now
    int length = BIO_read(out, hello, sizeof hello - REQUEST_BYTES);
    if (length <= RECORD_HEADER_BYTES || BIO_pending(out)) give_up("cannot make a ClientHello");
    hello_length = (size_t)length;
    SSL_free(tls);
    SSL_CTX_free(context);
}

static void drop(struct connection *c, int reset) {
    if (reset) close_with_reset(c->fd);
    else close(c->fd);
    c->fd = -1;
}

static void fail(struct connection *c, const char *where, const char *detail) {
    report_failure(&report, where, detail);
    if (c->fd >= 0) drop(c, 1);
}

static void begin(struct connection *c) {
    *c = (struct connection){.began = monotonic_nanoseconds()};
    c->fd = connect_loopback(options.port, options.sources);
    if (c->fd < 0) {
        fail(c, "connect", strerror(errno));
        return;
    }
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

// Sends the hello (the first time) and a request. Both fit into any socket's buffer, so a short write is a failure.
static int ask(struct connection *c) {
    uint8_t bytes[sizeof hello];
    size_t length = 0;
    if (!c->asked) memcpy(bytes, hello, length = hello_length);
    c->closing = !options.kept || monotonic_nanoseconds() >= deadline;
    put_request(bytes + length, options.bytes, c->closing);
    length += REQUEST_BYTES;
    if (send(c->fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length) {
        fail(c, "request", strerror(errno));
        return 0;
    }
    c->asked = 1;
    c->left = options.bytes;
    return 1;
}

static void unit_done(struct connection *c) {
    uint64_t now = monotonic_nanoseconds();
    report.done++;
    report_latency(&report, now - c->began);
    c->began = now;
}

static void receive(struct connection *c) {
    for (;;) {
        ssize_t got = recv(c->fd, NULL, 16u << 20, MSG_TRUNC);
        if (got < 0) {
            if (errno != EAGAIN) fail(c, "answer", strerror(errno));
            return;
        }
        if (got == 0) {
            if (c->left || !c->closing) {
                fail(c, "answer", "closed too early");
                return;
            }
            unit_done(c);
            drop(c, 0);  // in order, so that the relay sees an ordinary end in both directions
            return;
        }
        if ((uint64_t)got > c->left) {
            fail(c, "answer", "more bytes than asked for");
            return;
        }
        report.bytes += (uint64_t)got;
        c->left -= (uint64_t)got;
        if (c->left == 0 && !c->closing) {
            unit_done(c);
            if (!ask(c)) return;
        }
    }
}

static void step(struct connection *c) {
    if (!c->asked) {
        int cause = 0;
        socklen_t size = sizeof cause;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &cause, &size);
        if (cause) {
            fail(c, "connect", strerror(cause));
            return;
        }
        if (!ask(c)) return;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
        return;
    }
    receive(c);
}

static void read_options(int count, char **arguments) {
    static const struct option known[] = {{"port", 1, 0, 'p'},    {"name", 1, 0, 'n'},        {"seconds", 1, 0, 's'},
                                          {"bytes", 1, 0, 'b'},   {"connections", 1, 0, 'c'}, {"kept", 0, 0, 'k'},
                                          {"sources", 1, 0, 'a'}, {0, 0, 0, 0}};
    int option;
    while ((option = getopt_long(count, arguments, "", known, NULL)) != -1) switch (option) {
        case 'p': options.port = (uint16_t)whole_number("--port", optarg, 1, 65535); break;
        case 'n': options.name = optarg; break;
        case 's': options.seconds = seconds_value("--seconds", optarg); break;
        case 'b': options.bytes = (uint64_t)whole_number("--bytes", optarg, 1, 1L << 40); break;
        case 'c': options.connections = whole_number("--connections", optarg, 1, 4096); break;
        case 'k': options.kept = 1; break;
        case 'a': options.sources = (unsigned)whole_number("--sources", optarg, 0, 200); break;
        default: give_up("usage: see the head of relay.c");
    }
    if (!options.port || options.seconds == 0 || !options.bytes || optind < count)
        give_up("usage: see the head of relay.c");
}

int main(int count, char **arguments) {
    read_options(count, arguments);
    signal(SIGPIPE, SIG_IGN);
    make_hello();
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct connection *all = calloc((size_t)options.connections, sizeof *all);
    if (poller < 0 || !all) give_up("set-up: %s", strerror(errno));
    for (long i = 0; i < options.connections; i++) all[i].fd = -1;

    report.started = monotonic_nanoseconds();
    deadline = report.started + (uint64_t)(options.seconds * 1e9);
    for (;;) {
        uint64_t now = monotonic_nanoseconds();
        long busy = 0, failed_to_begin = 0;
        for (long i = 0; i < options.connections; i++) {
            if (all[i].fd < 0 && now < deadline) {
                begin(&all[i]);
                if (all[i].fd < 0) failed_to_begin = 1;
            }
            busy += all[i].fd >= 0;
        }
        if (now >= deadline && (!busy || now >= deadline + DRAIN_NANOSECONDS)) break;
        struct epoll_event events[256];
        int ready = epoll_wait(poller, events, 256, failed_to_begin ? 10 : 100);
        if (failed_to_begin && ready == 0) usleep(1000);
        for (int i = 0; i < ready; i++) step(events[i].data.ptr);
    }
    for (long i = 0; i < options.connections; i++)
        if (all[i].fd >= 0) fail(&all[i], "end", "not finished within 5 s after the time was up");
    report.ended = monotonic_nanoseconds();
    report_print(&report);
    return report.done ? 0 : 1;
}
