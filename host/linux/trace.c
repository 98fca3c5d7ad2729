/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what those who watch are told: one line for each call when it returns, for each signal that
 * the program takes, and for its end. A line is told whole, so lines of several threads are never
 * mixed. The thread keeps its turn meanwhile.
 */
#include "linux/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/clock.h"

#define LINE_BYTES (TRACE_ARGS * TRACE_ARG_BYTES + 256)

static uint64_t wall_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- calls --------------------------------------------------------------- */

/* `known`: it is no 32-bit call that is not served. */
static void name_of(const struct linux_call *call, bool known, struct trace_text *to)
{
    const char *name = linux_call_name(call->number);

    if (!known)
        show(to, "int80_%u", (unsigned)call->number);
    else if (strcmp(name, "unknown") != 0)
        show(to, "%s", name);
    else
        show(to, "syscall_%#" PRIx64, call->number);
}

static void show_error(struct trace_text *to, int error)
{
    const char *name = strerrorname_np(error);

    if (name)
        show(to, "-1 %s (%s)", name, strerrordesc_np(error));
    else
        show(to, "-1 (errno %d)", error);
}

static void show_result(struct trace_text *to, const struct linux_call *call, bool address)
{
    if (call->result < 0 && call->result > -4096)
        show_error(to, (int)-call->result);
    else if (address)
        show(to, "%#" PRIx64, (uint64_t)call->result);
    else
        show(to, "%" PRId64, call->result);
}

/* Why a call gives its thread no result; NULL: it does. */
static const char *without_result(struct linux_state *state, const struct linux_call *call,
                                  enum linux_next next)
{
    if (next != LINUX_RESUME || (call->result == -EINTR && vm_stopping(state->vm)))
        return "?";
    if (call->result == -EINTR && signal_may_restart(call))
        return "? ERESTARTSYS (To be restarted if SA_RESTART is set)";
    return NULL;
}

static void tell_call(struct linux_state *state, const struct traced *traced,
                      struct ferry_trace event)
{
    const char *args[TRACE_ARGS];
    char line[LINE_BYTES];
    int used = snprintf(line, sizeof(line), "%s(", event.name);

    for (unsigned i = 0; i < traced->count; i++) {
        args[i] = traced->args[i].text;
        used += snprintf(line + used, sizeof(line) - (size_t)used, "%s%s", i ? ", " : "", args[i]);
    }
    snprintf(line + used, sizeof(line) - (size_t)used, ") = %s", event.result_text);
    event.args = args;
    event.arg_count = traced->count;
    event.line = line;
    vm_trace(state->vm, &event);
}

static void look_before(struct traced *traced, const struct trace_form *form)
{
    for (unsigned i = 0; i < TRACE_ARGS && form->kinds[i] != AS_NOTHING; i++) {
        if (!trace_before(traced, form->kinds[i], i))
            break;
        traced->count++;
    }
}

static void look_after(struct traced *traced, const struct trace_form *form, int64_t result)
{
    traced->result = result;
    for (unsigned i = 0; i < traced->count && result >= 0; i++)
        trace_after(traced, form->kinds[i], i);
}

/* The thread and what belongs to the call may be gone afterwards. */
void trace_call(struct linux_state *state, struct linux_call *call,
                void (*serve)(struct linux_state *, struct linux_call *))
{
    const struct current_call *current = call->thread->call;
    struct linux_call asked = *call;
    bool known = !asked.from_int80 || int80_translate(&asked) == 0;
    struct ferry_trace event = {
        .bytes = sizeof(event),
        .kind = FERRY_TRACE_CALL,
        .thread = call->thread->id,
        .time_ns = wall_clock(),
    };
    const struct trace_form form = trace_form_of(known ? asked.number : CALLS_MAX);
    struct traced traced = {.state = state, .arg = asked.arg};
    struct trace_text name = {.used = 0}, result = {.used = 0};
    uint64_t begin = clock_now(); /* the other clock can be set meanwhile */

    name_of(&asked, known, &name);
    look_before(&traced, &form);
    serve(state, call);
    const char *none = without_result(state, call, current->next);
    look_after(&traced, &form, none ? -1 : call->result);
    if (none)
        show(&result, "%s", none);
    else
        show_result(&result, call, form.gives_address);
    event.name = name.text;
    event.result_text = result.text;
    event.returned = !none;
    event.result = none ? 0 : call->result;
    event.took_ns = clock_now() - begin;
    tell_call(state, &traced, event);
}

/* ---- signals ------------------------------------------------------------- */

static void show_code(struct trace_text *to, const struct signal_info *info)
{
    static const struct {
        int signo, code;
        char name[16];
    } codes[] = {
        {SIGSEGV, SEGV_MAPERR, "SEGV_MAPERR"}, {SIGSEGV, SEGV_ACCERR, "SEGV_ACCERR"},
        {SIGBUS, BUS_ADRALN, "BUS_ADRALN"},    {SIGBUS, BUS_ADRERR, "BUS_ADRERR"},
        {SIGFPE, FPE_INTDIV, "FPE_INTDIV"},    {SIGFPE, FPE_FLTINV, "FPE_FLTINV"},
        {SIGFPE, FPE_FLTDIV, "FPE_FLTDIV"},    {SIGFPE, FPE_FLTOVF, "FPE_FLTOVF"},
        {SIGILL, ILL_ILLOPN, "ILL_ILLOPN"},    {SIGTRAP, TRAP_TRACE, "TRAP_TRACE"},
    };

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (codes[i].signo == info->signo && codes[i].code == info->code) {
            show(to, "%s", codes[i].name);
            return;
        }
    }
    show_names(to, AS_SIGNAL_CODE, (uint32_t)info->code);
}

static void show_info(struct trace_text *to, const struct signal_info *info)
{
    show(to, "{si_signo=");
    show_signo(to, (uint32_t)info->signo);
    show(to, ", si_code=");
    show_code(to, info);
    if (info->code == SI_TIMER)
        show(to, ", si_timerid=%d, si_overrun=%d", info->timer, info->overrun);
    else if (info->code <= 0)
        show(to, ", si_pid=%d, si_uid=%u", info->pid, info->uid);
    else if (info->code != SI_KERNEL) {
        show(to, ", si_addr=");
        show_hex(to, info->addr);
    }
    show(to, "}");
}

void trace_signal(struct linux_state *state, const struct signal_info *info)
{
    struct trace_text name = {.used = 0}, details = {.used = 0};
    const char *args[] = {details.text};
    char line[TRACE_ARG_BYTES + 64];

    show_signo(&name, (uint32_t)info->signo);
    show_info(&details, info);
    snprintf(line, sizeof(line), "--- %.32s %s ---", name.text, details.text);
    struct ferry_trace event = {
        .bytes = sizeof(event),
        .kind = FERRY_TRACE_SIGNAL,
        .thread = state->thread->id,
        .time_ns = wall_clock(),
        .name = name.text,
        .args = args,
        .arg_count = 1,
        .result_text = "",
        .line = line,
    };
    vm_trace(state->vm, &event);
}
