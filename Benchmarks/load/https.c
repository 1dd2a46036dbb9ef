// https: new TLS connections against 127.0.0.1, and requests on them if asked for.
//
//   https --port N --name SNI --seconds S [--connections N] [--requests N] [--path /P] [--body BYTES]
//         [--tls 1.2|1.3] [--resume] [--paths N] [--hold] [--signature LIST] [--cipher SUITE] [--sources N]
//
// --requests 0    handshakes only: then close_notify, and wait until the server has closed. So the server has handled
//                 the client's Finished before the connection counts
// --requests 1    one GET with "Connection: close", read up to the server's close
// --requests N    N GETs one after another on a kept connection, the last with "Connection: close"
//
// --resume        every connection but the first of each slot offers the ticket of the one before; the first does not
//                 count, and a later one with a full handshake counts as failed. Without it no session is ever kept or
//                 offered, so that each handshake is a full one, and a resumed one counts as failed
// --paths N       requests go to N different addresses in turn: ?n=0 and on
// --hold          every connection makes its requests, then stays open. When all do, the line "holding" is printed; the
//                 end of standard input ends the run
//
// A unit of work ("done") is a connection if there are less than two requests for each, otherwise a response.
// Every response must have status 200 and exactly --body bytes, given with a Content-Length.
// The certificate chain is not verified (that costs the client only); the handshake's signature is, by the library.
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

enum phase { IDLE, TCP_CONNECT, TLS_HANDSHAKE, SEND_REQUEST, READ_HEAD, READ_BODY, AWAIT_CLOSE, HELD };

struct connection {
    enum phase phase;
    int fd;
    uint32_t interest;
    SSL *tls;
    SSL_SESSION *session;  // with --resume: the last one that the server gave
    int counts;            // with --resume: not the first connection
    uint64_t began;      // when the unit of work began
    uint64_t answered;   // when the last response was whole
    long requests_left;
    long body_left;
    size_t head_length;
    char head[4096];
};

static struct {
    uint16_t port;
    const char *name, *path, *signature, *cipher;
    double seconds;
    long connections, requests, body, paths;
    int tls12, resume, hold;
    unsigned sources;
} options = {.name = "localhost", .path = "/", .connections = 32, .paths = 1, .sources = 16};

static SSL_CTX *context;
static int poller;
static uint64_t deadline;
static Report report;
static long holding;  // with --hold: connections that have done their requests

static void watch(struct connection *c, uint32_t interest) {
    if (c->interest == interest) return;
    struct epoll_event event = {.events = interest, .data.ptr = c};
    epoll_ctl(poller, c->interest ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event);
    c->interest = interest;
}

static void drop(struct connection *c) {
    if (c->tls) {
        // A connection that is freed without a shutdown takes its session along.
        if (options.resume) SSL_set_shutdown(c->tls, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(c->tls);
    }
    if (c->fd >= 0) close_with_reset(c->fd);
    c->tls = NULL;
    c->fd = -1;
    c->interest = 0;
    c->phase = IDLE;
    ERR_clear_error();
}

static void fail(struct connection *c, const char *where, const char *detail) {
    char text[128];
    unsigned long code = ERR_peek_error();
    if (!detail && code) ERR_error_string_n(code, text, sizeof text), detail = text;
    report_failure(&report, where, detail ? detail : strerror(errno));
    drop(c);
}

static void unit_done(struct connection *c) {
    uint64_t now = monotonic_nanoseconds();
    if (options.resume && !c->counts) return;
    report.done++;
    // What follows the response (session tickets, the close) is waited for, and not counted as time taken.
    report_latency(&report, (options.requests == 1 ? c->answered : now) - c->began);
    c->began = now;
}

static void begin(struct connection *c) {
    c->began = monotonic_nanoseconds();
    c->requests_left = options.requests;
    c->fd = connect_loopback(options.port, options.sources);
    if (c->fd < 0) {
        fail(c, "connect", NULL);
        return;
    }
    c->phase = TCP_CONNECT;
    watch(c, EPOLLOUT);
}

// After a TLS call that did not succeed: waits for the socket, or says that it is no use.
static int can_wait(struct connection *c, int result) {
    switch (SSL_get_error(c->tls, result)) {
        case SSL_ERROR_WANT_READ: watch(c, EPOLLIN); return 1;
        case SSL_ERROR_WANT_WRITE: watch(c, EPOLLOUT); return 1;
        default: return 0;
    }
}

static void describe_once(SSL *tls) {
    if (report.negotiated[0]) return;
    X509 *certificate = SSL_get1_peer_certificate(tls);
    EVP_PKEY *key = certificate ? X509_get0_pubkey(certificate) : NULL;
    int group = SSL_get_negotiated_group(tls);
    const char *group_name = OBJ_nid2sn(group);
    snprintf(report.negotiated, sizeof report.negotiated, "%s %s %s %s-%d", SSL_get_version(tls),
             SSL_get_cipher_name(tls), group_name ? group_name : "?", key ? EVP_PKEY_get0_type_name(key) : "?",
             key ? EVP_PKEY_get_bits(key) : 0);
    X509_free(certificate);
}

static int start_tls(struct connection *c) {
    int cause = 0;
    socklen_t size = sizeof cause;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &cause, &size);
    if (cause) {
        fail(c, "connect", strerror(cause));
        return 0;
    }
    c->tls = SSL_new(context);
    if (!c->tls || !SSL_set_fd(c->tls, c->fd) || !SSL_set_tlsext_host_name(c->tls, options.name)) {
        fail(c, "TLS set-up", NULL);
        return 0;
    }
    SSL_set_app_data(c->tls, c);
    c->counts = c->session != NULL;
    if (c->session) SSL_set_session(c->tls, c->session);
    SSL_set_connect_state(c->tls);
    c->phase = TLS_HANDSHAKE;
    return 1;
}

// Reads the response head that is in c->head, if it is whole. 1: read, 0: incomplete, -1: failed (connection dropped).
static int take_head(struct connection *c) {
    char *end = memmem(c->head, c->head_length, "\r\n\r\n", 4);
    if (!end) {
        if (c->head_length < sizeof c->head - 1) return 0;
        fail(c, "response", "head longer than 4 KiB");
        return -1;
    }
    *end = 0;  // the fields can be searched as a string; the body begins at end + 4
    if (strncmp(c->head, "HTTP/1.1 200", 12)) {
        c->head[strcspn(c->head, "\r\n")] = 0;
        fail(c, "response", c->head);
        return -1;
    }
    const char *length = strcasestr(c->head, "\r\ncontent-length:");
    c->body_left = length ? strtol(length + 17, NULL, 10) : -1;
    if (c->body_left != options.body) {
        fail(c, "response", length ? "wrong Content-Length" : "no Content-Length");
        return -1;
    }
    c->body_left -= (long)(c->head_length - (size_t)(end + 4 - c->head));
    if (c->body_left < 0) {
        fail(c, "response", "more bytes than its Content-Length");
        return -1;
    }
    report.bytes += (uint64_t)(options.body - c->body_left);
    c->head_length = 0;
    c->phase = READ_BODY;
    return 1;
}

// Reads on. 1: go on with the next phase, 0: wait or over.
static int read_some(struct connection *c) {
    static char waste[131072];
    int head = c->phase == READ_HEAD;
    char *into = head ? c->head + c->head_length : waste;
    int room = head ? (int)(sizeof c->head - 1 - c->head_length) : (int)sizeof waste;
    int got = SSL_read(c->tls, into, room);
    if (got > 0) {
        if (c->phase == AWAIT_CLOSE) {
            fail(c, "close", "data where none was asked for");
            return 0;
        }
        if (head) {
            c->head_length += (size_t)got;
            return take_head(c) >= 0;
        }
        report.bytes += (uint64_t)got;
        c->body_left -= got;
        if (c->body_left >= 0) return 1;
        fail(c, "response", "more bytes than its Content-Length");
        return 0;
    }
    if (can_wait(c, got)) return 0;
    if (c->phase != AWAIT_CLOSE) {
        fail(c, "response", "closed too early");
    } else if (SSL_get_error(c->tls, got) != SSL_ERROR_ZERO_RETURN) {
        fail(c, "close", ERR_peek_error() ? NULL : "no close_notify");
    } else {
        if (options.requests < 2) unit_done(c);
        drop(c);
    }
    return 0;
}

// After the handshake, or after a whole response.
static void next_request(struct connection *c) {
    if (c->requests_left > 0) {
        if (monotonic_nanoseconds() >= deadline) c->requests_left = 1;
        c->phase = SEND_REQUEST;
        return;
    }
    if (options.hold) {
        holding++;
        c->phase = HELD;
        watch(c, EPOLLIN);
        return;
    }
    // A server that was asked for "Connection: close" closes by itself; otherwise our close_notify makes it close.
    if (options.requests == 0) SSL_shutdown(c->tls);
    c->phase = AWAIT_CLOSE;
}

static int write_request(struct connection *c) {
    static long turn;
    static char text[700];
    char query[32] = "";
    if (options.paths > 1) snprintf(query, sizeof query, "?n=%ld", turn++ % options.paths);
    int last = c->requests_left == 1 && !options.hold;
    int length = snprintf(text, sizeof text, "GET %s%s HTTP/1.1\r\nHost: %s\r\n%s\r\n", options.path, query,
                          options.name, last ? "Connection: close\r\n" : "");
    return SSL_write(c->tls, text, length);
}

static void step(struct connection *c) {
    if (c->phase == TCP_CONNECT && !start_tls(c)) return;
    for (;;) {
        int result;
        switch (c->phase) {
            case TLS_HANDSHAKE:
                result = SSL_do_handshake(c->tls);
                if (result != 1) {
                    if (!can_wait(c, result)) fail(c, "handshake", NULL);
                    return;
                }
                if (SSL_session_reused(c->tls) != c->counts) {
                    fail(c, "handshake", c->counts ? "not resumed" : "resumed");
                    return;
                }
                describe_once(c->tls);
                next_request(c);
                break;
            case SEND_REQUEST: {
                result = write_request(c);
                if (result <= 0) {
                    if (!can_wait(c, result)) fail(c, "request", NULL);
                    return;
                }
                c->requests_left--;
                c->head_length = 0;
                c->phase = READ_HEAD;
                break;
            }
            case READ_BODY:
                if (c->body_left == 0) {
                    c->answered = monotonic_nanoseconds();
                    if (options.requests > 1) unit_done(c);
                    next_request(c);
                    break;
                }
                if (!read_some(c)) return;
                break;
            case READ_HEAD:
            case AWAIT_CLOSE:
                if (!read_some(c)) return;
                break;
            case HELD: {
                // Tickets may still come; an answer or the end may not.
                char waste[256];
                result = SSL_read(c->tls, waste, sizeof waste);
                if (result > 0 || !can_wait(c, result)) {
                    holding--;
                    fail(c, "hold", "the server did not keep the connection");
                }
                return;
            }
            default: return;
        }
    }
}

static int new_session(SSL *tls, SSL_SESSION *session) {
    struct connection *c = SSL_get_app_data(tls);
    SSL_SESSION_free(c->session);
    c->session = session;
    return 1;  // kept
}

static void make_context(void) {
    context = SSL_CTX_new(TLS_client_method());
    if (!context) give_up("no TLS context");
    int version = options.tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    SSL_CTX_set_session_cache_mode(
        context, options.resume ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF);
    SSL_CTX_sess_set_new_cb(context, options.resume ? new_session : NULL);
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    // nginx answers a close_notify that comes before any request with the end of the stream only.
    if (options.requests == 0) SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
    // The same key agreement with every server, whatever else its library knows.
    // In TLS 1.2 the list also says which curves a certificate may have.
    if (!SSL_CTX_set1_groups_list(context, options.tls12 ? "X25519:P-256" : "X25519")) give_up("X25519 is not available");
    const char *tls13 = options.cipher && !options.tls12 ? options.cipher : "TLS_AES_128_GCM_SHA256";
    const char *tls12 = options.cipher && options.tls12
                            ? options.cipher : "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256";
    if (!SSL_CTX_set_ciphersuites(context, tls13) || !SSL_CTX_set_cipher_list(context, tls12))
        give_up("--cipher: no such suite: %s", options.cipher);
    if (options.signature && !SSL_CTX_set1_sigalgs_list(context, options.signature))
        give_up("--signature: not a list of signature algorithms: %s", options.signature);
}

static void read_options(int count, char **arguments) {
    static const struct option known[] = {
        {"port", 1, 0, 'p'},     {"name", 1, 0, 'n'}, {"seconds", 1, 0, 's'},   {"connections", 1, 0, 'c'},
        {"requests", 1, 0, 'r'}, {"path", 1, 0, 'u'}, {"body", 1, 0, 'b'},      {"signature", 1, 0, 'g'},
        {"cipher", 1, 0, 'x'},   {"sources", 1, 0, 'a'}, {"tls", 1, 0, 't'},       {"resume", 0, 0, 'e'},
        {"paths", 1, 0, 'q'},    {"hold", 0, 0, 'h'},    {0, 0, 0, 0}};
    int option;
    while ((option = getopt_long(count, arguments, "", known, NULL)) != -1) switch (option) {
        case 'p': options.port = (uint16_t)whole_number("--port", optarg, 1, 65535); break;
        case 'n': options.name = optarg; break;
        case 's': options.seconds = seconds_value("--seconds", optarg); break;
        case 'c': options.connections = whole_number("--connections", optarg, 1, 100000); break;
        case 'r': options.requests = whole_number("--requests", optarg, 0, 1000000000); break;
        case 'u': options.path = optarg; break;
        case 'b': options.body = whole_number("--body", optarg, 0, 1L << 40); break;
        case 'g': options.signature = optarg; break;
        case 'x': options.cipher = optarg; break;
        case 't':
            options.tls12 = !strcmp(optarg, "1.2");
            if (!options.tls12 && strcmp(optarg, "1.3")) give_up("--tls takes 1.2 or 1.3, not \"%s\"", optarg);
            break;
        case 'e': options.resume = 1; break;
        case 'q': options.paths = whole_number("--paths", optarg, 1, 100000000); break;
        case 'h': options.hold = 1; break;
        case 'a': options.sources = (unsigned)whole_number("--sources", optarg, 0, 200); break;
        default: give_up("usage: see the head of https.c");
    }
    if (!options.port || options.seconds == 0 || optind < count) give_up("usage: see the head of https.c");
    if (strlen(options.path) + strlen(options.name) > 500) give_up("--path or --name is too long");
}

int main(int count, char **arguments) {
    read_options(count, arguments);
    signal(SIGPIPE, SIG_IGN);
    make_context();
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
            if (all[i].phase == IDLE && now < deadline) {
                begin(&all[i]);
                if (all[i].phase == IDLE) failed_to_begin = 1;
            }
            busy += all[i].phase != IDLE;
        }
        if (now >= deadline && (!busy || now >= deadline + DRAIN_NANOSECONDS)) break;
        if (options.hold && holding == options.connections) {
            puts("holding");
            fflush(stdout);
            while (getchar() != EOF) continue;
            report.done = (uint64_t)holding;
            break;
        }
        struct epoll_event events[256];
        // A connect that fails at once is tried again after a pause, not in a busy loop.
        int ready = epoll_wait(poller, events, 256, failed_to_begin ? 10 : 100);
        if (failed_to_begin && ready == 0) usleep(1000);
        for (int i = 0; i < ready; i++) step(events[i].data.ptr);
    }
    for (long i = 0; i < options.connections; i++)
        if (all[i].phase != IDLE && all[i].phase != HELD) fail(&all[i], "end", "not finished within 5 s after the time was up");
    report.ended = monotonic_nanoseconds();
    report_print(&report);
    return report.done ? 0 : 1;
}
