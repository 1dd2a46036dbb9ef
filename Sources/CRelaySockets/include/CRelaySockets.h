#ifndef LATCHSTRING_CRELAYSOCKETS_H
#define LATCHSTRING_CRELAYSOCKETS_H

#include <stdint.h>

// System calls that Swift's modules of the system do not show, or show in a shape of their own. Every one is tried again when a signal
// interrupts it. Those that return a descriptor, or a count, return a negated error number instead if they fail; where the system has no
// such call that is ENOSYS.

/// What a socket is ready for.
struct latchstring_ready {
    /// What the socket was added with.
    uint64_t token;
    /// LATCHSTRING_...
    uint32_t what;
};

#define LATCHSTRING_READABLE 1u
#define LATCHSTRING_WRITABLE 2u
/// The peer has said everything, or the connection is broken: to be read to its end.
#define LATCHSTRING_ENDING 4u
/// The connection is broken.
#define LATCHSTRING_BROKEN 8u

/// This thread is told of a write to a closed connection by the call's result alone, and not by a signal.
void latchstring_ignore_broken_pipes(void);

/// Descriptors are closed in programs that are started meanwhile, and none of them blocks.
int latchstring_poller_open(void);
/// Tells of the descriptor each time it becomes ready for more, once, until its last copy is closed. Returns 0 or a negated error number.
int latchstring_poller_add(int poller, int descriptor, uint64_t token);
/// Waits for so many milliseconds at most; -1: for as long as it takes. Returns how many are ready.
int latchstring_poller_wait(int poller, struct latchstring_ready *ready, int capacity, int milliseconds);

/// A descriptor that becomes readable, for a poller, each time it is rung.
int latchstring_bell_open(void);
void latchstring_bell_ring(int bell);

/// Another descriptor for the same socket.
int latchstring_duplicate(int descriptor);
/// A new TCP socket that is being connected to the address (a sockaddr), or is already. What is written to it goes at once.
int latchstring_connect(const void *address, unsigned length);
/// The error that the socket has met, or 0.
int latchstring_socket_error(int descriptor);
long latchstring_receive(int descriptor, void *bytes, long count);
long latchstring_send(int descriptor, const void *bytes, long count);
/// The peer hears that nothing more comes.
void latchstring_end_output(int descriptor);
/// The next close is a reset.
void latchstring_reset_when_closed(int descriptor);
void latchstring_close(int descriptor);

/// A pipe for about so many bytes, its end to read from first. Returns 0 or a negated error number.
int latchstring_pipe(int descriptors[2], int size);
/// Moves bytes between a socket and a pipe, or back, without a look at them.
long latchstring_splice(int from, int to, long count);

#endif
