#ifndef C_ALLOCATION_COUNT_H
#define C_ALLOCATION_COUNT_H

/// How many blocks of memory this thread has asked for since it began. A program that links this counts them all: the
/// functions here stand in front of the C library's.
unsigned long allocations_of_this_thread(void);

/// Bytes of all blocks that are in use, of all threads, with what the allocator takes for itself.
long bytes_in_use(void);

#endif
