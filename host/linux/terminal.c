/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what a program may do to the terminal that it was given, beside reading and writing: its
 * modes, its size, its foreground group. What would reach other processes (TIOCSTI and the like) is
 * refused, and so is whatever is not known here.
 *
 * The VMM's threads block all signals, so the kernel never stops them for using the terminal in the
 * background. The program is sent the signal instead, and may handle it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "lib/clock.h"
#include "linux/state.h"

#define MS 1000000ull
/* The group that has the terminal in place of the program's; no program has that number. */
#define OTHER_GROUP 1
/* Who was really stopped does not come back within this time. */
#define STOPPED_NS (20 * MS)
/* How often to look whether output has left. */
#define DRAIN_NS (10 * MS)
/* How often a read with a time limit (VTIME) looks whether it is interrupted. */
#define WAIT_MS 20

/* The kernel's structs termios and termios2, as far as they are looked at here. */
#define OLD_MODES_BYTES 36
#define MODES_LINE      16 /* the line discipline: a byte */
#define MODES_BYTES     44 /* of the newer one */
#define TCGETS2_        0x802c542au
#define TCSETS2_        0x402c542bu
#define TCSETSW2_       0x402c542cu
#define TCSETSF2_       0x402c542du

/* A terminal that the program was given, by whatever descriptors. */
struct terminal {
    struct terminal *next;
    struct open_file *file; /* with a reference; it may write if any that was given may */
    unsigned device;        /* its number */
    char *name;             /* its own; or NULL */
    bool changed;           /* the program set modes: */
    char before[MODES_BYTES], now[MODES_BYTES];
};

/* ---- which there are ----------------------------------------------------- */

/* The number of the terminal itself, also where the descriptor is of /dev/tty or of a master. */
static unsigned device_of(const struct open_file *file)
{
    unsigned device = 0;

    (void)ioctl(file->fd, TIOCGDEV, &device);
    return device;
}

/* Where it is in the list, or is to be put. */
static struct terminal **find(struct linux_state *state, const struct open_file *file)
{
    struct terminal **at = &state->common->terminals;
    unsigned device = device_of(file);

    while (*at && (*at)->device != device)
        at = &(*at)->next;
    return at;
}

static char *name_of(const struct open_file *file)
{
    char name[4096];

    return given_name(file, name, sizeof(name)) > 0 && name[0] == '/' ? strdup(name) : NULL;
}

int terminal_given(struct linux_state *state, struct open_file *file)
{
    struct terminal **at = file->terminal ? find(state, file) : NULL, *terminal;

    if (!at)
        return 0;
    terminal = *at ? *at : calloc(1, sizeof(*terminal));
    if (!terminal)
        return -ENOMEM;
    *at = terminal;
    /* O_RDONLY, O_WRONLY and O_RDWR count up. */
    if (terminal->file && (terminal->file->status & O_ACCMODE) >= (file->status & O_ACCMODE))
        return 0;
    if (terminal->file)
        file_release(state, terminal->file);
    free(terminal->name);
    terminal->device = device_of(file);
    terminal->name = name_of(file);
    terminal->file = file;
    file->references++;
    return 0;
}

/* Whether it is the one of our own session, which /dev/tty means to a process. */
static bool is_controlling(const struct open_file *file)
{
    unsigned number; /* of a master, which tells the session at its other end */

    return tcgetsid(file->fd) >= 0 && ioctl(file->fd, TIOCGPTN, &number) < 0;
}

struct open_file *terminal_of(const struct linux_state *state, enum device device)
{
    const struct terminal *terminal = state->common->terminals;

    if (device == DEVICE_TTY)
        while (terminal && !is_controlling(terminal->file))
            terminal = terminal->next;
    if (device == DEVICE_TTY && !terminal)
        terminal = state->common->terminals;
    for (unsigned i = DEVICE_TERMINAL; device != DEVICE_TTY && terminal && i < device; i++)
        terminal = terminal->next;
    return terminal ? terminal->file : NULL;
}

bool terminal_named(const struct linux_state *state, const char *path, uint64_t *device)
{
    *device = DEVICE_TERMINAL;
    for (const struct terminal *terminal = state->common->terminals; terminal;
         terminal = terminal->next) {
        if (terminal->name && strcmp(terminal->name, path) == 0)
            return true;
        ++*device;
    }
    return false;
}

bool terminal_above(const struct linux_state *state, const char *path)
{
    size_t bytes = strlen(path);

    for (const struct terminal *terminal = state->common->terminals; terminal;
         terminal = terminal->next) {
        if (terminal->name && strncmp(terminal->name, path, bytes) == 0 &&
            terminal->name[bytes] == '/')
            return true;
    }
    return false;
}

/* ---- the background ------------------------------------------------------ */

static bool takes_no(const struct linux_state *state, int signo)
{
    return state->thread->signals.blocked & signal_bit(signo) ||
           state->signals.actions[signo - 1].handler == HANDLER_IGNORE;
}

/* As terminal_may, whatever the modes are. Linux lets a process that takes no SIGTTOU change the
 * terminal from the background, as shells do. A program in a VM may not take it from others. */
static int in_background(struct linux_state *state, struct open_file *file, int signo)
{
    const struct signal_info info = {.signo = signo, .code = SI_KERNEL};
    pid_t foreground = tcgetpgrp(file->fd);

    if (foreground <= 0 || foreground == getpgrp())
        return 0;
    if (takes_no(state, signo))
        return -EIO;
    /* It was sent the signal just now and is here again: nobody could make it go on. */
    if (clock_now() - file->stopped_ns < STOPPED_NS)
        return -EIO;
    file->stopped_ns = clock_now();
    signal_post(state, NULL, &info);
    return -EINTR;
}

int terminal_may(struct linux_state *state, struct open_file *file, int signo)
{
    struct termios modes;

    if (signo == SIGTTOU &&
        (takes_no(state, signo) || tcgetattr(file->fd, &modes) || !(modes.c_lflag & TOSTOP)))
        return 0;
    return in_background(state, file, signo);
}

/* ---- reading ------------------------------------------------------------- */

static bool has_input(const struct open_file *file)
{
    struct pollfd entry = {.fd = file->fd, .events = POLLIN};

    return poll(&entry, 1, 0) > 0;
}

/* VMIN 0: the read waits for so long, and then finds nothing. */
static int await_input(struct linux_state *state, const struct open_file *file, int ms)
{
    uint64_t deadline = clock_deadline((uint64_t)ms * MS);

    while (!has_input(file) && clock_now() < deadline) {
        struct pollfd entry = {.fd = file->fd, .events = POLLIN};

        if (vm_stopping(state->vm) || signal_interrupts(state))
            return -EINTR;
        vm_poll(state->vm, &entry, WAIT_MS);
    }
    return 0;
}

/* Our open file does not block, so the kernel does not wait as these modes say. Canonical input and
 * VMIN 1 need nothing: the caller waits until poll says that there is some. */
int terminal_await(struct linux_state *state, const struct open_file *file, void *to, size_t bytes)
{
    struct termios modes;

    if (tcgetattr(file->fd, &modes) || modes.c_lflag & ICANON || file->status & O_NONBLOCK)
        return 0;
    if (modes.c_cc[VMIN] > 1 && modes.c_cc[VTIME] == 0)
        return has_input(file) || bytes < modes.c_cc[VMIN] ? 0 : -EAGAIN;
    if (modes.c_cc[VMIN] == 0 && modes.c_cc[VTIME] > 0) {
        int result = await_input(state, file, modes.c_cc[VTIME] * 100);

        if (result)
            return result;
        return vm_still_has(state->vm, to, bytes, true) ? 1 : -EFAULT;
    }
    return 0;
}

/* ---- modes --------------------------------------------------------------- */

static bool output_left(void *arg, uint64_t *again_ns)
{
    const struct open_file *file = arg;
    int bytes;

    *again_ns = clock_deadline(DRAIN_NS);
    return ioctl(file->fd, TIOCOUTQ, &bytes) < 0 || bytes == 0;
}

/* As tcdrain. */
static int drain(struct linux_state *state, struct open_file *file)
{
    int result = takes_no(state, SIGTTOU) ? 0 : in_background(state, file, SIGTTOU);

    return result ? result : vm_wait(state->vm, output_left, file, UINT64_MAX);
}

static int64_t get_modes(struct linux_state *state, const struct open_file *file, uint32_t command,
                         uint64_t addr)
{
    char modes[MODES_BYTES];

    if (ioctl(file->fd, command, modes) < 0)
        return -errno;
    return guest_put(state, addr, modes, command == TCGETS ? OLD_MODES_BYTES : MODES_BYTES);
}

/* Remembers what they were before the first change, and what they are after the last. */
static int64_t change_modes(struct terminal *terminal, const struct open_file *file,
                            uint32_t command, char *modes)
{
    bool known =
        terminal && (terminal->changed || ioctl(file->fd, TCGETS2_, terminal->before) == 0);

    if (ioctl(file->fd, command, modes) < 0)
        return -errno;
    if (known)
        terminal->changed = ioctl(file->fd, TCGETS2_, terminal->now) == 0;
    return 0;
}

/* The kernel would wait in the call until output has left, so that is waited for before. */
static int64_t set_modes(struct linux_state *state, struct open_file *file, uint32_t command,
                         uint64_t addr)
{
    bool is_new = command == TCSETS2_ || command == TCSETSW2_ || command == TCSETSF2_;
    bool now = command == TCSETS || command == TCSETS2_;
    bool flush = command == TCSETSF || command == TCSETSF2_;
    char modes[MODES_BYTES];
    int result;

    if (guest_get(state, addr, modes, is_new ? MODES_BYTES : OLD_MODES_BYTES))
        return -EFAULT;
    result = in_background(state, file, SIGTTOU);
    if (!result && !now)
        result = drain(state, file);
    if (result)
        return result;
    if (flush)
        tcflush(file->fd, TCIFLUSH);
    modes[MODES_LINE] = 0;
    return change_modes(*find(state, file), file, is_new ? TCSETS2_ : TCSETS, modes);
}

static void restore(const struct terminal *terminal)
{
    int fd = terminal->file->fd;
    pid_t foreground = terminal->changed ? tcgetpgrp(fd) : 0;
    char now[MODES_BYTES];

    if (!terminal->changed || (foreground > 0 && foreground != getpgrp()))
        return;
    if (ioctl(fd, TCGETS2_, now) == 0 && memcmp(now, terminal->now, sizeof(now)) == 0)
        ioctl(fd, TCSETS2_, terminal->before);
}

void terminals_fini(struct linux_state *state)
{
    struct terminal *terminal;

    while ((terminal = state->common->terminals)) {
        state->common->terminals = terminal->next;
        restore(terminal);
        file_release(state, terminal->file);
        free(terminal->name);
        free(terminal);
    }
}

/* ---- the rest ------------------------------------------------------------ */

static int64_t size_of(struct linux_state *state, struct open_file *file, uint32_t command,
                       uint64_t addr)
{
    struct winsize size;

    if (command == TIOCSWINSZ && guest_get(state, addr, &size, sizeof(size)))
        return -EFAULT;
    if (ioctl(file->fd, command, &size) < 0)
        return -errno;
    return command == TIOCGWINSZ ? guest_put(state, addr, &size, sizeof(size)) : 0;
}

/* The program's groups stand for ferry's: the one in the foreground. */
static int64_t get_group(struct linux_state *state, const struct open_file *file, uint32_t command,
                         uint64_t addr)
{
    pid_t host = command == TIOCGPGRP ? tcgetpgrp(file->fd) : tcgetsid(file->fd);
    int own = command == TIOCGSID ? LINUX_PID : state->common->foreground;
    int group = command == TIOCGSID || host == getpgrp() ? own : OTHER_GROUP;

    return host < 0 ? -errno : guest_put(state, addr, &group, sizeof(group));
}

static bool has_group(const struct linux_state *state, int32_t group)
{
    const struct linux_state *of = state->common->processes;

    while (of && of->group != group)
        of = of->next_process;
    return of;
}

static int64_t set_group(struct linux_state *state, struct open_file *file, uint64_t addr)
{
    int group;
    int result = in_background(state, file, SIGTTOU);

    if (result)
        return result == -EIO ? -EPERM : result;
    if (guest_get(state, addr, &group, sizeof(group)))
        return -EFAULT;
    if (group < 0)
        return -EINVAL;
    if (!has_group(state, group))
        return -ESRCH;
    if (tcsetpgrp(file->fd, getpgrp()) < 0)
        return -errno;
    state->common->foreground = group;
    return 0;
}

static int64_t put_int(struct linux_state *state, const struct open_file *file, uint32_t command,
                       uint64_t addr)
{
    int value;

    return ioctl(file->fd, command, &value) < 0 ? -errno
                                                : guest_put(state, addr, &value, sizeof(value));
}

/* What is left undone or thrown away; others than TCOON would leave the terminal stopped, or print
 * bytes that stop whoever types there. */
static int64_t control(struct linux_state *state, struct open_file *file, uint32_t command,
                       uint64_t arg)
{
    int result = in_background(state, file, SIGTTOU);

    if (result)
        return result;
    if (command == TCXONC && (int)arg != TCOON)
        return -EPERM;
    return ioctl(file->fd, command, (unsigned long)(int)arg) < 0 ? -errno : 0;
}

int64_t terminal_ioctl(struct linux_state *state, struct open_file *file, uint32_t command,
                       uint64_t arg)
{
    switch (command) {
    case TCGETS:
    case TCGETS2_:
        return get_modes(state, file, command, arg);
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
    case TCSETS2_:
    case TCSETSW2_:
    case TCSETSF2_:
        return set_modes(state, file, command, arg);
    case TIOCGWINSZ:
    case TIOCSWINSZ:
        return size_of(state, file, command, arg);
    case TIOCGPGRP:
    case TIOCGSID:
        return get_group(state, file, command, arg);
    case TIOCSPGRP:
        return set_group(state, file, arg);
    case TIOCOUTQ:
    case TIOCGETD:
        return put_int(state, file, command, arg);
    case TCFLSH:
    case TCXONC:
        return control(state, file, command, arg);
    case TCSBRK:
    case TCSBRKP: /* a break that lasts is no business of a terminal on a screen */
        return command == TCSBRK && !arg ? 0 : drain(state, file);
    case TIOCSTI:
    case TIOCLINUX:
    case TIOCCONS:
    case TIOCSCTTY:
    case TIOCNOTTY:
    case TIOCSETD:
    case TIOCEXCL:
    case TIOCVHANGUP:
        return -EPERM;
    default:
        return -ENOTTY;
    }
}
