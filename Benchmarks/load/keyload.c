// keyload: key operations at a key holder on 127.0.0.1, over one mutual TLS link as an edge has it, many in flight.
//
//   keyload --port N --certificates DIR --edge NAME --keyholder NAME --name SITE --seconds S [--in-flight N]
//
// DIR is what `latchstring certs` makes: the edge's identity, the authority, and the site's certificate. Every request is
// latchstring.sign-tls13/1 for the site, with a fresh transcript hash, padded to 1,024 bytes as an edge's are; the scheme
// follows from the site's key. One answer in 256 is verified with the site's certificate, so that the figures are of
// signatures that count. A unit of work is an operation.
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

// The key protocol: a header of 8 bytes (version 1.0, body length, request id), then items of tag, length, value.
enum { HEADER_BYTES = 8, ITEM_BYTES = 3, PADDED_BYTES = 1024, HASH_BYTES = 32, MOST_IN_FLIGHT = 4096 };
enum { TAG_SERVER_NAME = 0x02, TAG_CLIENT_IP = 0x03, TAG_OPCODE = 0x11, TAG_PAYLOAD = 0x12, TAG_FUNCTION = 0x13,
       TAG_PADDING = 0x20 };
enum { OPCODE_CUSTOM = 0x24, OPCODE_SUCCESS = 0xF0, OPCODE_ERROR = 0xFF };
enum { VERIFY_EVERY = 256 };

static struct {
    uint16_t port;
    const char *certificates, *edge, *keyholder, *name;
    double seconds;
    long in_flight;
} options = {.in_flight = 128};

static Report report;
static SSL *tls;
static EVP_PKEY *site_key;
static int site_key_is_rsa;

// One request is made once; its id and hash are written into copies of it.
static uint8_t template[PADDED_BYTES];
static size_t hash_at;

static struct slot {
    uint64_t began;
    uint8_t hash[HASH_BYTES];
} slots[MOST_IN_FLIGHT];
static long outstanding;

static uint8_t outgoing[MOST_IN_FLIGHT * PADDED_BYTES];
static size_t out_start, out_end;
static uint8_t incoming[1 << 17];
static size_t in_length;

static const char *tls_complaint(void) {
    static char text[160];
    unsigned long code = ERR_peek_error();
    if (!code) return errno ? strerror(errno) : "closed";
    ERR_error_string_n(code, text, sizeof text);
    return text;
}

static char *path_of(const char *prefix, const char *name, const char *suffix) {
    char *path;
    if (asprintf(&path, "%s/%s%s%s", options.certificates, prefix, name, suffix) < 0) give_up("out of memory");
    return path;
}

static void load_site_key(void) {
    char *path = path_of("", options.name, ".pem");
    FILE *file = fopen(path, "r");
    X509 *certificate = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    site_key = certificate ? X509_get_pubkey(certificate) : NULL;
    if (!site_key) give_up("%s: not a certificate", path);
    site_key_is_rsa = EVP_PKEY_is_a(site_key, "RSA");
    X509_free(certificate);
    fclose(file);
    free(path);
}

static uint8_t *put_item(uint8_t *at, uint8_t tag, const void *value, size_t length) {
    *at++ = tag;
    *at++ = (uint8_t)(length >> 8);
    *at++ = (uint8_t)length;
    if (value) memcpy(at, value, length);
    return at + length;
}

static void make_template(void) {
    static const char function[] = "latchstring.sign-tls13/1";
    uint8_t opcode = OPCODE_CUSTOM, client[4] = {127, 0, 0, 1};
    uint8_t payload[2 + HASH_BYTES] = {site_key_is_rsa ? 0x08 : 0x04, site_key_is_rsa ? 0x04 : 0x03};
    if (strlen(options.name) > 253) give_up("--name is too long");
    template[0] = 1;
    template[2] = (PADDED_BYTES - HEADER_BYTES) >> 8;
    template[3] = (PADDED_BYTES - HEADER_BYTES) & 0xff;
    uint8_t *at = put_item(template + HEADER_BYTES, TAG_OPCODE, &opcode, 1);
    at = put_item(at, TAG_SERVER_NAME, options.name, strlen(options.name));
    at = put_item(at, TAG_CLIENT_IP, client, sizeof client);
    at = put_item(at, TAG_FUNCTION, function, sizeof function - 1);
    hash_at = (size_t)(at - template) + ITEM_BYTES + 2;
    at = put_item(at, TAG_PAYLOAD, payload, sizeof payload);
    put_item(at, TAG_PADDING, NULL, (size_t)(template + PADDED_BYTES - at) - ITEM_BYTES);
}

static void connect_link(void) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    char *chain = path_of("edge-", options.edge, ".pem"), *key = path_of("edge-", options.edge, ".key");
    char *authority = path_of("", "authority", ".pem"), *host;
    if (asprintf(&host, "%s.keyholder.latchstring.internal", options.keyholder) < 0) give_up("out of memory");
    if (!context || SSL_CTX_use_certificate_chain_file(context, chain) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_load_verify_locations(context, authority, NULL) != 1)
        give_up("identity in %s: %s", options.certificates, tls_complaint());
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    int fd = connect_loopback(options.port, 0);
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    if (fd < 0 || poll(&wait, 1, 5000) != 1) give_up("connect to port %u: %s", options.port, strerror(errno));
    tls = SSL_new(context);
    if (!tls || !SSL_set_fd(tls, fd) || !SSL_set_tlsext_host_name(tls, host) || !SSL_set1_host(tls, host))
        give_up("TLS set-up: %s", tls_complaint());
    SSL_set_connect_state(tls);
    for (int result; (result = SSL_do_handshake(tls)) != 1;) {
        int want = SSL_get_error(tls, result);
        wait.events = want == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN;
        if ((want != SSL_ERROR_WANT_READ && want != SSL_ERROR_WANT_WRITE) || poll(&wait, 1, 5000) != 1)
            give_up("handshake with the key holder: %s", tls_complaint());
    }
    snprintf(report.negotiated, sizeof report.negotiated, "%s %s, %s key", SSL_get_version(tls),
             SSL_get_cipher_name(tls), EVP_PKEY_get0_type_name(site_key));
    free(chain), free(key), free(authority), free(host);
}

static uint64_t random_state = 0x9e3779b97f4a7c15ull;

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void ask(uint32_t id) {
    if (out_end + PADDED_BYTES > sizeof outgoing) {
        memmove(outgoing, outgoing + out_start, out_end - out_start);
        out_end -= out_start;
        out_start = 0;
    }
    uint8_t *packet = outgoing + out_end;
    memcpy(packet, template, PADDED_BYTES);
    for (int i = 0; i < 4; i++) packet[4 + i] = (uint8_t)(id >> (24 - 8 * i));
    struct slot *slot = &slots[id];
    for (int i = 0; i < HASH_BYTES; i += 8) {
        uint64_t value = next_random();
        memcpy(slot->hash + i, &value, sizeof value);
    }
    memcpy(packet + hash_at, slot->hash, HASH_BYTES);
    slot->began = monotonic_nanoseconds();
    out_end += PADDED_BYTES;
    outstanding++;
}

// Whether this is the site's signature over what a TLS 1.3 server signs for the hash (RFC 8446, 4.4.3).
static int verifies(const uint8_t *hash, const uint8_t *signature, size_t length) {
    static const char label[] = "TLS 1.3, server CertificateVerify";  // with the zero byte after it
    uint8_t content[64 + sizeof label + HASH_BYTES];
    memset(content, ' ', 64);
    memcpy(content + 64, label, sizeof label);
    memcpy(content + 64 + sizeof label, hash, HASH_BYTES);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_context;
    int good = context && EVP_DigestVerifyInit(context, &key_context, EVP_sha256(), NULL, site_key) == 1;
    if (good && site_key_is_rsa)
        good = EVP_PKEY_CTX_set_rsa_padding(key_context, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, RSA_PSS_SALTLEN_DIGEST) == 1;
    good = good && EVP_DigestVerify(context, signature, length, content, sizeof content) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return good;
}

static void take_answer(uint32_t id, const uint8_t *body, size_t length) {
    const uint8_t *payload = NULL;
    size_t payload_length = 0;
    int opcode = -1;
    for (size_t at = 0; at + ITEM_BYTES <= length;) {
        size_t size = (size_t)body[at + 1] << 8 | body[at + 2];
        const uint8_t *value = body + at + ITEM_BYTES;
        if (at + ITEM_BYTES + size > length) give_up("the key holder sent an item longer than its packet");
        if (body[at] == TAG_OPCODE && size == 1) opcode = *value;
        if (body[at] == TAG_PAYLOAD) payload = value, payload_length = size;
        at += ITEM_BYTES + size;
    }
    if (id >= (uint32_t)options.in_flight || !slots[id].began) give_up("the key holder answered what was not asked");
    struct slot *slot = &slots[id];
    outstanding--;
    if (opcode != OPCODE_SUCCESS) {
        char text[40];
        int code = opcode == OPCODE_ERROR && payload_length == 1 ? *payload : -1;
        snprintf(text, sizeof text, "opcode %02X, error code %d", (unsigned)opcode, code);
        report_failure(&report, "answer", text);
    } else if (report.done % VERIFY_EVERY == 0 && !verifies(slot->hash, payload, payload_length)) {
        report_failure(&report, "answer", "the signature does not verify");
    } else {
        report.done++;
        report.bytes += payload_length;
        report_latency(&report, monotonic_nanoseconds() - slot->began);
    }
    slot->began = 0;
}

// Takes all whole packets. `more`: whether to ask again for each.
static void take_answers(int more) {
    size_t at = 0;
    while (in_length - at >= HEADER_BYTES) {
        const uint8_t *packet = incoming + at;
        size_t length = (size_t)packet[2] << 8 | packet[3];
        if (packet[0] != 1) give_up("the key holder does not speak version 1");
        if (in_length - at < HEADER_BYTES + length) break;
        uint32_t id = (uint32_t)packet[4] << 24 | (uint32_t)packet[5] << 16 | (uint32_t)packet[6] << 8 | packet[7];
        take_answer(id, packet + HEADER_BYTES, length);
        if (more) ask(id);
        at += HEADER_BYTES + length;
    }
    in_length -= at;
    memmove(incoming, incoming + at, in_length);
}

static int would_wait(int result) {
    int want = SSL_get_error(tls, result);
    return want == SSL_ERROR_WANT_READ || want == SSL_ERROR_WANT_WRITE;
}

static void flush(void) {
    while (out_start < out_end) {
        int sent = SSL_write(tls, outgoing + out_start, (int)(out_end - out_start));
        if (sent <= 0) {
            if (!would_wait(sent)) give_up("link to the key holder: %s", tls_complaint());
            return;
        }
        out_start += (size_t)sent;
    }
    out_start = out_end = 0;
}

static void read_options(int count, char **arguments) {
    static const struct option known[] = {
        {"port", 1, 0, 'p'},      {"certificates", 1, 0, 'd'}, {"edge", 1, 0, 'e'},      {"keyholder", 1, 0, 'k'},
        {"name", 1, 0, 'n'},      {"seconds", 1, 0, 's'},      {"in-flight", 1, 0, 'i'}, {0, 0, 0, 0}};
    int option;
    while ((option = getopt_long(count, arguments, "", known, NULL)) != -1) switch (option) {
        case 'p': options.port = (uint16_t)whole_number("--port", optarg, 1, 65535); break;
        case 'd': options.certificates = optarg; break;
        case 'e': options.edge = optarg; break;
        case 'k': options.keyholder = optarg; break;
        case 'n': options.name = optarg; break;
        case 's': options.seconds = seconds_value("--seconds", optarg); break;
        case 'i': options.in_flight = whole_number("--in-flight", optarg, 1, MOST_IN_FLIGHT); break;
        default: give_up("usage: see the head of keyload.c");
    }
    if (!options.port || !options.certificates || !options.edge || !options.keyholder || !options.name ||
        options.seconds == 0 || optind < count)
        give_up("usage: see the head of keyload.c");
}

int main(int count, char **arguments) {
    read_options(count, arguments);
    signal(SIGPIPE, SIG_IGN);
    load_site_key();
    make_template();
    connect_link();

    report.started = monotonic_nanoseconds();
    uint64_t deadline = report.started + (uint64_t)(options.seconds * 1e9);
    for (uint32_t id = 0; id < (uint32_t)options.in_flight; id++) ask(id);
    while (outstanding) {
        flush();
        uint64_t now = monotonic_nanoseconds();
        if (now > deadline + DRAIN_NANOSECONDS) {
            for (; outstanding; outstanding--) report_failure(&report, "answer", "none within 5 s after the time was up");
            break;
        }
        struct pollfd wait = {.fd = SSL_get_fd(tls), .events = POLLIN | (out_start < out_end ? POLLOUT : 0)};
        if (poll(&wait, 1, 100) < 0) give_up("poll: %s", strerror(errno));
        for (;;) {
            int got = SSL_read(tls, incoming + in_length, (int)(sizeof incoming - in_length));
            if (got <= 0) {
                if (!would_wait(got)) give_up("the key holder ended the link: %s", tls_complaint());
                break;
            }
            in_length += (size_t)got;
            take_answers(monotonic_nanoseconds() < deadline);
        }
    }
    report.ended = monotonic_nanoseconds();
    SSL_shutdown(tls);
    close(SSL_get_fd(tls));
    report_print(&report);
    return report.done ? 0 : 1;
}
