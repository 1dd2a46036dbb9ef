// delay: forwards connections from one port of 127.0.0.1 to another, each byte a fixed time later in either direction: the
// distance between two places on one machine.
//
//   delay --listen PORT --to PORT --milliseconds N
//
// Bandwidth is not limited, connecting itself is not delayed. Runs until it is ended by a signal. Prints "ready".
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

struct piece {
    struct piece *next;
    uint64_t due;
    size_t length, sent;
    char bytes[];
};

// One direction of a connection.
struct flow {
    int from, to;
    int ended;      // the sender's end of input was read
    uint64_t end_due;
    struct piece *first, **last;
};

struct link {
    struct link *next, **self;
    struct flow flows[2];
};

static struct link *links;
static uint64_t delay;
static int poller;

static void drop(struct link *l) {
    for (int i = 0; i < 2; i++) {
        for (struct piece *p = l->flows[i].first, *next; p; p = next) next = p->next, free(p);
        close(l->flows[i].from);
    }
    *l->self = l->next;
    if (l->next) l->next->self = l->self;
    free(l);
}

// 0: the connection is over.
static int read_in(struct flow *f) {
    static char buffer[1 << 17];
    while (!f->ended) {
        ssize_t got = recv(f->from, buffer, sizeof buffer, 0);
        if (got < 0) return errno == EAGAIN;
        if (got == 0) {
            f->ended = 1;
            f->end_due = monotonic_nanoseconds() + delay;
            return 1;
        }
        struct piece *p = malloc(sizeof *p + (size_t)got);
        if (!p) give_up("out of memory");
        *p = (struct piece){.due = monotonic_nanoseconds() + delay, .length = (size_t)got};
        memcpy(p->bytes, buffer, (size_t)got);
        *f->last = p;
        f->last = &p->next;
    }
    return 1;
}

// Sends what is due. 0: the connection is over.
static int send_out(struct flow *f, uint64_t now) {
    for (struct piece *p; (p = f->first) && p->due <= now;) {
        ssize_t sent = send(f->to, p->bytes + p->sent, p->length - p->sent, MSG_NOSIGNAL);
        if (sent < 0) return errno == EAGAIN;
        p->sent += (size_t)sent;
        if (p->sent < p->length) return 1;
        f->first = p->next;
        if (!f->first) f->last = &f->first;
        free(p);
    }
    if (f->ended == 1 && !f->first && f->end_due <= now) {
        shutdown(f->to, SHUT_WR);
        f->ended = 2;
    }
    return 1;
}

static void accept_all(int listener, uint16_t target) {
    for (;;) {
        int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
        if (client < 0) return;
        int server = connect_loopback(target, 0);
        struct link *l = calloc(1, sizeof *l);
        if (server < 0 || !l) give_up("connect: %s", strerror(errno));
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        l->flows[0] = (struct flow){.from = client, .to = server};
        l->flows[1] = (struct flow){.from = server, .to = client};
        for (int i = 0; i < 2; i++) {
            l->flows[i].last = &l->flows[i].first;
            struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET | EPOLLOUT, .data.ptr = l};
            epoll_ctl(poller, EPOLL_CTL_ADD, l->flows[i].from, &event);
        }
        l->next = links;
        l->self = &links;
        if (links) links->self = &l->next;
        links = l;
    }
}

int main(int count, char **arguments) {
    static const struct option known[] = {
        {"listen", 1, 0, 'l'}, {"to", 1, 0, 't'}, {"milliseconds", 1, 0, 'm'}, {0, 0, 0, 0}};
    uint16_t port = 0, target = 0;
    int option;
    while ((option = getopt_long(count, arguments, "", known, NULL)) != -1) switch (option) {
        case 'l': port = (uint16_t)whole_number("--listen", optarg, 1, 65535); break;
        case 't': target = (uint16_t)whole_number("--to", optarg, 1, 65535); break;
        case 'm': delay = (uint64_t)whole_number("--milliseconds", optarg, 0, 10000) * 1000000; break;
        default: give_up("usage: see the head of delay.c");
    }
    if (!port || !target || optind < count) give_up("usage: see the head of delay.c");
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener >= 0) setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 256))
        give_up("port %u: %s", port, strerror(errno));
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[64];
        // A millisecond is fine enough, and only while something is on its way.
        int waiting = 0;
        for (struct link *l = links; l; l = l->next)
            for (int i = 0; i < 2; i++) waiting |= l->flows[i].first || l->flows[i].ended == 1;
        int ready = epoll_wait(poller, events, 64, waiting ? 1 : -1);
        for (int i = 0; i < ready; i++)
            if (!events[i].data.ptr) accept_all(listener, target);
        uint64_t now = monotonic_nanoseconds();
        for (struct link *l = links, *next; l; l = next) {
            next = l->next;
            int alive = read_in(&l->flows[0]) && read_in(&l->flows[1]);
            alive = alive && send_out(&l->flows[0], now) && send_out(&l->flows[1], now);
            if (!alive || (l->flows[0].ended == 2 && l->flows[1].ended == 2)) drop(l);
        }
    }
}
