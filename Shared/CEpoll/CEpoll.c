#define _GNU_SOURCE  // accept4; never in a header, where it clashes with other C modules
#include "CEpoll.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint32_t kernel_events(uint32_t interest) {
    return (interest & epoll_readable ? EPOLLIN : 0) | (interest & epoll_writable ? EPOLLOUT : 0)
        | (interest & epoll_peer_ended ? EPOLLRDHUP : 0) | (interest & epoll_exclusive ? EPOLLEXCLUSIVE : 0);
}

static int control(int epoll, int operation, int file, uint32_t interest, uint64_t id) {
    struct epoll_event event = {.events = kernel_events(interest), .data.u64 = id};
    return epoll_ctl(epoll, operation, file, &event) == 0 ? 0 : -errno;
}

int epoll_open(void) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    return epoll >= 0 ? epoll : -errno;
}

int epoll_watch(int epoll, int file, uint32_t interest, uint64_t id) {
    return control(epoll, EPOLL_CTL_ADD, file, interest, id);
}

int epoll_rewatch(int epoll, int file, uint32_t interest, uint64_t id) {
    return control(epoll, EPOLL_CTL_MOD, file, interest, id);
}

int epoll_unwatch(int epoll, int file) { return control(epoll, EPOLL_CTL_DEL, file, 0, 0); }

int epoll_await(int epoll, epoll_ready *ready, int capacity, int milliseconds) {
    struct epoll_event events[256];
    int count = epoll_wait(epoll, events, capacity < 256 ? capacity : 256, milliseconds);
    if (count < 0) return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) {
        uint32_t kernel = events[i].events;
        ready[i].id = events[i].data.u64;
        ready[i].events = (kernel & EPOLLIN ? epoll_readable : 0) | (kernel & EPOLLOUT ? epoll_writable : 0)
            | (kernel & EPOLLRDHUP ? epoll_peer_ended : 0) | (kernel & (EPOLLERR | EPOLLHUP) ? epoll_broken : 0);
    }
    return count;
}

int wakeup_open(void) {
    int wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return wakeup >= 0 ? wakeup : -errno;
}

void wakeup_signal(int wakeup) {
    uint64_t one = 1;
    (void)!write(wakeup, &one, sizeof one);
}

void wakeup_clear(int wakeup) {
    uint64_t count;
    (void)!read(wakeup, &count, sizeof count);
}

int socket_listen(const char *host, int port, int backlog) {
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, service, &hints, &found) != 0) return -EADDRNOTAVAIL;
    int failure = -EADDRNOTAVAIL;
    for (struct addrinfo *each = found; each; each = each->ai_next) {
        int listener = socket(each->ai_family, each->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, each->ai_protocol);
        if (listener < 0) {
            failure = -errno;
            continue;
        }
        int on = 1, off = 0;
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (each->ai_family == AF_INET6) setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        if (bind(listener, each->ai_addr, each->ai_addrlen) == 0 && listen(listener, backlog) == 0) {
            freeaddrinfo(found);
            return listener;
        }
        failure = -errno;
        close(listener);
    }
    freeaddrinfo(found);
    return failure;
}

int socket_port(int socket) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getsockname(socket, (struct sockaddr *)&address, &length) != 0) return -errno;
    if (address.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

int socket_accept(int listener, char *text, size_t capacity) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int accepted = accept4(listener, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted < 0) return -errno;
    int on = 1;
    setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const void *number = address.ss_family == AF_INET6 ? (const void *)&((struct sockaddr_in6 *)&address)->sin6_addr
                                                       : (const void *)&((struct sockaddr_in *)&address)->sin_addr;
    if (!inet_ntop(address.ss_family, number, text, (socklen_t)capacity)) text[0] = 0;
    return accepted;
}

ptrdiff_t socket_receive(int socket, void *buffer, size_t count) {
    ssize_t received;
    do { received = recv(socket, buffer, count, 0); } while (received < 0 && errno == EINTR);
    return received >= 0 ? received : -errno;
}

ptrdiff_t socket_send(int socket, const void *buffer, size_t count) {
    ssize_t sent;
    do { sent = send(socket, buffer, count, MSG_NOSIGNAL); } while (sent < 0 && errno == EINTR);
    return sent >= 0 ? sent : -errno;
}

void socket_end_sending(int socket) { shutdown(socket, SHUT_WR); }
void socket_close(int socket) { close(socket); }

uint64_t monotonic_nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void http_date(char *text) {
    static const char *days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    char line[64];
    snprintf(line, sizeof line, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[parts.tm_wday], parts.tm_mday,
             months[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
    memcpy(text, line, 29);
}
