/* SPDX-License-Identifier: BSD-2-Clause */
/* What processes that a program forks share and what they do not: each run does the case that its
 * argument names and prints what it saw, without numbers that differ between runs. */
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "processes.h"

#define BYTES 300000

static void *shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return memory;
}

/* ---- memory ------------------------------------------------------------------ */

static char in_data[BYTES] = "data";

/* Each sees what was there at the fork, and what it stores itself. */
static void memory(void)
{
    char on_stack[BYTES], *on_heap = malloc(BYTES);
    char *mapped = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *shut = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *all[] = {in_data, on_stack, on_heap, mapped};
    int go[2], back[2];
    char byte;

    for (int i = 0; i < 4; i++)
        memset(all[i], 'a' + i, BYTES);
    memset(shut, 's', BYTES);
    mprotect(shut, BYTES, PROT_NONE);
    say("pipes", pipe(go) | pipe(back));
    if (!forked()) {
        read(go[0], &byte, 1);
        for (int i = 0; i < 4; i++) {
            size_t same = 0;

            for (size_t at = 0; at < BYTES; at++)
                same += all[i][at] == 'a' + i;
            printf("child sees %zu\n", same);
            memset(all[i], 'x', BYTES);
        }
        mprotect(shut, BYTES, PROT_READ);
        printf("what was shut: %c%c\n", shut[0], shut[BYTES - 1]);
        fflush(stdout);
        write(back[1], "b", 1);
        done(0);
    }
    for (int i = 0; i < 4; i++)
        memset(all[i], 'S', BYTES); /* a secret of the parent */
    write(go[1], "g", 1);
    read(back[0], &byte, 1);
    for (int i = 0; i < 4; i++)
        printf("parent sees %c%c\n", all[i][0], all[i][BYTES - 1]);
    ended("it", -1);
}

/* What a parent dropped before the fork is not in the child's memory. */
static void dropped(void)
{
    char *page = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memset(page, 'S', BYTES);
    madvise(page, BYTES, MADV_DONTNEED);
    if (!forked()) {
        size_t zero = 0;

        for (size_t at = 0; at < BYTES; at++)
            zero += page[at] == 0;
        printf("zero: %zu\n", zero);
        done(0);
    }
    ended("it", -1);
}

/* ---- shared memory ------------------------------------------------------------ */

struct both {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    sem_t full, empty;
    long count, turn;
    atomic_uint word;
};

static void begin_both(struct both *both)
{
    pthread_mutexattr_t mutex;
    pthread_condattr_t changed;

    pthread_mutexattr_init(&mutex);
    pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&both->mutex, &mutex);
    pthread_condattr_init(&changed);
    pthread_condattr_setpshared(&changed, PTHREAD_PROCESS_SHARED);
    pthread_cond_init(&both->changed, &changed);
    sem_init(&both->full, 1, 0);
    sem_init(&both->empty, 1, 1);
}

static void count_up(struct both *both, int times)
{
    for (int i = 0; i < times; i++) {
        pthread_mutex_lock(&both->mutex);
        both->count++;
        pthread_mutex_unlock(&both->mutex);
    }
}

/* Two take turns by a condition, and hand over by semaphores. */
static void take_turns(struct both *both, long self)
{
    for (int i = 0; i < 50; i++) {
        pthread_mutex_lock(&both->mutex);
        while (both->turn % 2 != self)
            pthread_cond_wait(&both->changed, &both->mutex);
        both->turn++;
        pthread_cond_broadcast(&both->changed);
        pthread_mutex_unlock(&both->mutex);
        sem_wait(self ? &both->full : &both->empty);
        sem_post(self ? &both->empty : &both->full);
    }
}

static void share(struct both *both)
{
    begin_both(both);
    for (int i = 0; i < 3; i++) {
        if (!forked()) {
            count_up(both, 2000);
            done(0);
        }
    }
    count_up(both, 2000);
    for (int i = 0; i < 3; i++)
        ended("it", -1);
    printf("count %ld\n", both->count);
    if (!forked()) {
        take_turns(both, 1);
        done(0);
    }
    take_turns(both, 0);
    ended("it", -1);
    printf("turns %ld\n", both->turn);
}

static void shared_anonymous(void)
{
    struct both *both = shared(sizeof *both);

    both->count = 5; /* stored before there is a second process */
    share(both);
}

/* Memory of one name that processes map by themselves, at other addresses. */
static void shared_named(void)
{
    char name[64];
    struct both *both;
    int fd;

    snprintf(name, sizeof name, "/dev/shm/forks-%d", (int)getpid());
    fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    say("ftruncate", ftruncate(fd, 8192));
    if (!forked()) {
        mmap(NULL, 12345, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        both = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, open(name, O_RDWR), 0);
        while (atomic_load(&both->word) == 0)
            syscall(SYS_futex, &both->word, FUTEX_WAIT, 0, NULL);
        printf("word %u\n", both->word);
        atomic_store(&both->word, 2);
        syscall(SYS_futex, &both->word, FUTEX_WAKE, 1);
        done(0);
    }
    both = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    atomic_store(&both->word, 1);
    syscall(SYS_futex, &both->word, FUTEX_WAKE, 1);
    while (atomic_load(&both->word) == 1)
        syscall(SYS_futex, &both->word, FUTEX_WAIT, 1, NULL);
    ended("it", -1);
    share(both);
    say("unlink", unlink(name));
}

/* ---- descriptors --------------------------------------------------------------- */

static void descriptors(void)
{
    char text[32] = "", name[] = "/tmp/forks-XXXXXX";
    int file = mkstemp(name), pipes[2];

    unlink(name);
    say("write", write(file, "abcdefghij", 10));
    lseek(file, 0, SEEK_SET);
    pipe(pipes);
    if (!forked()) {
        say("child reads", read(file, text, 3));
        say("nonblock", fcntl(pipes[0], F_SETFL, O_NONBLOCK));
        close(file);
        done(0);
    }
    ended("it", -1);
    say("read", read(file, text, 3));
    puts(text); /* def: the position is common; the child's close concerns the child */
    say("empty", read(pipes[0], text, 1));
    fcntl(pipes[0], F_SETFL, 0);
    if (!forked()) {
        write(pipes[1], "from child", 10);
        done(0);
    }
    ended("it", -1);
    close(pipes[1]); /* the last that writes: the child's has gone with it */
    say("read", read(pipes[0], text, sizeof text));
    say("end", read(pipes[0], text, sizeof text));
    signal(SIGPIPE, SIG_IGN);
    pipe(pipes);
    if (!forked())
        done(0);
    close(pipes[0]);
    ended("it", -1);
    say("nobody reads", write(pipes[1], "x", 1));
}

/* Each process waits in a read of its own for what the next writes. */
static void ring(void)
{
    int pipes[8][2];
    char byte = 'a';

    for (int i = 0; i < 8; i++)
        pipe(pipes[i]);
    for (int i = 0; i < 7; i++) {
        if (!forked()) {
            for (int round = 0; round < 3; round++) {
                read(pipes[i][0], &byte, 1);
                byte++;
                write(pipes[i + 1][1], &byte, 1);
            }
            done(0);
        }
    }
    for (int round = 0; round < 3; round++) {
        write(pipes[0][1], &byte, 1);
        read(pipes[7][0], &byte, 1);
        printf("%c\n", byte);
    }
    for (int i = 0; i < 7; i++)
        ended("it", -1);
}

static void closed_by_exec(const char *self)
{
    int kept = open("/dev/null", O_RDONLY), closed = open("/dev/null", O_RDONLY | O_CLOEXEC);
    char first[16], second[16];

    snprintf(first, sizeof first, "%d", kept);
    snprintf(second, sizeof second, "%d", closed);
    if (!forked()) {
        execl(self, self, "look", first, second, NULL);
        done(1);
    }
    ended("it", -1);
    say("still open", fcntl(closed, F_GETFD));
}

static void look(char **fds)
{
    for (; *fds; fds++)
        say("fd", fcntl(atoi(*fds), F_GETFD));
}

/* ---- who ends first --------------------------------------------------------------- */

/* The first process ends; its children print later, and see that they have another parent. */
static void orphans(void)
{
    pid_t parent = getpid();
    int pipes[2];
    char byte;

    pipe(pipes);
    for (int i = 0; i < 3; i++) {
        if (!forked()) {
            close(pipes[1]);
            read(pipes[0], &byte, 1); /* its end: the parent has gone */
            while (getppid() == parent)
                sched_yield();
            write(1, "orphan\n", 7);
            done(0);
        }
    }
    puts("parent ends");
    done(7);
}

static void vforked(const char *self)
{
    int pipes[2], status;
    pid_t pid;

    pipe(pipes);
    fflush(stdout);
    pid = vfork();
    if (!pid) {
        usleep(20000);
        write(pipes[1], "child\n", 6);
        _exit(3);
    }
    write(pipes[1], "parent\n", 7);
    waitpid(pid, &status, 0);
    pid = vfork();
    if (!pid) {
        execl(self, self, "look", "1", NULL);
        _exit(1);
    }
    ended("it", pid);
    close(pipes[1]);
    for (char byte; read(pipes[0], &byte, 1) == 1;)
        putchar(byte);
    printf("exited %d\n", WEXITSTATUS(status));
}

/* ---- threads ------------------------------------------------------------------------ */

static void *forks_often(void *arg)
{
    atomic_int *good = arg;

    for (int i = 0; i < 8; i++) {
        int status;
        pid_t pid = fork();

        if (!pid)
            _exit(i);
        if (waitpid(pid, &status, 0) == pid && status == i << 8)
            (*good)++;
    }
    return NULL;
}

static void threads_fork(void)
{
    static atomic_int good;
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, forks_often, &good);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("good: %d\n", good);
    if (!forked()) { /* the child has one thread, which can make others */
        good = 0;
        pthread_create(&threads[0], NULL, forks_often, &good);
        pthread_join(threads[0], NULL);
        printf("child: %d\n", good);
        done(0);
    }
    ended("it", -1);
}

/* ---- -------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"memory", memory},
        {"dropped", dropped},
        {"shared_anonymous", shared_anonymous},
        {"shared_named", shared_named},
        {"descriptors", descriptors},
        {"ring", ring},
        {"orphans", orphans},
        {"threads_fork", threads_fork},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (argc == 2 && strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    }
    if (argc > 2 && strcmp(argv[1], "look") == 0)
        look(argv + 2);
    else if (argc == 2 && strcmp(argv[1], "closed_by_exec") == 0)
        closed_by_exec(argv[0]);
    else if (argc == 2 && strcmp(argv[1], "vforked") == 0)
        vforked(argv[0]);
    else
        return 2;
    return 0;
}
