/* The floor: what starting and reaping a program costs without any tool.
 *
 *   floor serial N            N times: posix_spawn /bin/true, wait
 *   floor flight N WIDTH      N programs, WIDTH of them at a time
 *   floor copy BYTES          a raw copy of BYTES from a pipe to a Unix socket and out of it
 *   floor instants N          N children that sleep, then spin, until an instant 20 ms ahead
 *
 * Prints seconds; instants: how late each child was, one a line. */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void start(void) {
    char *argv[] = {"true", NULL};
    pid_t pid;
    if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) != 0) {
        perror("posix_spawn");
        exit(1);
    }
}

static void copy(long bytes) {
    enum { SIZE = 1 << 18 };
    int pipes[2], sockets[2];
    char *buffer = malloc(SIZE);
    if (pipe(pipes) || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets)) exit(1);
    if (fork() == 0) {
        long left = bytes;
        memset(buffer, 'x', SIZE);
        while (left > 0) {
            long count = write(pipes[1], buffer, left < SIZE ? left : SIZE);
            if (count <= 0) _exit(1);
            left -= count;
        }
        _exit(0);
    }
    if (fork() == 0) {
        long left = bytes;
        while (left > 0) {
            long count = read(pipes[0], buffer, SIZE), done = 0;
            if (count <= 0) _exit(1);
            while (done < count) done += write(sockets[0], buffer + done, count - done);
            left -= count;
        }
        _exit(0);
    }
    for (long left = bytes; left > 0;) {
        long count = read(sockets[1], buffer, SIZE);
        if (count <= 0) exit(1);
        left -= count;
    }
    while (wait(NULL) > 0) {}
}

static double realtime(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void instants(long count) {
    for (long i = 0; i < count; i++) {
        double instant = realtime() + 0.02, woken = instant - 0.0002;
        if (fork() == 0) {
            struct timespec until = {(time_t)woken, (long)((woken - (time_t)woken) * 1e9)};
            prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
            clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL);
            double reached = realtime();
            while (reached < instant) reached = realtime();
            printf("%.9f\n", reached - instant);
            fflush(stdout);
            execl("/bin/true", "true", (char *)NULL);
            _exit(1);
        }
        wait(NULL);
    }
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    long count = atol(argv[2]), width = argc > 3 ? atol(argv[3]) : 1;
    double begin = now();
    if (strcmp(argv[1], "instants") == 0) {
        instants(count);
        return 0;
    }
    if (strcmp(argv[1], "copy") == 0) {
        copy(count);
    } else {
        long flying = 0;
        for (long i = 0; i < count; i++) {
            if (flying == width) {
                wait(NULL);
                flying--;
            }
            start();
            flying++;
        }
        while (wait(NULL) > 0) {}
    }
    printf("%.6f\n", now() - begin);
    return 0;
}
