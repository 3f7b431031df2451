/* The other side of the bench, so cheap that it is not the bottleneck: one epoll thread, HTTP/1.1 keep-alive.
 *   POST .../embeddings   one unit vector per text, that follows from the text; base64 made on the fly, JSON floats out of a pool
 *   anything else         the body is read and thrown away, answered as Qdrant answers a write
 *   GET /                 what a Qdrant client asks first
 * cc -O2 -o stub stub.c -lm && ./stub PORT DIMENSIONS */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { POOL = 512 };
static int dimensions;
static char *pool[POOL];
static size_t pool_length[POOL];

typedef struct { char *bytes; size_t length, capacity; } buffer;
typedef struct { int fd; buffer in, out; size_t sent; } connection;

static void reserve(buffer *b, size_t more) {
    if (b->length + more <= b->capacity) return;
    b->capacity = (b->length + more) * 2;
    b->bytes = realloc(b->bytes, b->capacity);
    if (!b->bytes) abort();
}
static void append(buffer *b, const char *bytes, size_t length) {
    reserve(b, length);
    memcpy(b->bytes + b->length, bytes, length);
    b->length += length;
}

static void make_vector(uint64_t seed, float *out) {
    uint64_t s = seed | 1;
    double sum = 0;
    for (int i = 0; i < dimensions; i++) {
        s ^= s << 13; s ^= s >> 7; s ^= s << 17;
        out[i] = (float)((int32_t)(s >> 32)) / 2147483648.0f;
        sum += (double)out[i] * out[i];
    }
    float scale = (float)(1.0 / sqrt(sum));
    for (int i = 0; i < dimensions; i++) out[i] *= scale;
}

static void append_base64(buffer *b, const unsigned char *bytes, size_t length) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    reserve(b, length * 4 / 3 + 8);
    char *out = b->bytes + b->length;
    size_t i = 0;
    for (; i + 2 < length; i += 3) {
        uint32_t v = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
        *out++ = digits[v >> 18]; *out++ = digits[v >> 12 & 63]; *out++ = digits[v >> 6 & 63]; *out++ = digits[v & 63];
    }
    if (i < length) {
        uint32_t v = (uint32_t)bytes[i] << 16 | (i + 1 < length ? (uint32_t)bytes[i + 1] << 8 : 0);
        *out++ = digits[v >> 18]; *out++ = digits[v >> 12 & 63];
        *out++ = i + 1 < length ? digits[v >> 6 & 63] : '='; *out++ = '=';
    }
    b->length = (size_t)(out - b->bytes);
}

/* One item per string of "input", which is an array of strings or one string. */
static void embeddings(const char *body, size_t length, buffer *answer) {
    int base64 = memmem(body, length, "\"base64\"", 8) != NULL;
    const char *end = body + length, *p = memmem(body, length, "\"input\"", 7);
    float vector[dimensions];
    char text[96];
    int count = 0;
    append(answer, "{\"object\":\"list\",\"data\":[", 25);
    if (p) {
        p += 7;
        while (p < end && *p != '[' && *p != '"') p++;
        int array = p < end && *p == '[';
        if (array) p++;
        while (p < end) {
            while (p < end && *p != '"' && *p != ']') p++;
            if (p >= end || *p == ']') break;
            uint64_t hash = 1469598103934665603ull;
            for (p++; p < end && *p != '"'; p++) {
                if (*p == '\\') p++;
                hash = (hash ^ (unsigned char)*p) * 1099511628211ull;
            }
            p++;
            int n = snprintf(text, sizeof text, "%s{\"object\":\"embedding\",\"index\":%d,\"embedding\":", count ? "," : "", count);
            append(answer, text, (size_t)n);
            if (base64) {
                make_vector(hash, vector);
                append(answer, "\"", 1);
                append_base64(answer, (unsigned char *)vector, (size_t)dimensions * 4);
                append(answer, "\"}", 2);
            } else {
                append(answer, pool[hash % POOL], pool_length[hash % POOL]);
                append(answer, "}", 1);
            }
            count++;
            if (!array) break;
        }
    }
    int n = snprintf(text, sizeof text, "],\"model\":\"stub\",\"usage\":{\"prompt_tokens\":%d,\"total_tokens\":%d}}", count * 75, count * 75);
    append(answer, text, (size_t)n);
}

/* Answers every whole request in `in`. 0: the connection is to be closed. */
static int serve(connection *c) {
    static buffer body;
    for (;;) {
        char *start = c->in.bytes, *head = c->in.length ? memmem(start, c->in.length, "\r\n\r\n", 4) : NULL;
        if (!head) return 1;
        size_t head_length = (size_t)(head - start) + 4, content = 0;
        int expects = 0;
        for (char *line = memmem(start, head_length, "\r\n", 2); line && line + 2 < head + 2; line = memmem(line + 2, head_length - (size_t)(line + 2 - start), "\r\n", 2)) {
            if (!strncasecmp(line + 2, "content-length:", 15)) content = strtoul(line + 17, NULL, 10);
            if (!strncasecmp(line + 2, "expect: 100", 11)) expects = 1;
            if (!strncasecmp(line + 2, "transfer-encoding:", 18)) return 0;
        }
        if (c->in.length < head_length + content) {
            if (expects && c->in.length == head_length && c->out.length == 0) append(&c->out, "HTTP/1.1 100 Continue\r\n\r\n", 25);
            return 1;
        }
        body.length = 0;
        size_t target = strcspn(start, "\r");
        if (memmem(start, target, "/embeddings", 11)) embeddings(start + head_length, content, &body);
        else if (!strncmp(start, "GET / ", 6)) append(&body, "{\"title\":\"qdrant - vector search engine\",\"version\":\"1.16.2\"}", 60);
        else append(&body, "{\"result\":{\"operation_id\":1,\"status\":\"completed\"},\"status\":\"ok\",\"time\":0.0}", 75);
        char header[128];
        int n = snprintf(header, sizeof header, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body.length);
        append(&c->out, header, (size_t)n);
        append(&c->out, body.bytes, body.length);
        size_t used = head_length + content;
        memmove(c->in.bytes, c->in.bytes + used, c->in.length - used);
        c->in.length -= used;
    }
}

static int flush(int poller, connection *c) {
    while (c->sent < c->out.length) {
        ssize_t n = send(c->fd, c->out.bytes + c->sent, c->out.length - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            struct epoll_event event = {EPOLLIN | EPOLLOUT, {.ptr = c}};
            epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
            return 1;
        }
        if (n <= 0) return 0;
        c->sent += (size_t)n;
    }
    if (c->out.length) {
        struct epoll_event event = {EPOLLIN, {.ptr = c}};
        epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
    }
    c->out.length = c->sent = 0;
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 3) return 64;
    dimensions = atoi(argv[2]);
    float vector[dimensions];
    for (int i = 0; i < POOL; i++) {
        buffer b = {0};
        char number[40];
        make_vector((uint64_t)(i + 1) * 0x9E3779B97F4A7C15ull, vector);
        for (int d = 0; d < dimensions; d++) append(&b, number, (size_t)snprintf(number, sizeof number, "%s%.9g", d ? "," : "[", vector[d]));
        append(&b, "]", 1);
        pool[i] = b.bytes; pool_length[i] = b.length;
    }
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 256)) { perror("stub"); return 1; }
    int poller = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.ptr = NULL}}, events[64];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poller, events, 64, -1);
        for (int i = 0; i < ready; i++) {
            connection *c = events[i].data.ptr;
            if (!c) {
                int fd;
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
                    c = calloc(1, sizeof *c);
                    if (!c) abort();
                    c->fd = fd;
                    event = (struct epoll_event){EPOLLIN, {.ptr = c}};
                    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
                }
                continue;
            }
            int open = 1;
            for (;;) {
                reserve(&c->in, 1 << 18);
                ssize_t n = recv(c->fd, c->in.bytes + c->in.length, c->in.capacity - c->in.length, 0);
                if (n > 0) { c->in.length += (size_t)n; continue; }
                if (n == 0 || errno != EAGAIN) open = 0;
                break;
            }
            if (open) open = serve(c) && flush(poller, c);
            if (!open) { close(c->fd); free(c->in.bytes); free(c->out.bytes); free(c); }
        }
    }
}
