// What the relay load says to the raw origin, through a relay that looks at the ClientHello only.
//
// The client sends one genuine TLS handshake record (a ClientHello, so that relays can route by its server name) and then
// requests of 9 bytes each: how many bytes it wants (64 bits, big endian), and 1 if the origin is to close after them.
#ifndef LATCHSTRING_LOAD_WIRE_H
#define LATCHSTRING_LOAD_WIRE_H

#include <stdint.h>

enum { RECORD_HEADER_BYTES = 5, REQUEST_BYTES = 9 };

static inline void put_request(uint8_t *into, uint64_t bytes, int close_after) {
    for (int i = 0; i < 8; i++) into[i] = (uint8_t)(bytes >> (56 - 8 * i));
    into[8] = close_after ? 1 : 0;
}

static inline uint64_t requested_bytes(const uint8_t *request) {
    uint64_t bytes = 0;
    for (int i = 0; i < 8; i++) bytes = bytes << 8 | request[i];
    return bytes;
}

#endif
