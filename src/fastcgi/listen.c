/* listen.c - where requests come in: makes, takes over and removes listening sockets.
 *
 * Called once by cmd/serve.c at the start and once at the end; libfcgi's own FCGX_OpenSocket
 * is no choice, as it calls exit() when it fails. */
#include "config.h"

#include "fastcgi/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

static int
make_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return -1;
    return fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int
listeners_add(struct listeners *listeners, int fd)
{
    if (listeners->count == LISTEN_SOCKETS_MAX)
        return -1;
    listeners->fds[listeners->count++] = fd;
    return 0;
}

/* A socket file is stale when no process accepts on it. Only removed after a failed connect, so
 * that a second rowcast started by mistake does not take the first one's readers away. */
static int
unix_clear_stale(const struct sockaddr_un *address, struct error *error)
{
    struct stat st;
    if (lstat(address->sun_path, &st) != 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return error_set(error,
                         "%s exists and is not a socket: remove it or choose another "
                         "--listen path",
                         address->sun_path);

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(error, "cannot make a socket: %s", strerror(errno));
    int result = connect(fd, (const struct sockaddr *)address, sizeof *address);
    int why = errno;
    close(fd);
    if (result == 0 || why != ECONNREFUSED)
        return error_set(error,
                         "%s is in use by another process%s: stop it or choose another "
                         "--listen path",
                         address->sun_path,
                         why == EACCES && result != 0 ? " (of another user)" : "");
    if (unlink(address->sun_path) != 0 && errno != ENOENT)
        return error_set(error, "cannot remove the stale socket %s: %s", address->sun_path,
                         strerror(errno));
    return 0;
}

/* True when the path still leads to the open file: the one that gives the lock up removes it. */
static bool
is_same_file(int fd, const char *path)
{
    struct stat opened;
    struct stat named;
    return fstat(fd, &opened) == 0 && lstat(path, &named) == 0 &&
           opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/* The locked file's descriptor; -1 with errno, EWOULDBLOCK when another has the lock. */
static int
lock_file(const char *path)
{
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return -1;
        bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
        int why = errno;
        if (locked && is_same_file(fd, path))
            return fd;
        close(fd);
        errno = why;
        if (!locked)
            return -1;
    }
}

/* Two that start at the same moment must not each find the other's socket stale: the one that holds
 * the lock looks, removes and binds. */
static int
unix_lock(struct listeners *listeners, const char *path, struct error *error)
{
    char lock_path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 8];
    snprintf(lock_path, sizeof lock_path, "%s.lock", path);
    listeners->lock_path = strdup(lock_path);
    if (listeners->lock_path == NULL)
        return error_set(error, "out of memory");
    listeners->lock_fd = lock_file(lock_path);
    if (listeners->lock_fd >= 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return error_set(error,
                         "%s is in use by another rowcast: stop it or choose another "
                         "--listen path",
                         path);
    return error_set(error, "cannot create %s: %s: %s", lock_path, strerror(errno),
                     errno == ENOENT || errno == ENOTDIR
                         ? "make the folder first (mkdir, or RuntimeDirectory= of systemd)"
                         : "the user that rowcast runs as needs write permission on that "
                           "folder");
}

static int
unix_bind(int fd, const struct sockaddr_un *address, mode_t mode)
{
    /* Never wider than asked for, not even for the moment before chmod. */
    mode_t old = umask(0777 & ~mode);
    int result = bind(fd, (const struct sockaddr *)address, sizeof *address);
    umask(old);
    if (result != 0)
        return -1;
    return chmod(address->sun_path, mode);
}

static int
listen_unix(struct listeners *listeners, const char *path, mode_t mode, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (*path == '\0' || strlen(path) >= sizeof address.sun_path) {
        error_set(error, "--listen: the path of a Unix socket has 1 to %zu bytes",
                  sizeof address.sun_path - 1);
        return LISTEN_USAGE;
    }
    strcpy(address.sun_path, path);

    if (unix_lock(listeners, path, error) != 0 || unix_clear_stale(&address, error) != 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || unix_bind(fd, &address, mode) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        error_set(error, "cannot listen on %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    listeners_add(listeners, fd);
    listeners->unlink_path = strdup(path);
    return 0;
}

static int
listen_inet(struct listeners *listeners, const struct addrinfo *info)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, LISTEN_BACKLOG) != 0 ||
        listeners_add(listeners, fd) != 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return 0;
}

/* Splits HOST:PORT or [V6]:PORT; host and port have room for the whole address. */
static int
split_host_port(const char *address, char *host, char *port)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address || colon[1] == '\0')
        return -1;
    const char *from = address;
    const char *to = colon;
    if (*address == '[') {
        if (colon[-1] != ']' || colon - address < 3)
            return -1;
        from++;
        to--;
    } else if (memchr(address, ':', (size_t)(colon - address)) != NULL) {
        return -1; /* a bare IPv6 address: which colon is the port's? */
    }
    memcpy(host, from, (size_t)(to - from));
    host[to - from] = '\0';
    strcpy(port, colon + 1);

    char *end;
    unsigned long number = strtoul(port, &end, 10);
    return port[0] >= '0' && port[0] <= '9' && *end == '\0' && number <= 65535 ? 0 : -1;
}

static int
listen_tcp(struct listeners *listeners, const char *address, struct error *error)
{
    char host[256];
    char port[256];
    if (strlen(address) >= sizeof host || split_host_port(address, host, port) != 0) {
        error_set(error,
                  "--listen: \"%s\" is not unix:PATH, HOST:PORT or [V6]:PORT "
                  "with a port from 0 to 65535",
                  address);
        return LISTEN_USAGE;
    }

    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int result = getaddrinfo(host, port, &hints, &found);
    if (result != 0)
        return error_set(error, "--listen: cannot resolve \"%s\": %s", host,
                         gai_strerror(result));
    int opened = 0;
    int why = 0;
    for (const struct addrinfo *info = found; info != NULL; info = info->ai_next) {
        if (listen_inet(listeners, info) == 0)
            opened++;
        else
            why = errno;
    }
    freeaddrinfo(found);
    if (opened == 0 || (why != 0 && why != EAFNOSUPPORT && why != EADDRNOTAVAIL))
        return error_set(error, "cannot listen on %s: %s", address, strerror(why));
    return 0;
}

int
listeners_open(struct listeners *listeners, const char *address, mode_t mode,
               struct error *error)
{
    *listeners = (struct listeners){.lock_fd = -1};
    int result = strncmp(address, "unix:", 5) == 0
                     ? listen_unix(listeners, address + 5, mode, error)
                     : listen_tcp(listeners, address, error);
    if (result != 0)
        listeners_close(listeners);
    return result;
}

static bool
is_listening(int fd)
{
    int accepts = 0;
    socklen_t len = sizeof accepts;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &len) == 0 && accepts != 0;
}

/* Takes the descriptor over. */
static int
listeners_take(struct listeners *listeners, int fd, struct error *error)
{
    if (!is_listening(fd))
        return error_set(error, "inherited descriptor %d is not a listening stream socket",
                         fd);
    if (make_nonblocking(fd) != 0 || listeners_add(listeners, fd) != 0)
        return error_set(error, "cannot take over inherited descriptor %d", fd);
    /* Deepens what the parent chose; the kernel cuts it to net.core.somaxconn. */
    listen(fd, LISTEN_BACKLOG);
    return 0;
}

int
listeners_inherit(struct listeners *listeners, struct error *error)
{
    *listeners = (struct listeners){.lock_fd = -1};
#ifdef HAVE_SYSTEMD
    int passed = sd_listen_fds(1);
    for (int i = 0; i < passed; i++) {
        if (listeners_take(listeners, SD_LISTEN_FDS_START + i, error) != 0)
            return -1;
    }
    if (passed > 0)
        return passed;
#endif
    if (!is_listening(STDIN_FILENO))
        return 0;
    return listeners_take(listeners, STDIN_FILENO, error) == 0 ? 1 : -1;
}

const char *
listeners_name(const struct listeners *listeners, int i, char *out, size_t size)
{
    union {
        struct sockaddr any;
        struct sockaddr_un local;
        struct sockaddr_storage room;
    } address = {0};
    socklen_t len = sizeof address;

    snprintf(out, size, "fd %d", listeners->fds[i]);
    if (getsockname(listeners->fds[i], &address.any, &len) != 0)
        return out;
    if (address.any.sa_family == AF_UNIX) {
        snprintf(out, size, "unix:%.107s", address.local.sun_path);
        return out;
    }
    char host[INET6_ADDRSTRLEN + 32];
    char port[16];
    if (getnameinfo(&address.any, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(out, size, address.any.sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
                 port);
    return out;
}

void
listeners_close(struct listeners *listeners)
{
    for (int i = 0; i < listeners->count; i++)
        close(listeners->fds[i]);
    listeners->count = 0;
    if (listeners->unlink_path != NULL) {
        unlink(listeners->unlink_path);
        free(listeners->unlink_path);
        listeners->unlink_path = NULL;
    }
    if (listeners->lock_fd >= 0) {
        unlink(listeners->lock_path);
        close(listeners->lock_fd);
        listeners->lock_fd = -1;
    }
    free(listeners->lock_path);
    listeners->lock_path = NULL;
}

unsigned
listen_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    return limit.rlim_cur > 1048576 ? 1048576 : (unsigned)limit.rlim_cur;
}
