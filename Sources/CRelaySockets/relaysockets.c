#define _GNU_SOURCE
#include "CRelaySockets.h"

#include <errno.h>

#ifdef __linux__

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define AT_ONCE 128

static long result_of(long result) { return result < 0 ? -errno : result; }

void latchstring_ignore_broken_pipes(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int latchstring_poller_open(void) { return (int)result_of(epoll_create1(EPOLL_CLOEXEC)); }

int latchstring_poller_add(int poller, int descriptor, uint64_t token) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = token};
    return (int)result_of(epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event));
}

int latchstring_poller_wait(int poller, struct latchstring_ready *ready, int capacity, int milliseconds) {
    struct epoll_event events[AT_ONCE];
    int count = epoll_wait(poller, events, capacity < AT_ONCE ? capacity : AT_ONCE, milliseconds);
    if (count < 0) return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) {
        uint32_t seen = events[i].events, what = 0;
        if (seen & EPOLLIN) what |= LATCHSTRING_READABLE;
        if (seen & EPOLLOUT) what |= LATCHSTRING_WRITABLE;
        if (seen & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) what |= LATCHSTRING_ENDING;
        if (seen & EPOLLERR) what |= LATCHSTRING_BROKEN;
        ready[i] = (struct latchstring_ready){.token = events[i].data.u64, .what = what};
    }
    return count;
}

int latchstring_bell_open(void) { return (int)result_of(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

void latchstring_bell_ring(int bell) {
    uint64_t one = 1;
    while (write(bell, &one, sizeof one) < 0 && errno == EINTR) {}
}

int latchstring_duplicate(int descriptor) { return (int)result_of(fcntl(descriptor, F_DUPFD_CLOEXEC, 0)); }

int latchstring_connect(const void *address, unsigned length) {
    const struct sockaddr *to = address;
    int descriptor = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    int on = 1;
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // An interrupted connect goes on by itself.
    if (connect(descriptor, to, length) < 0 && errno != EINPROGRESS && errno != EINTR) {
        int error = errno;
        close(descriptor);
        return -error;
    }
    return descriptor;
}

int latchstring_socket_error(int descriptor) {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) < 0) return errno;
    return error;
}

long latchstring_receive(int descriptor, void *bytes, long count) {
    long result;
    do result = recv(descriptor, bytes, (size_t)count, 0);
    while (result < 0 && errno == EINTR);
    return result_of(result);
}

long latchstring_send(int descriptor, const void *bytes, long count) {
    long result;
    do result = send(descriptor, bytes, (size_t)count, MSG_NOSIGNAL);
    while (result < 0 && errno == EINTR);
    return result_of(result);
}

void latchstring_end_output(int descriptor) { (void)shutdown(descriptor, SHUT_WR); }

void latchstring_reset_when_closed(int descriptor) {
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

// On Linux the descriptor is gone even if close is interrupted: no second try.
void latchstring_close(int descriptor) { (void)close(descriptor); }

int latchstring_pipe(int descriptors[2], int size) {
    if (pipe2(descriptors, O_NONBLOCK | O_CLOEXEC) < 0) return -errno;
    // Where the user has too many already it would be so small that copies cost less.
    if (fcntl(descriptors[1], F_SETPIPE_SZ, size) < 0) {
        int error = errno;
        close(descriptors[0]);
        close(descriptors[1]);
        return -error;
    }
    return 0;
}

long latchstring_splice(int from, int to, long count) {
    long result;
    do result = splice(from, NULL, to, NULL, (size_t)count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (result < 0 && errno == EINTR);
    return result_of(result);
}

#else

#include <unistd.h>

void latchstring_ignore_broken_pipes(void) {}
int latchstring_poller_open(void) { return -ENOSYS; }
int latchstring_poller_add(int poller, int descriptor, uint64_t token) {
    (void)poller, (void)descriptor, (void)token;
    return -ENOSYS;
}
int latchstring_poller_wait(int poller, struct latchstring_ready *ready, int capacity, int milliseconds) {
    (void)poller, (void)ready, (void)capacity, (void)milliseconds;
    return -ENOSYS;
}
int latchstring_bell_open(void) { return -ENOSYS; }
void latchstring_bell_ring(int bell) { (void)bell; }
int latchstring_duplicate(int descriptor) {
    (void)descriptor;
    return -ENOSYS;
}
int latchstring_connect(const void *address, unsigned length) {
    (void)address, (void)length;
    return -ENOSYS;
}
int latchstring_socket_error(int descriptor) {
    (void)descriptor;
    return ENOSYS;
}
long latchstring_receive(int descriptor, void *bytes, long count) {
    (void)descriptor, (void)bytes, (void)count;
    return -ENOSYS;
}
long latchstring_send(int descriptor, const void *bytes, long count) {
    (void)descriptor, (void)bytes, (void)count;
    return -ENOSYS;
}
void latchstring_end_output(int descriptor) { (void)descriptor; }
void latchstring_reset_when_closed(int descriptor) { (void)descriptor; }
void latchstring_close(int descriptor) { (void)close(descriptor); }
int latchstring_pipe(int descriptors[2], int size) {
    (void)descriptors, (void)size;
    return -ENOSYS;
}
long latchstring_splice(int from, int to, long count) {
    (void)from, (void)to, (void)count;
    return -ENOSYS;
}

#endif
