#pragma once
// What a readiness loop needs of Linux and Swift's Glibc does not export. Failures are negative errno values.
#include <stddef.h>
#include <stdint.h>

static const uint32_t epoll_readable = 1;  // data, or a connection to accept
static const uint32_t epoll_writable = 2;
static const uint32_t epoll_peer_ended = 4;  // the peer sends no more (it may still read)
static const uint32_t epoll_broken = 8;  // reset, or shut down in both directions
static const uint32_t epoll_exclusive = 16;  // for a socket that several loops accept from

typedef struct {
    uint64_t id;
    uint32_t events;
} epoll_ready;

int epoll_open(void);
int epoll_watch(int epoll, int file, uint32_t interest, uint64_t id);
int epoll_rewatch(int epoll, int file, uint32_t interest, uint64_t id);
int epoll_unwatch(int epoll, int file);
/// Returns the number of events; 0 after `milliseconds` (-1: no limit) or a signal.
int epoll_await(int epoll, epoll_ready *ready, int capacity, int milliseconds);

int wakeup_open(void);
void wakeup_signal(int wakeup);
void wakeup_clear(int wakeup);

int socket_listen(const char *host, int port, int backlog);
int socket_port(int socket);
/// A non-blocking socket with TCP_NODELAY; the peer's numeric address goes into `address`.
int socket_accept(int listener, char *address, size_t capacity);
ptrdiff_t socket_receive(int socket, void *buffer, size_t count);
ptrdiff_t socket_send(int socket, const void *buffer, size_t count);
void socket_end_sending(int socket);
void socket_close(int socket);

uint64_t monotonic_nanoseconds(void);
/// `Tue, 15 Nov 1994 08:12:31 GMT`, 29 characters without a terminating NUL.
void http_date(char *text);
