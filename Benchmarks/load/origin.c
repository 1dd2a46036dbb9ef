// origin: the cheapest origin that edge and peers can be given, on 127.0.0.1.
//
//   origin --http PORT --raw PORT
//
// The HTTP port answers GET /N with 200 and N bytes that may not be stored, GET /cached/N with N bytes that may be stored
// for a day, keeps the connection unless the request says "Connection: close",
// and answers requests that come together one after another. The raw port speaks the protocol of wire.h.
// Runs until it is ended by a signal. Prints "ready" once both ports are open.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"
#include "wire.h"

enum kind { LISTEN_HTTP, LISTEN_RAW, HTTP, RAW };

struct connection {
    enum kind kind;
    int fd;
    int past_hello;      // raw: the handshake record has been skipped
    int close_after;
    uint32_t interest;
    size_t have;         // bytes in `in`
    size_t head_sent, head_length;
    uint64_t body_left;
    uint8_t in[8192];
    char head[256];
};

static char filler[1 << 20];
static int poller;

static void watch(struct connection *c, uint32_t interest) {
    if (c->interest == interest) return;
    struct epoll_event event = {.events = interest, .data.ptr = c};
    epoll_ctl(poller, c->interest ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event);
    c->interest = interest;
}

static struct connection *new_connection(enum kind kind, int fd) {
    struct connection *c = calloc(1, sizeof *c);
    if (!c) give_up("out of memory");
    c->kind = kind;
    c->fd = fd;
    watch(c, EPOLLIN);
    return c;
}

static void listen_on(enum kind kind, uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096))
        give_up("port %u: %s", port, strerror(errno));
    new_connection(kind, fd);
}

static void drop(struct connection *c) {
    close(c->fd);
    free(c);
}

static void consume(struct connection *c, size_t count) {
    c->have -= count;
    memmove(c->in, c->in + count, c->have);
}

// Takes the next request out of c->in. 1: there is an answer to send, 0: more bytes are needed, -1: not understood.
static int take_http(struct connection *c) {
    uint8_t *end = memmem(c->in, c->have, "\r\n\r\n", 4);
    if (!end) return c->have == sizeof c->in ? -1 : 0;
    *end = 0;
    char *text = (char *)c->in;
    if (strncmp(text, "GET /", 5)) return -1;
    int cached = !strncmp(text + 5, "cached/", 7);
    c->body_left = strtoull(text + 5 + (cached ? 7 : 0), NULL, 10);
    c->close_after = strcasestr(text, "\r\nconnection: close") != NULL || strstr(text, " HTTP/1.0\r\n") != NULL;
    c->head_length = (size_t)snprintf(c->head, sizeof c->head,
                                      "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                                      "Cache-Control: %s\r\nContent-Length: %llu\r\n%s\r\n",
                                      cached ? "max-age=86400" : "no-store", (unsigned long long)c->body_left,
                                      c->close_after ? "Connection: close\r\n" : "");
    c->head_sent = 0;
    consume(c, (size_t)(end + 4 - c->in));
    return 1;
}

static int take_raw(struct connection *c) {
    if (!c->past_hello) {
        if (c->have < RECORD_HEADER_BYTES) return 0;
        size_t record = RECORD_HEADER_BYTES + ((size_t)c->in[3] << 8 | c->in[4]);
        if (c->in[0] != 22 || record > sizeof c->in - REQUEST_BYTES) return -1;
        if (c->have < record) return 0;
        consume(c, record);
        c->past_hello = 1;
    }
    if (c->have < REQUEST_BYTES) return 0;
    c->body_left = requested_bytes(c->in);
    c->close_after = c->in[8];
    consume(c, REQUEST_BYTES);
    return 1;
}

// Sends what is left of the answer. 1: all sent, 0: the socket is full, -1: the peer is gone.
static int send_answer(struct connection *c) {
    while (c->head_sent < c->head_length || c->body_left) {
        ssize_t sent;
        size_t head = c->head_length - c->head_sent;
        size_t body = c->body_left < sizeof filler ? (size_t)c->body_left : sizeof filler;
        if (head) {
            struct iovec parts[2] = {{c->head + c->head_sent, head}, {filler, body}};
            struct msghdr message = {.msg_iov = parts, .msg_iovlen = body ? 2 : 1};
            sent = sendmsg(c->fd, &message, MSG_NOSIGNAL);
        } else {
            sent = send(c->fd, filler, body, MSG_NOSIGNAL);
        }
        if (sent < 0) return errno == EAGAIN ? 0 : -1;
        size_t of_head = (size_t)sent < head ? (size_t)sent : head;
        c->head_sent += of_head;
        c->body_left -= (size_t)sent - of_head;
    }
    return 1;
}

static void serve(struct connection *c) {
    for (;;) {
        if (c->head_sent < c->head_length || c->body_left) {
            int sent = send_answer(c);
            if (sent < 0) return drop(c);
            if (sent == 0) return watch(c, EPOLLOUT);
        }
        if (c->close_after) return drop(c);
        int taken = c->kind == HTTP ? take_http(c) : take_raw(c);
        if (taken < 0) return drop(c);
        if (taken) continue;
        ssize_t got = recv(c->fd, c->in + c->have, sizeof c->in - c->have, 0);
        if (got < 0 && errno == EAGAIN) return watch(c, EPOLLIN);
        if (got <= 0) return drop(c);
        c->have += (size_t)got;
    }
}

static void accept_all(struct connection *listener) {
    for (;;) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
        if (fd < 0) return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        new_connection(listener->kind == LISTEN_HTTP ? HTTP : RAW, fd);
    }
}

int main(int count, char **arguments) {
    static const struct option known[] = {{"http", 1, 0, 'h'}, {"raw", 1, 0, 'r'}, {0, 0, 0, 0}};
    uint16_t http = 0, raw = 0;
    int option;
    while ((option = getopt_long(count, arguments, "", known, NULL)) != -1) switch (option) {
        case 'h': http = (uint16_t)whole_number("--http", optarg, 1, 65535); break;
        case 'r': raw = (uint16_t)whole_number("--raw", optarg, 1, 65535); break;
        default: give_up("usage: see the head of origin.c");
    }
    if (!http || !raw || optind < count) give_up("usage: see the head of origin.c");
    memset(filler, 'x', sizeof filler);
    signal(SIGPIPE, SIG_IGN);
    poller = epoll_create1(EPOLL_CLOEXEC);
    listen_on(LISTEN_HTTP, http);
    listen_on(LISTEN_RAW, raw);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[256];
        int ready = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->kind == LISTEN_HTTP || c->kind == LISTEN_RAW) accept_all(c);
            else serve(c);
        }
    }
}
