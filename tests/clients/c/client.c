/* A scenario client for the procnursery protocol, version 1. Rules of it are cited as PN-x.y-n.
 * At most one request is outstanding. Whatever arrives while the client waits, for a reply or for
 * its next command, is handled at once, so that output is always consumed. */
#define _GNU_SOURCE /* memmem, strsep, err.h */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <msgpack.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SYSTEM = 1, MISUSE = 2, VIOLATION = 2, LOST = 3 }; /* exit statuses */
enum { REQUEST = 0, REPLY = 1, NOTIFICATION = 2 };
enum { PREFIX_SIZE = 4, ID_SIZE = 64, CREDIT_WINDOW = 65536 };
enum { FRAME_BEFORE_HELLO = 65536, FRAME_RECEIVED = 1048576 }; /* PN-2.1-5, PN-2.1-7 */
#define UNUSED __attribute__((unused))
#define TEXT(text) (int)(text).size, (text).ptr /* for %.*s */

static const msgpack_object_type NIL = MSGPACK_OBJECT_NIL, UINT = MSGPACK_OBJECT_POSITIVE_INTEGER,
    STR = MSGPACK_OBJECT_STR, BIN = MSGPACK_OBJECT_BIN, ARRAY = MSGPACK_OBJECT_ARRAY,
    MAP = MSGPACK_OBJECT_MAP;

typedef msgpack_object Value;
typedef msgpack_object_map Map;
typedef msgpack_object_str Text;

struct stream {
    const char *name;
    uint64_t subscription;   /* 0: none on this connection */
    uint64_t offset, credit; /* everything below offset was received, as bytes or as gaps */
    uint64_t lost;           /* the bytes of the gaps */
    bool ended;
    char *bytes; /* all that were received, since `await` may look for any of them */
    size_t size, capacity;
};

struct client {
    const char *address;
    int fd; /* -1: not connected */
    uint64_t max_frame;
    uint32_t request_id;
    bool waiting;  /* for the reply to request_id */
    bool refused;  /* `result` is an error */
    bool leaving;  /* we have said goodbye */
    Text farewell; /* the code of the daemon's goodbye; .ptr is NULL before */
    Map result;    /* of the latest request; as all received values, it lies in `frame` */
    msgpack_sbuffer out;
    msgpack_packer packer;
    msgpack_unpacked in;
    char frame[FRAME_RECEIVED];
    char process[ID_SIZE + 1]; /* "": none */
    uint64_t stdin_offset;
    struct stream streams[2];
};

/* ---- Reading received values ---- */

static bool text_is(Text text, const char *expected) {
    return text.size == strlen(expected) && memcmp(text.ptr, expected, text.size) == 0;
}

/* The value of a field, or NULL if it is absent or nil: both mean its default (3.2). */
static const Value *optional(Map map, const char *key) {
    for (const msgpack_object_kv *kv = map.ptr; kv < map.ptr + map.size; kv++)
        if (kv->key.type == STR && text_is(kv->key.via.str, key))
            return kv->val.type == NIL ? NULL : &kv->val;
    return NULL;
}

static const Value *field(Map map, const char *key, msgpack_object_type type) {
    const Value *value = optional(map, key);
    if (value == NULL || value->type != type)
        errx(VIOLATION, "the daemon sent no proper field '%s'", key);
    return value;
}

static uint64_t uint_field(Map m, const char *key) { return field(m, key, UINT)->via.u64; }
static Text text_field(Map m, const char *key) { return field(m, key, STR)->via.str; }
static Map map_field(Map m, const char *key) { return field(m, key, MAP)->via.map; }
static Text text_or_dash(Map m, const char *key) {
    return optional(m, key) != NULL ? text_field(m, key) : (Text){ .size = 1, .ptr = "-" };
}

static void copy_id(char destination[ID_SIZE + 1], Text id) {
    if (id.size == 0 || id.size > ID_SIZE)
        errx(VIOLATION, "the daemon sent an id of %" PRIu32 " bytes", id.size);
    memcpy(destination, id.ptr, id.size);
    destination[id.size] = '\0';
}

/* ---- Sending messages ---- */

static int pack_argv(msgpack_packer *packer, const char *argv) {
    size_t count = 1;
    for (const char *p = argv; *p != '\0'; p++)
        count += *p == '|';
    int failed = msgpack_pack_array(packer, count);
    for (; count > 0; count--) {
        failed |= msgpack_pack_bin_with_body(packer, argv, strcspn(argv, "|"));
        argv += strcspn(argv, "|") + 1;
    }
    return failed;
}

/* Packs what `format` says: {N a map of N pairs, [N an array of N elements, and from the arguments
 * s a str, b a bin (bytes, size), a an argv separated by |, u a uint64_t, g a double. */
static void pack(msgpack_packer *packer, const char *format, va_list arguments) {
    int failed = 0;
    for (; *format != '\0'; format++) {
        bool is_text = strchr("sba", *format) != NULL;
        const char *text = is_text ? va_arg(arguments, const char *) : NULL;
        if (*format == 's')
            failed |= msgpack_pack_str_with_body(packer, text, strlen(text));
        else if (*format == 'b')
            failed |= msgpack_pack_bin_with_body(packer, text, va_arg(arguments, size_t));
        else if (*format == 'a')
            failed |= pack_argv(packer, text);
        else if (*format == 'u')
            failed |= msgpack_pack_uint64(packer, va_arg(arguments, uint64_t));
        else if (*format == 'g')
            failed |= msgpack_pack_double(packer, va_arg(arguments, double));
        else if (*format == '{')
            failed |= msgpack_pack_map(packer, (size_t)(*++format - '0'));
        else if (*format == '[')
            failed |= msgpack_pack_array(packer, (size_t)(*++format - '0'));
    }
    if (failed)
        errx(SYSTEM, "no memory for a message");
}

/* Sends one frame with the value that `format` describes. */
static void send_frame(struct client *c, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    msgpack_sbuffer_clear(&c->out);
    if (msgpack_sbuffer_write(&c->out, "\0\0\0\0", PREFIX_SIZE) != 0)
        errx(SYSTEM, "no memory for a message");
    pack(&c->packer, format, arguments);
    va_end(arguments);
    size_t payload = c->out.size - PREFIX_SIZE;
    if (c->fd < 0 || payload > c->max_frame)
        errx(c->fd < 0 ? LOST : MISUSE, "%zu bytes cannot be sent", payload);
    for (int i = 0; i < PREFIX_SIZE; i++)
        c->out.data[i] = (char)(payload >> (8 * (PREFIX_SIZE - 1 - i)) & 0xff);
    for (size_t sent = 0; sent < c->out.size;) {
        ssize_t n = send(c->fd, c->out.data + sent, c->out.size - sent, MSG_NOSIGNAL);
        if (n < 0)
            err(LOST, "the connection is lost");
        sent += (size_t)n;
    }
}

/* ---- Receiving messages ---- */

static void keep_bytes(struct stream *s, msgpack_object_bin data) {
    if (data.size > s->capacity - s->size) {
        s->capacity = 2 * (s->size + data.size);
        s->bytes = realloc(s->bytes, s->capacity);
        if (s->bytes == NULL)
            err(SYSTEM, "no memory for the output");
    }
    memcpy(s->bytes + s->size, data.ptr, data.size);
    s->size += data.size;
}

/* Takes the bytes or the gap of a subscription, and gives the credit for as many again. */
static void on_output(struct client *c, struct stream *s, Map params, bool is_gap) {
    msgpack_object_bin data = { 0 };
    if (!is_gap)
        data = field(params, "data", BIN)->via.bin;
    uint64_t from = uint_field(params, is_gap ? "from" : "offset");
    uint64_t to = is_gap ? uint_field(params, "to") : from + data.size;
    if (from != s->offset || to <= from || (!is_gap && to > s->credit)) /* PN-11.3-2, PN-11.3-3 */
        errx(VIOLATION, "%s: %" PRIu64 "-%" PRIu64 " is not what comes next", s->name, from, to);
    if (is_gap)
        s->lost += to - from;
    else
        keep_bytes(s, data);
    s->offset = to;
    s->credit = to + CREDIT_WINDOW;
    if (!c->leaving) /* PN-5.2-3: nothing after our goodbye */
        send_frame(c, "[3us{3sususu", (uint64_t)NOTIFICATION, "output.credit", "subscription",
                   s->subscription, "credit", s->credit, "consumed", s->offset);
}

static void on_end(struct stream *s, Map params) {
    if (uint_field(params, "offset") != s->offset) /* PN-11.3-5 */
        errx(VIOLATION, "%s does not end at %" PRIu64, s->name, s->offset);
    s->ended = true;
    s->subscription = 0;
}

static void on_goodbye(struct client *c, Map params) {
    c->farewell = text_field(params, "code");
    if (!c->leaving)
        errx(LOST, "the daemon says goodbye: %.*s", TEXT(c->farewell));
}

static void on_notification(struct client *c, Text method, Map params) {
    bool is_data = text_is(method, "output.data"), is_gap = text_is(method, "output.gap");
    if (text_is(method, "goodbye") && optional(params, "grace") == NULL)
        on_goodbye(c, params); /* with grace it only announces one (12.2) */
    if (!is_data && !is_gap && !text_is(method, "output.end"))
        return; /* PN-4.1-9: what it does not know a client ignores */
    uint64_t subscription = uint_field(params, "subscription");
    for (struct stream *s = c->streams; s < c->streams + 2; s++) {
        if (s->subscription == subscription && (is_data || is_gap))
            on_output(c, s, params, is_gap);
        else if (s->subscription == subscription)
            on_end(s, params);
    }
}

static void on_reply(struct client *c, uint64_t id, const Value *error, const Value *result) {
    c->refused = error->type != NIL;
    const Value *given = c->refused ? error : result, *other = c->refused ? result : error;
    if (!c->waiting || id != c->request_id || given->type != MAP || other->type != NIL)
        errx(VIOLATION, "the daemon sent an improper reply");
    c->result = given->via.map;
    c->waiting = false;
}

static void receive_bytes(struct client *c, void *buffer, size_t size) {
    ssize_t n = recv(c->fd, buffer, size, MSG_WAITALL); /* PN-2.1-1 */
    if (n < 0 || (size_t)n != size)
        errx(LOST, "the connection is lost: %s", n < 0 ? strerror(errno) : "it has ended");
}

/* Receives one frame into c->frame and what it says into c->in. */
static msgpack_object_array receive_array(struct client *c) {
    unsigned char prefix[PREFIX_SIZE];
    size_t size = 0, used = 0;
    receive_bytes(c, prefix, sizeof prefix);
    for (int i = 0; i < PREFIX_SIZE; i++)
        size = size << 8 | prefix[i];
    if (size == 0 || size > sizeof c->frame)
        errx(VIOLATION, "the daemon sent a frame of %zu bytes", size);
    receive_bytes(c, c->frame, size);
    if (msgpack_unpack_next(&c->in, c->frame, size, &used) != MSGPACK_UNPACK_SUCCESS
        || used != size || c->in.data.type != ARRAY)
        errx(VIOLATION, "the daemon sent a frame that is no message");
    return c->in.data.via.array;
}

static void receive_message(struct client *c) {
    msgpack_object_array message = receive_array(c);
    const Value *e = message.ptr;
    bool typed = message.size > 2 && e[0].type == UINT;
    if (typed && e[0].via.u64 == NOTIFICATION && message.size == 3 && e[1].type == STR
        && e[2].type == MAP)
        on_notification(c, e[1].via.str, e[2].via.map);
    else if (typed && e[0].via.u64 == REPLY && message.size == 4 && e[1].type == UINT)
        on_reply(c, e[1].via.u64, &e[2], &e[3]);
    else
        errx(VIOLATION, "the daemon sent a message that is no reply and no notification");
}

/* Sends a request and waits for its reply: true if it has a result, false if it has an error.
 * `format` is that of the params. */
#define request(c, method, format, ...) \
    (send_frame(c, "[4uus" format, (uint64_t)REQUEST, (uint64_t)++(c)->request_id, method, \
                __VA_ARGS__), receive_reply(c))

static bool receive_reply(struct client *c) {
    for (c->waiting = true; c->waiting;)
        receive_message(c);
    return !c->refused;
}

static void require(bool accepted, struct client *c, int status, const char *what) {
    if (!accepted)
        errx(status, "%s was refused: %.*s", what, TEXT(text_field(c->result, "code")));
}

/* ---- The connection ---- */

static int connect_unix(const char *path) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof address.sun_path)
        errx(LOST, "the path of the socket is too long");
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        err(LOST, "cannot connect to %s", path);
    return fd;
}

static int connect_tcp(const char *host_port) {
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
    const char *port = strrchr(host_port, ':');
    char *host = port != NULL ? strndup(host_port, (size_t)(port - host_port)) : NULL;
    if (host == NULL || getaddrinfo(host, port + 1, &hints, &found) != 0)
        errx(LOST, "cannot resolve '%s'", host_port);
    free(host);
    int fd = -1, connected = -1;
    for (struct addrinfo *info = found; connected != 0 && info != NULL; info = info->ai_next) {
        if (fd >= 0)
            (void)close(fd); /* of an address that did not answer */
        fd = socket(info->ai_family, info->ai_socktype, info->ai_protocol);
        connected = fd < 0 ? -1 : connect(fd, info->ai_addr, info->ai_addrlen);
    }
    freeaddrinfo(found);
    if (connected != 0)
        err(LOST, "cannot connect to %s", host_port);
    return fd;
}

static void disconnect(struct client *c) {
    if (c->fd >= 0)
        (void)close(c->fd); /* whatever the daemon has still to say */
    c->fd = -1;
    c->streams[0].subscription = c->streams[1].subscription = 0; /* PN-12.1-3 */
}

static void say_goodbye(struct client *c) {
    send_frame(c, "[3us{1ss", (uint64_t)NOTIFICATION, "goodbye", "code", "done");
    c->leaving = true;
}

/* Connects anew and says hello. */
static void open_connection(struct client *c) {
    disconnect(c);
    if (strncmp(c->address, "unix://", 7) == 0)
        c->fd = connect_unix(c->address + 7);
    else if (strncmp(c->address, "tcp://", 6) == 0)
        c->fd = connect_tcp(c->address + 6);
    else
        errx(LOST, "'%s' is no address", c->address);
    c->leaving = false;
    c->farewell.ptr = NULL;
    c->max_frame = FRAME_BEFORE_HELLO;
    require(request(c, "hello", "{2sus{1ss", "protocol", UINT64_C(1), "client", "name", "h4"), c,
            LOST, "hello");
    c->max_frame = uint_field(map_field(c->result, "limits"), "max_frame");
    if (uint_field(c->result, "protocol") != 1) {
        say_goodbye(c); /* 5.1: a client that does not speak the version of the result */
        errx(VIOLATION, "the daemon speaks another version of the protocol");
    }
}

static void subscribe(struct client *c, struct stream *s) {
    s->ended = false; /* the end comes again, even if nothing comes before it */
    s->credit = s->offset + CREDIT_WINDOW;
    require(request(c, "output.subscribe", "{4sssssusu", "id", c->process, "stream", s->name,
                    "offset", s->offset, "credit", s->credit), c, VIOLATION, "output.subscribe");
    s->subscription = uint_field(c->result, "subscription"); /* nothing came before: PN-11.3-1 */
}

/* Ends what is left of the subscription and forgets what was received. */
static void reset_stream(struct client *c, struct stream *s) {
    if (s->subscription != 0 /* and yet it may end before the request arrives: not_found */
        && !request(c, "output.unsubscribe", "{1su", "subscription", s->subscription))
        require(text_is(text_field(c->result, "code"), "not_found"), c, VIOLATION, "unsubscribe");
    free(s->bytes);
    *s = (struct stream){ .name = s->name };
}

/* ---- Commands: false if the answer is the error of the last reply ---- */

static const char *process(const struct client *c) {
    if (c->process[0] == '\0')
        errx(MISUSE, "no process was started");
    return c->process;
}

static struct stream *stream_named(struct client *c, const char *name) {
    for (struct stream *s = c->streams; s < c->streams + 2; s++)
        if (strcmp(s->name, name) == 0)
            return s;
    errx(MISUSE, "there is no stream '%s'", name);
}

static bool run_connect(struct client *c, char *unused UNUSED) {
    open_connection(c);
    return printf("connected %" PRIu64 "\n", uint_field(c->result, "protocol"));
}

static bool run_start(struct client *c, char *argv) {
    if (!request(c, "process.start", "{1s{5sas{1sss{1sss{1ssss", "spec", "argv", argv,
                 "stdin", "mode", "pipe", "stdout", "mode", "pipe", "stderr", "mode", "pipe",
                 "on_disconnect", "keep")) {
        Map data = map_field(c->result, "data");
        return printf("error %.*s %.*s %.*s\n", TEXT(text_field(c->result, "code")),
                      TEXT(text_or_dash(data, "stage")), TEXT(text_or_dash(data, "errno")));
    }
    copy_id(c->process, text_field(c->result, "id"));
    c->stdin_offset = 0;
    for (struct stream *s = c->streams; s < c->streams + 2; s++) {
        reset_stream(c, s);
        subscribe(c, s);
    }
    return printf("started\n");
}

static bool stdin_replied(struct client *c, bool accepted) {
    const char *key = accepted ? "offset" : "end"; /* PN-10.1-6: up to there bytes were taken */
    Map map = accepted ? c->result : map_field(c->result, "data");
    if (accepted || optional(map, key) != NULL)
        c->stdin_offset = uint_field(map, key);
    return accepted && printf("offset %" PRIu64 "\n", c->stdin_offset);
}

static bool run_write(struct client *c, char *text) {
    size_t size = strlen(text);
    text[size] = '\n'; /* instead of the NUL */
    return stdin_replied(c, request(c, "stdin.write", "{3sssusb", "id", process(c), "offset",
                                    c->stdin_offset, "data", text, size + 1));
}

static bool run_close(struct client *c, char *unused UNUSED) {
    return stdin_replied(c, request(c, "stdin.close", "{1ss", "id", process(c)));
}

/* Receives one more message, provided that the stream can still go on. */
static void receive_output(struct client *c, const struct stream *s, const char *awaited) {
    if (s->subscription == 0)
        errx(MISUSE, "%s will not bring '%s'", s->name, awaited);
    receive_message(c);
}

static bool run_await(struct client *c, char *text) {
    struct stream *s = stream_named(c, strsep(&text, " "));
    if (text == NULL || *text == '\0')
        errx(MISUSE, "await needs a text");
    size_t size = strlen(text), searched = 0;
    while (size > s->size || memmem(s->bytes + searched, s->size - searched, text, size) == NULL) {
        searched = size > s->size ? 0 : s->size - size + 1; /* below it does not begin */
        receive_output(c, s, text);
    }
    return printf("seen\n");
}

static bool run_signal(struct client *c, char *name) {
    return request(c, "process.signal", "{2ssss", "id", process(c), "signal", name)
        && printf("delivered %" PRIu64 "\n", uint_field(c->result, "count"));
}

static bool run_drop(struct client *c, char *unused UNUSED) {
    open_connection(c);
    for (struct stream *s = c->streams; s < c->streams + 2; s++)
        if (c->process[0] != '\0')
            subscribe(c, s);
    return printf("resumed\n");
}

static bool print_outcome(Map info) {
    Map outcome = map_field(info, "outcome");
    Text kind = text_field(outcome, "kind"), cause = text_or_dash(info, "cause");
    if (text_is(kind, "exited"))
        return printf("exited %" PRIu64 " %.*s", uint_field(outcome, "code"), TEXT(cause));
    return printf("%.*s %.*s %.*s", TEXT(kind), TEXT(text_or_dash(outcome, "signal")), TEXT(cause));
}

static bool run_wait(struct client *c, char *unused UNUSED) {
    return request(c, "process.wait", "{1ss", "id", process(c))
        && print_outcome(map_field(c->result, "process")) && printf("\n");
}

static bool run_stop(struct client *c, char *argument) {
    char *rest;
    double grace = strtod(argument, &rest);
    if (rest == argument || *rest != '\0' || isnan(grace)) /* PN-3.1-5 */
        errx(MISUSE, "'%s' is no number of seconds", argument);
    if (!request(c, "process.stop", "{2sssg", "id", process(c), "grace", grace))
        return false;
    Map info = map_field(c->result, "process");
    Text verdict = text_field(map_field(info, "tree"), "verdict");
    return print_outcome(info) && printf(" %.*s\n", TEXT(verdict));
}

static bool run_sum(struct client *c, char *name) {
    struct stream *s = stream_named(c, name);
    while (!s->ended)
        receive_output(c, s, "its end");
    uint32_t hash = 2166136261;
    for (size_t i = 0; i < s->size; i++)
        hash = (hash ^ (unsigned char)s->bytes[i]) * 16777619;
    return printf("bytes %zu lost %" PRIu64 " fnv1a %08" PRIx32 "\n", s->size, s->lost, hash);
}

static bool run_list(struct client *c, char *unused UNUSED) {
    char after[ID_SIZE + 1];
    bool accepted = request(c, "process.list", "{0", NULL);
    size_t count = 0;
    for (bool more = true; accepted && more;) {
        count += field(c->result, "processes", ARRAY)->via.array.size;
        more = optional(c->result, "next") != NULL; /* PN-9.8-3 */
        if (more) {
            copy_id(after, text_field(c->result, "next"));
            accepted = request(c, "process.list", "{1ss", "after", after);
        }
    }
    return accepted && printf("processes %zu\n", count);
}

static bool run_goodbye(struct client *c, char *unused UNUSED) {
    say_goodbye(c);
    while (c->farewell.ptr == NULL) /* PN-5.2-2: before it comes what was to be sent already */
        receive_message(c);
    disconnect(c);
    return printf("goodbye %.*s\n", TEXT(c->farewell));
}

static const struct command {
    const char *name;
    bool (*run)(struct client *c, char *arguments);
} commands[] = {
    { "connect", run_connect }, { "start", run_start }, { "write", run_write },
    { "close", run_close },     { "await", run_await }, { "signal", run_signal },
    { "drop", run_drop },       { "stop", run_stop },   { "wait", run_wait },
    { "sum", run_sum },         { "list", run_list },   { "goodbye", run_goodbye },
};

static void execute(struct client *c, char *line) {
    line[strcspn(line, "\n")] = '\0';
    if (line[0] == '#' || line[strspn(line, " \t")] == '\0')
        return;
    char *name = strsep(&line, " "), *arguments = line != NULL ? line : name + strlen(name);
    const struct command *command = commands, *end = commands + sizeof commands / sizeof *commands;
    while (command < end && strcmp(command->name, name) != 0)
        command++;
    if (command == end)
        errx(MISUSE, "unknown command '%s'", name);
    if (!command->run(c, arguments))
        printf("error %.*s\n", TEXT(text_field(c->result, "code")));
    if (fflush(stdout) != 0 || ferror(stdout)) /* covers every printf before */
        err(SYSTEM, "cannot write the answer");
}

/* Handles what the daemon sends until the standard input has something. */
static void wait_for_input(struct client *c) {
    struct pollfd fds[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .events = POLLIN } };
    while (fds[0].revents == 0) {
        fds[1].fd = c->fd; /* poll ignores -1 */
        if (poll(fds, 2, -1) < 0)
            err(SYSTEM, "poll");
        if (fds[0].revents == 0)
            receive_message(c);
    }
}

int main(int argc, char **argv) {
    static struct client c = {
        .fd = -1, .streams = { { .name = "stdout" }, { .name = "stderr" } }
    };
    char *line = NULL;
    size_t capacity = 0;
    if (argc != 2)
        errx(MISUSE, "usage: client ADDRESS");
    if (setvbuf(stdin, NULL, _IONBF, 0) != 0) /* so that poll knows of all that was not read */
        err(SYSTEM, "setvbuf");
    c.address = argv[1];
    msgpack_sbuffer_init(&c.out);
    msgpack_packer_init(&c.packer, &c.out, msgpack_sbuffer_write);
    msgpack_unpacked_init(&c.in);
    for (wait_for_input(&c); getline(&line, &capacity, stdin) >= 0; wait_for_input(&c))
        execute(&c, line);
    if (ferror(stdin))
        err(SYSTEM, "cannot read the commands");
    disconnect(&c);
    free(c.streams[0].bytes);
    free(c.streams[1].bytes);
    free(line);
    msgpack_unpacked_destroy(&c.in);
    msgpack_sbuffer_destroy(&c.out);
}
