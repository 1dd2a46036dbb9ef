// hellos: new connections to 127.0.0.1 at a fixed rate, each with one write at most, by a client that never shakes hands.
//
//   hellos --port N --rate R --seconds S [--send hello|native|garbage|nothing] [--name SNI] [--tls12]
//          [--from ADDRESS] [--sources N] [--patience SECONDS]
//
// --send hello     a ClientHello made once by OpenSSL, with a random of its own in every copy: it costs the sender no
//                  cryptography. Nothing follows, so that no handshake is ever finished
// --send native    the same with a Hello of the native handshake (docs/native-handshake.md), origin-derived
// --send garbage   100 bytes that begin like a TLS record and hold no ClientHello
// --send nothing   the connection is closed as soon as it stands
// --from, --sources   source addresses take turns among N (default 1) from ADDRESS (default 127.0.0.1) on, each in an IPv4
//                  /24 of its own
// --patience       how long a connection waits for its answer (default 10 s); then it counts as unanswered
//
// The rate is kept whether or not the server answers. A connection ends with a reset when its answer has come.
// Prints two lines of JSON: connections started, and how many got a handshake record, an alert, an end without a byte,
// nothing in time, could not connect, or were over the bound on open ones; then the load tools' report, for latencies.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../load/load.h"

enum { MOST_OPEN = 18000, MOST_BYTES = 8192, RANDOM_AT = 11, NATIVE_NONCE_AT = 6, RANDOM_BYTES = 32 };
enum { TLS_HANDSHAKE = 0x16, NATIVE_HANDSHAKE = 0xC1, TLS_ALERT = 0x15, NATIVE_ALERT = 0xF5 };
enum sending { HELLO, NATIVE, GARBAGE, NOTHING };

static struct {
    uint16_t port;
    const char *name;
    double seconds, patience;
    long rate;
    enum sending sending;
    int tls12;
    struct in_addr from;
    unsigned sources;
} options = {.name = "localhost", .patience = 10, .sources = 1};

struct connection {
    int fd;
    int sent;
    uint64_t began;
    struct connection *older, *newer;  // in the order of their beginning
    struct connection *next_free;
};

static struct connection connections[MOST_OPEN];
static struct connection *unused, *oldest, *newest;
static long open_now;
static uint8_t payload[MOST_BYTES];
static size_t payload_length;
static int poller;
static Report report;
static struct { uint64_t started, handshake, alert, ended, unanswered, failed, over; } count;

static uint64_t random_state;

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void make_payload(void) {
    if (options.sending == GARBAGE) {
        static const uint8_t start[] = {0x16, 0x03, 0x01, 0x00, 0x5f, 0x01, 0x00, 0x00, 0x5b};
        memset(payload, 0x7e, payload_length = 100);
        memcpy(payload, start, sizeof start);
    }
    if (options.sending == NATIVE) {
        static const uint8_t kinds_and_suites[] = {2, 0x13, 0x01, 2, 1, 2};
        size_t name = strlen(options.name), body = 2 + RANDOM_BYTES + sizeof kinds_and_suites + 1 + name;
        if (name > 253) give_up("--name is too long");
        uint8_t *at = payload;
        *at++ = NATIVE_HANDSHAKE, *at++ = 1, *at++ = (uint8_t)(body >> 8), *at++ = (uint8_t)body;
        *at++ = 1, *at++ = 1;  // Hello, origin-derived
        at += RANDOM_BYTES;
        memcpy(at, kinds_and_suites, sizeof kinds_and_suites);
        at += sizeof kinds_and_suites;
        *at++ = (uint8_t)name;
        memcpy(at, options.name, name);
        payload_length = (size_t)(at - payload) + name;
    }
    if (options.sending != HELLO) return;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *tls = context ? SSL_new(context) : NULL;
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    static const unsigned char http1[] = "\x08http/1.1";
    if (!tls || !in || !out || SSL_set_alpn_protos(tls, http1, sizeof http1 - 1)) give_up("no ClientHello could be made");
    if (options.tls12) SSL_set_max_proto_version(tls, TLS1_2_VERSION);
    SSL_set_tlsext_host_name(tls, options.name);
    SSL_set_bio(tls, in, out);
    SSL_set_connect_state(tls);
    SSL_do_handshake(tls);
    int got = BIO_read(out, payload, sizeof payload);
    if (got < RANDOM_AT + RANDOM_BYTES || got == sizeof payload) give_up("no ClientHello could be made");
    payload_length = (size_t)got;
    SSL_free(tls);
    SSL_CTX_free(context);
}

static void unlink_connection(struct connection *c) {
    *(c->older ? &c->older->newer : &oldest) = c->newer;
    *(c->newer ? &c->newer->older : &newest) = c->older;
    c->older = c->newer = NULL;
}

static void drop(struct connection *c) {
    close_with_reset(c->fd);
    unlink_connection(c);
    c->next_free = unused;
    unused = c;
    open_now--;
}

static void begin(void) {
    static unsigned turn;
    count.started++;
    if (!unused) {
        count.over++;
        return;
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0) {
        count.failed++;
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    struct sockaddr_in source = {.sin_family = AF_INET}, target = {.sin_family = AF_INET, .sin_port = htons(options.port)};
    source.sin_addr.s_addr = htonl(ntohl(options.from.s_addr) + 256 * (turn++ % options.sources));
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&source, sizeof source) ||
        (connect(fd, (struct sockaddr *)&target, sizeof target) && errno != EINPROGRESS)) {
        close(fd);
        count.failed++;
        return;
    }
    struct connection *c = unused;
    unused = c->next_free;
    *c = (struct connection){.fd = fd, .began = monotonic_nanoseconds(), .older = newest};
    *(newest ? &newest->newer : &oldest) = c;
    newest = c;
    open_now++;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

// The connection stands: says what there is to say.
static void speak(struct connection *c) {
    int cause = 0;
    socklen_t size = sizeof cause;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &cause, &size);
    if (cause) {
        count.failed++;
        drop(c);
        return;
    }
    if (options.sending == NOTHING) {
        report_latency(&report, monotonic_nanoseconds() - c->began);
        count.ended++;
        drop(c);
        return;
    }
    size_t random_at = options.sending == HELLO ? RANDOM_AT : options.sending == NATIVE ? NATIVE_NONCE_AT : 0;
    for (size_t i = 0; random_at && i < RANDOM_BYTES; i += 8) {
        uint64_t value = next_random();
        memcpy(payload + random_at + i, &value, sizeof value);
    }
    if (send(c->fd, payload, payload_length, MSG_NOSIGNAL) != (ssize_t)payload_length) {
        count.failed++;
        drop(c);
        return;
    }
    c->sent = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

static void listen_to(struct connection *c) {
    uint8_t first;
    ssize_t got = recv(c->fd, &first, 1, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got == 1 && (first == TLS_HANDSHAKE || first == NATIVE_HANDSHAKE)) {
        count.handshake++;
        report_latency(&report, monotonic_nanoseconds() - c->began);
    } else if (got == 1 && (first == TLS_ALERT || first == NATIVE_ALERT)) {
        count.alert++;
    } else {
        count.ended++;
    }
    drop(c);
}

static void read_options(int argument_count, char **arguments) {
    static const struct option known[] = {
        {"port", 1, 0, 'p'}, {"rate", 1, 0, 'r'}, {"seconds", 1, 0, 's'}, {"send", 1, 0, 'w'}, {"name", 1, 0, 'n'},
        {"tls12", 0, 0, '2'}, {"from", 1, 0, 'f'}, {"sources", 1, 0, 'o'}, {"patience", 1, 0, 'i'}, {0, 0, 0, 0}};
    options.from.s_addr = htonl(INADDR_LOOPBACK);
    int option;
    while ((option = getopt_long(argument_count, arguments, "", known, NULL)) != -1) switch (option) {
        case 'p': options.port = (uint16_t)whole_number("--port", optarg, 1, 65535); break;
        case 'r': options.rate = whole_number("--rate", optarg, 1, 20000); break;
        case 's': options.seconds = seconds_value("--seconds", optarg); break;
        case 'i': options.patience = seconds_value("--patience", optarg); break;
        case 'n': options.name = optarg; break;
        case '2': options.tls12 = 1; break;
        case 'o': options.sources = (unsigned)whole_number("--sources", optarg, 1, 5000); break;
        case 'f':
            if (inet_pton(AF_INET, optarg, &options.from) != 1 || ntohl(options.from.s_addr) >> 24 != 127)
                give_up("--from takes a loopback IPv4 address, not \"%s\"", optarg);
            break;
        case 'w':
            if (!strcmp(optarg, "hello")) options.sending = HELLO;
            else if (!strcmp(optarg, "native")) options.sending = NATIVE;
            else if (!strcmp(optarg, "garbage")) options.sending = GARBAGE;
            else if (!strcmp(optarg, "nothing")) options.sending = NOTHING;
            else give_up("--send takes hello, native, garbage or nothing, not \"%s\"", optarg);
            break;
        default: give_up("usage: see the head of hellos.c");
    }
    if (!options.port || !options.rate || options.seconds == 0 || optind < argument_count)
        give_up("usage: see the head of hellos.c");
}

int main(int argument_count, char **arguments) {
    read_options(argument_count, arguments);
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    random_state = monotonic_nanoseconds() | 1;
    make_payload();
    poller = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < MOST_OPEN; i++) connections[i].next_free = unused, unused = &connections[i];

    uint64_t began = monotonic_nanoseconds(), patience = (uint64_t)(options.patience * 1e9);
    uint64_t end = began + (uint64_t)(options.seconds * 1e9), to_start = (uint64_t)(options.seconds * (double)options.rate);
    report.started = began;
    struct epoll_event events[512];
    for (;;) {
        uint64_t now = monotonic_nanoseconds();
        // What is late is made up for, a little at a time, so that answers are taken meanwhile.
        uint64_t due = now >= end ? to_start : (uint64_t)((double)(now - began) / 1e9 * (double)options.rate);
        for (int i = 0; i < 64 && count.started < due; i++) begin();
        while (oldest && oldest->began + patience < now) {
            count.unanswered++;
            drop(oldest);
        }
        if (count.started >= to_start && !open_now) break;
        int ready = epoll_wait(poller, events, 512, count.started < due ? 0 : 1);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->sent) listen_to(c);
            else speak(c);
        }
    }
    report.ended = monotonic_nanoseconds();
    printf("{\"started\": %llu, \"handshake\": %llu, \"alert\": %llu, \"ended\": %llu, \"unanswered\": %llu, \"failed\": %llu, "
           "\"over\": %llu}\n",
           (unsigned long long)count.started, (unsigned long long)count.handshake, (unsigned long long)count.alert,
           (unsigned long long)count.ended, (unsigned long long)count.unanswered, (unsigned long long)count.failed,
           (unsigned long long)count.over);
    report.done = count.handshake;
    report_print(&report);
    return 0;
}
