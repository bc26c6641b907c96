/* fcgi_get.c - sends one FastCGI request as a web server does and prints the answer's bytes.
 *
 *     fcgi_get ADDRESS [--seconds N] [--body FILE] --get TARGET [NAME=VALUE...]
 *
 * ADDRESS is unix:PATH or HOST:PORT, TARGET what follows the mount point: /health?x=1. More
 * parameters follow, or replace ours. With --body the file's bytes are sent by POST.
 * Exit 0 if the request was ended properly, 1 if the peer closed before, 2 after --seconds (10).
 *
 * The bats tests run it some thousand times, which is why it is no script. For anything but one
 * request and its answer there is fcgi.py. It knows fastcgi.h alone and no code of rowcast's, so
 * that a fault there cannot hide behind the same fault here. */
#define _GNU_SOURCE

#include <errno.h>
#include <fastcgi.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PARAMS_MAX 64     /* parameters of a request */
#define CONTENT_MAX 65528 /* bytes of a record of parameters */
#define BODY_PIECE                                                                         \
    9999 /* bytes of a record of the body: an odd size, as nothing promises any */

struct request {
    const char *address;
    const char *target;
    FILE *body; /* NULL: GET */
    double seconds;
    char *params[PARAMS_MAX]; /* NAME=VALUE, owned */
    size_t params_count;
};

static _Noreturn void
give_up(const char *what, const char *why)
{
    fprintf(stderr, "fcgi_get: %s: %s\n", what, why);
    exit(1);
}

/* --- the request ------------------------------------------------------------------------- */

/* Adds NAME=VALUE, or puts it in the place of the one with that name. */
static void
set_param(struct request *request, char *param)
{
    size_t name_len = strcspn(param, "=") + 1;

    for (size_t i = 0; i < request->params_count; i++) {
        if (strncmp(request->params[i], param, name_len) == 0) {
            free(request->params[i]);
            request->params[i] = param;
            return;
        }
    }
    if (request->params_count == PARAMS_MAX)
        give_up(param, "too many parameters");
    request->params[request->params_count++] = param;
}

static void
set_param_to(struct request *request, const char *name, const char *value, int value_len)
{
    char *param = NULL;

    if (asprintf(&param, "%s=%.*s", name, value_len, value) < 0)
        give_up(name, "out of memory");
    set_param(request, param);
}

static void
set_defaults(struct request *request)
{
    static const char *const defaults[] = {
        "REQUEST_METHOD=GET", "SCRIPT_NAME=/events",      "PATH_INFO=",
        "QUERY_STRING=",      "SERVER_PROTOCOL=HTTP/1.1", "REMOTE_ADDR=127.0.0.1"};

    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        set_param(request, strdup(defaults[i]));
}

static void
set_target(struct request *request)
{
    const char *query = strchrnul(request->target, '?');

    set_param_to(request, "PATH_INFO", request->target, (int)(query - request->target));
    if (*query == '?')
        set_param_to(request, "QUERY_STRING", query + 1, (int)strlen(query + 1));
}

static void
set_body(struct request *request, const char *path)
{
    char size[32];

    request->body = fopen(path, "rb");
    if (request->body == NULL || fseek(request->body, 0, SEEK_END) != 0)
        give_up(path, strerror(errno));
    snprintf(size, sizeof size, "%ld", ftell(request->body));
    rewind(request->body);
    set_param_to(request, "REQUEST_METHOD", "POST", 4);
    set_param_to(request, "CONTENT_LENGTH", size, (int)strlen(size));
}

/* Reads the command line. */
static struct request
read_arguments(int argc, char **argv)
{
    struct request request = {.seconds = 10};
    int at = 2;

    set_defaults(&request);
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        if (strcmp(argv[at], "--get") == 0)
            request.target = argv[at + 1];
        else if (strcmp(argv[at], "--body") == 0)
            set_body(&request, argv[at + 1]);
        else if (strcmp(argv[at], "--seconds") == 0)
            request.seconds = strtod(argv[at + 1], NULL);
        else
            give_up(argv[at], "not an option");
    }
    if (argc < 2 || request.target == NULL)
        give_up(
            "usage",
            "fcgi_get ADDRESS [--seconds N] [--body FILE] --get TARGET [NAME=VALUE...]");
    request.address = argv[1];
    set_target(&request);
    for (; at < argc; at++)
        set_param(&request, strdup(argv[at]));
    return request;
}

/* --- the way out --------------------------------------------------------------------------- */

static int
connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    if (strlen(path) >= sizeof address.sun_path)
        give_up(path, "too long");
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        give_up(path, strerror(errno));
    return fd;
}

static int
connect_tcp(const char *address)
{
    const char *colon = strrchr(address, ':');
    char host[256];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;

    if (colon == NULL)
        give_up(address, "neither unix:PATH nor HOST:PORT");
    int bracket = *address == '[';
    snprintf(host, sizeof host, "%.*s", (int)(colon - address) - 2 * bracket,
             address + bracket);
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        give_up(address, "no such address");
    int fd = socket(found->ai_family, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) != 0)
        give_up(address, strerror(errno));
    freeaddrinfo(found);
    return fd;
}

/* What a peer refuses in the middle does not end us: its answer may be there. */
static void
send_bytes(int fd, const void *bytes, size_t len)
{
    const char *from = bytes;

    while (len > 0) {
        ssize_t sent = write(fd, from, len);
        if (sent < 0)
            return;
        from += sent;
        len -= (size_t)sent;
    }
}

static void
send_record(int fd, unsigned char type, const void *content, size_t len)
{
    FCGI_Header header = {.version = FCGI_VERSION_1, .type = type, .requestIdB0 = 1};

    header.contentLengthB1 = (unsigned char)(len >> 8);
    header.contentLengthB0 = (unsigned char)(len & 0xff);
    send_bytes(fd, &header, sizeof header);
    send_bytes(fd, content, len);
}

static void
put_size(FILE *to, size_t size)
{
    if (size < 128) {
        fputc((int)size, to);
        return;
    }
    for (int shift = 24; shift >= 0; shift -= 8)
        fputc((int)(size >> shift & 0xff) | (shift == 24 ? 0x80 : 0), to);
}

static void
send_params(int fd, const struct request *request)
{
    char *block = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&block, &len);

    for (size_t i = 0; i < request->params_count; i++) {
        const char *name = request->params[i], *equals = strchrnul(name, '=');
        const char *value = *equals == '=' ? equals + 1 : equals;
        put_size(to, (size_t)(equals - name));
        put_size(to, strlen(value));
        fwrite(name, 1, (size_t)(equals - name), to);
        fputs(value, to);
    }
    fclose(to);
    for (size_t at = 0; at < len; at += CONTENT_MAX)
        send_record(fd, FCGI_PARAMS, block + at,
                    len - at < CONTENT_MAX ? len - at : CONTENT_MAX);
    send_record(fd, FCGI_PARAMS, NULL, 0);
    free(block);
}

static void
send_body(int fd, FILE *body)
{
    char piece[BODY_PIECE];
    size_t len;

    while (body != NULL && (len = fread(piece, 1, sizeof piece, body)) > 0)
        send_record(fd, FCGI_STDIN, piece, len);
    send_record(fd, FCGI_STDIN, NULL, 0);
}

static void
send_request(int fd, const struct request *request)
{
    FCGI_BeginRequestBody begin = {.roleB0 = FCGI_RESPONDER};

    send_record(fd, FCGI_BEGIN_REQUEST, &begin, sizeof begin);
    send_params(fd, request);
    send_body(fd, request->body);
}

/* --- the answer ------------------------------------------------------------------------------- */

struct reader {
    int fd;
    double deadline; /* seconds of the monotonic clock */
    int ended;       /* END_REQUEST has come */
};

static double
now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The answer is over: 0, 1 or 2, as the head of this file says. */
static _Noreturn void
finish(const struct reader *reader, int code)
{
    exit(code == 1 && reader->ended ? 0 : code);
}

/* Fills the buffer, or ends the program. */
static void
read_bytes(const struct reader *reader, void *buffer, size_t len)
{
    char *to = buffer;

    while (len > 0) {
        struct pollfd ready = {.fd = reader->fd, .events = POLLIN};
        double left = reader->deadline - now_s();
        if (left <= 0 || poll(&ready, 1, (int)(left * 1000) + 1) == 0)
            finish(reader, 2);
        ssize_t got = read(reader->fd, to, len);
        if (got <= 0)
            finish(reader, 1);
        to += got;
        len -= (size_t)got;
    }
}

/* Prints what comes on STDOUT until the peer closes. */
static _Noreturn void
print_answer(struct reader *reader)
{
    static char content[UINT16_MAX + UINT8_MAX];

    for (;;) {
        FCGI_Header header;
        read_bytes(reader, &header, sizeof header);
        size_t len = (size_t)header.contentLengthB1 << 8 | header.contentLengthB0;
        read_bytes(reader, content, len + header.paddingLength);
        if (header.type == FCGI_STDOUT)
            send_bytes(STDOUT_FILENO, content, len);
        if (header.type == FCGI_END_REQUEST)
            reader->ended = 1;
    }
}

int
main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    struct request request = read_arguments(argc, argv);
    int is_unix = strncmp(request.address, "unix:", 5) == 0;
    int fd = is_unix ? connect_unix(request.address + 5) : connect_tcp(request.address);
    struct reader reader = {.fd = fd, .deadline = now_s() + request.seconds};

    send_request(fd, &request);
    print_answer(&reader);
}
