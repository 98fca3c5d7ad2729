/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starts itself anew by execve or, with the argument "fd", by a descriptor, after it has changed
 * what a program can change; the second time it tells what is left of that. Before, it tries what
 * cannot be started. As an ordinary process it prints the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FD_KEPT 40
#define FD_LOST 41
#define MAPPED  ((void *)0x312345000)

extern char **environ;

static void handler(int signo)
{
    (void)signo;
}

static void tell_signals(void)
{
    struct sigaction action;
    sigset_t set;
    stack_t stack;

    sigaction(SIGUSR1, NULL, &action);
    printf("handled is default: %d\n", action.sa_handler == SIG_DFL);
    sigaction(SIGUSR2, NULL, &action);
    printf("ignored is ignored: %d\n", action.sa_handler == SIG_IGN);
    sigprocmask(SIG_BLOCK, NULL, &set);
    printf("blocked: %d\n", sigismember(&set, SIGHUP));
    sigpending(&set);
    printf("pending: %d\n", sigismember(&set, SIGHUP));
    sigaltstack(NULL, &stack);
    printf("no stack for signals: %d\n", stack.ss_flags == SS_DISABLE);
}

static int tell(int argc, char **argv)
{
    char text[200] = "";

    for (int fd = FD_KEPT; fd <= FD_LOST; fd++)
        printf("descriptor %d open: %d\n", fd, fcntl(fd, F_GETFD) >= 0);
    tell_signals();
    prctl(PR_GET_NAME, text);
    printf("name: %s\n", text);
    printf("directory: %s\n", getcwd(text, sizeof text));
    printf("rounding and masks: %x\n", _mm_getcsr() & ~0x3fu);
    printf("old memory: %d\n", msync(MAPPED, 4096, MS_ASYNC) == 0);
    printf("keeps capabilities: %d\n", prctl(PR_GET_KEEPCAPS));
    printf("no new rights: %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    for (int i = 0; i < argc; i++)
        printf("[%s]\n", argv[i]);
    for (char **at = environ; *at; at++)
        printf("<%s>\n", *at);
    return 5;
}

static void try(const char *what, long result)
{
    printf("%s: %s\n", what, result ? strerror(errno) : "goes on");
}

static void try_what_fails(char **argv)
{
    size_t large = 140 << 10, many = 600;
    char *text = calloc(1, large), **list = calloc(many + 1, sizeof *list);

    memset(text, 'a', large - 1);
    try("not there", execv("/no/such", argv));
    try("directory", execv("/usr", argv));
    try("no program", execv("/etc/passwd", argv));
    try("below a file", execv("/etc/passwd/x", argv));
    try("no name", syscall(SYS_execve, NULL, argv, NULL));
    try("wild words", syscall(SYS_execve, "/bin/true", (void *)8, NULL));
    try("wild word", syscall(SYS_execve, "/bin/true", ((void *[]){(void *)8, NULL}), NULL));
    try("closed", syscall(SYS_execveat, 99, "x", argv, NULL, 0));
    try("empty", syscall(SYS_execveat, 99, "", argv, NULL, 0));
    try("flags", syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, NULL, 0x20000000));
    try("closed itself", syscall(SYS_execveat, 99, "", argv, NULL, AT_EMPTY_PATH));
    try("long word", syscall(SYS_execve, "/bin/true", ((char *[]){text, NULL}), NULL));
    text[100 << 10] = 0;
    for (size_t i = 0; i < many; i++)
        list[i] = text;
    try("many words", syscall(SYS_execve, "/bin/true", argv, list));
    free(text);
    free(list);
}

static void change(char **argv)
{
    struct sigaction action = {.sa_handler = handler};
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    sigset_t set;

    sigaction(SIGUSR1, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGUSR2, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGHUP);
    sigaltstack(&stack, NULL);
    prctl(PR_SET_NAME, "another");
    prctl(PR_SET_KEEPCAPS, 1);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (chdir("/usr") != 0)
        puts("no /usr");
    _mm_setcsr(0x7f80); /* rounds to zero */
    mmap(MAPPED, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    int fd = open(argv[0], O_RDONLY);
    dup2(fd, FD_KEPT);
    dup3(fd, FD_LOST, O_CLOEXEC);
    close(fd);
}

int main(int argc, char **argv)
{
    char *words[] = {"me", "again", "", NULL}, *variables[] = {"X=y", NULL};

    if (argc > 1 && strcmp(argv[1], "again") == 0)
        return tell(argc, argv);
    try_what_fails(argv);
    change(argv);
    fflush(stdout);
    if (argc > 1)
        syscall(SYS_execveat, FD_LOST, "", words, variables, AT_EMPTY_PATH);
    else
        execve(argv[0], words, variables);
    perror("exec");
    return 1;
}
