#ifndef LATCHSTRING_CSYSTEM_H
#define LATCHSTRING_CSYSTEM_H

#include <arpa/nameser.h>
#include <errno.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>

/*
 * Asks one question of class IN of the system's resolver, and waits. The functions of libresolv are macros, and their state
 * is a struct with bit fields, so that this part is C.
 *
 * name: absolute. server: asked instead of those of /etc/resolv.conf, or NULL. seconds, attempts: for each try, and how many.
 * Returns the bytes of the answer within `capacity`, or -1 with `failure` (a value of h_errno) and `number` (errno) set.
 */
static inline int latchstring_resolver_query(
    const char *name, int type, const struct sockaddr_in *server, int seconds, int attempts, unsigned char *answer,
    int capacity, int *failure, int *number)
{
    struct __res_state state;
    memset(&state, 0, sizeof state);
    if (res_ninit(&state) != 0) {
        *failure = NETDB_INTERNAL;
        *number = errno;
        return -1;
    }
    state.retrans = seconds;
    state.retry = attempts;
    if (server != NULL) {
        state.nsaddr_list[0] = *server;
        state.nscount = 1;
    }
    errno = 0;
    int length = res_nquery(&state, name, ns_c_in, type, answer, capacity);
    *number = errno;
    *failure = state.res_h_errno;
    res_nclose(&state);
    return length > capacity ? capacity : length;
}

/*
 * Whether core files, crash collectors and other processes of the same user get this process's memory. prctl(2) takes a
 * variable number of arguments, which Swift cannot pass. Returns 0, or -1 with errno set.
 */
static inline int latchstring_set_dumpable(int dumpable)
{
    return prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0);
}

/* glibc 2.34. Its header declares it under _GNU_SOURCE only, which Swift's own module of the C library does not set. */
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int first);

/* Has a program started with no open file from this number on. Returns 0 or an errno value. */
static inline int latchstring_spawn_closes_from(posix_spawn_file_actions_t *actions, int first)
{
    return posix_spawn_file_actions_addclosefrom_np(actions, first);
}

/* glibc 2.29, and musl 1.1.24; as above. */
extern int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *actions, const char *folder);

/* Has a program started in this folder. Returns 0 or an errno value. */
static inline int latchstring_spawn_in(posix_spawn_file_actions_t *actions, const char *folder)
{
    return posix_spawn_file_actions_addchdir_np(actions, folder);
}

/*
 * Attributes for a program that has no signal blocked or ignored.
 *
 * leads_group: it leads a group of its own, to be ended as a whole, and is not reached by the terminal's signals.
 * keeps_orders: SIGHUP, SIGUSR1 and SIGUSR2 stay ignored where they are: such an order, before the program listens for it, is
 * no reason to end.
 * Returns 0 or an errno value; posix_spawnattr_destroy afterwards.
 */
static inline int latchstring_spawn_attributes(posix_spawnattr_t *attributes, int leads_group, int keeps_orders)
{
    sigset_t signals;
    posix_spawnattr_init(attributes);
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(attributes, &signals);
    sigfillset(&signals);
    if (keeps_orders) {
        sigdelset(&signals, SIGHUP);
        sigdelset(&signals, SIGUSR1);
        sigdelset(&signals, SIGUSR2);
    }
    posix_spawnattr_setsigdefault(attributes, &signals);
    posix_spawnattr_setpgroup(attributes, 0);
    return posix_spawnattr_setflags(
        attributes, (leads_group ? POSIX_SPAWN_SETPGROUP : 0) | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

#endif
