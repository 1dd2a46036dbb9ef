#ifndef C_ALLOCATION_COUNT_H
#define C_ALLOCATION_COUNT_H

/// How many blocks of memory this thread has asked for since it began. A program that links this counts them all: the
/// functions here stand in front of the C library's.
unsigned long allocations_of_this_thread(void);

#endif
