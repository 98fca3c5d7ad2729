/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relend PEER: lends a page to PEER, which lends it back, and so on, so that it is owner and borrower of
 * it; each time it tries all that only an owner, or a borrower that was not itself, might do. Then it
 * gives tokens back twice, and in one go with those that it has not; then it ends while pages go round.
 */
#include <setjmp.h>
#include <signal.h>

#include "raw.h"

#define TURNS       100
#define GREETINGS   4 /* of the peer */
#define PAGES_ROUND 20

static uint16_t peer;
static uint32_t taken, released, homes;
static sigjmp_buf back;

static void on_fault(int signo)
{
    siglongjmp(back, signo);
}

static struct ferry_desc take_message(void)
{
    if (__atomic_load_n(&control->vmm.in_head, __ATOMIC_ACQUIRE) == taken &&
        ferry_guest_call(FERRY_CALL_WAIT, FERRY_EVENT_IN, PATIENCE_NS, 0) != FERRY_EVENT_IN)
        fail("nothing came");
    struct ferry_desc desc = control->in[taken % FERRY_RING_ENTRIES];
    publish(&control->guest.in_tail, ++taken);
    return desc;
}

static void put_token(uint32_t token)
{
    control->guest.release[released++ % FERRY_TOKENS] = token;
}

static void release_tokens(void)
{
    publish(&control->guest.release_head, released);
    leave();
}

static struct ferry_desc loan_of(uint64_t addr, uint64_t bytes, enum ferry_mode mode)
{
    return (struct ferry_desc){
        .mode = (uint8_t)mode, .dst = peer, .payload = {.addr = addr, .bytes = bytes}};
}

static void expect_payload_status(const char *what, uint64_t addr, uint64_t bytes,
                                  enum ferry_mode mode, int status)
{
    const struct ferry_desc desc = loan_of(addr, bytes, mode);

    expect_status(what, &desc, status);
}

static bool can_store(uint64_t addr)
{
    if (sigsetjmp(back, 1))
        return false;
    *(volatile uint8_t *)addr = 0;
    return true;
}

/* It has lent the page, and somebody else has it. */
static void try_as_owner(uint64_t page)
{
    const uint64_t unit = FERRY_PAGE_BYTES;

    if (can_store(page))
        fail("stored to what it has lent");
    expect_payload_status("lent, and lent again", page, unit, FERRY_LEND, -EPERM);
    expect_payload_status("lent, and moved", page, unit, FERRY_MOVE, -EPERM);
    if (ferry_guest_call(FERRY_CALL_FREE, page, unit, 0) >= 0)
        fail("freed what it has lent");
}

/* It has borrowed the page from who has borrowed it from itself. */
static void try_as_both(uint64_t page)
{
    const uint64_t unit = FERRY_PAGE_BYTES;

    if (can_store(page))
        fail("stored to what it has borrowed from itself");
    expect_pattern((void *)page, unit, page);
    expect_payload_status("a loan of a part", page, unit - 1, FERRY_LEND, -EPERM);
    expect_payload_status("a loan of the middle", page + 1, unit - 1, FERRY_LEND, -EPERM);
    expect_payload_status("a loan of more", page, unit + 1, FERRY_LEND, -EPERM);
    expect_payload_status("borrowed, and moved", page, unit, FERRY_MOVE, -EPERM);
    if (ferry_guest_call(FERRY_CALL_FREE, page, unit, 0) >= 0)
        fail("freed what it has borrowed");
}

static uint64_t new_page(void)
{
    uint64_t page = (uint64_t)ferry_guest_call(FERRY_CALL_ALLOC, 1, 1, 0);

    if ((int64_t)page < 0)
        fail("no page");
    fill((void *)page, FERRY_PAGE_BYTES, page);
    return page;
}

static struct ferry_desc take_loan(uint64_t page)
{
    struct ferry_desc desc = take_message();

    if (desc.mode != FERRY_LEND || desc.payload.addr != page || desc.src != peer)
        fail("mode %u, address %#llx", desc.mode, (unsigned long long)desc.payload.addr);
    return desc;
}

static void expect_homes(uint32_t count)
{
    homes += count;
    while (__atomic_load_n(&control->vmm.home_head, __ATOMIC_ACQUIRE) != homes)
        if (ferry_guest_call(FERRY_CALL_WAIT, FERRY_EVENT_HOME, PATIENCE_NS, 0) < 0)
            fail("a loan did not come home");
    leave();
    if (control->vmm.home_head != homes)
        fail("%u loans too many came home", control->vmm.home_head - homes);
    publish(&control->guest.home_tail, homes);
}

static void in_circles(void)
{
    const uint64_t page = new_page();
    struct ferry_desc desc;

    for (int i = 0; i < TURNS; i++) {
        expect_payload_status("a loan", page, FERRY_PAGE_BYTES, FERRY_LEND, 0);
        if (i == 0)
            try_as_owner(page);
        desc = take_loan(page);
        if (i % 10 == 0)
            try_as_both(page);
    }
    put_token(desc.payload.token);
    release_tokens();
    expect_homes(1);
    if (!can_store(page))
        fail("what came home is closed");
    expect_payload_status("moved", page, FERRY_PAGE_BYTES, FERRY_MOVE, 0);
}

static void tokens_twice(void)
{
    const uint64_t first = new_page(), second = new_page();
    uint32_t token[2];

    expect_payload_status("a loan", first, FERRY_PAGE_BYTES, FERRY_LEND, 0);
    expect_payload_status("a loan", second, FERRY_PAGE_BYTES, FERRY_LEND, 0);
    token[0] = take_loan(first).payload.token;
    token[1] = take_loan(second).payload.token;
    for (int i = 0; i < 3; i++) {
        put_token(token[0]);
        put_token(FERRY_TOKENS + token[1]);
        put_token(token[0] | 1u << 31);
        put_token(UINT32_MAX);
    }
    release_tokens();
    expect_homes(1);
    for (uint32_t i = 0; i < 3 * FERRY_TOKENS; i++) {
        put_token(token[0]);
        if (i % FERRY_TOKENS == 0)
            release_tokens();
    }
    release_tokens();
    expect_pattern((void *)second, FERRY_PAGE_BYTES, second);
    if (!can_store(first) || can_store(second))
        fail("the wrong one came home");
    /* A token that went with a loan that was forwarded is nobody's. */
    expect_payload_status("forwarded", second, FERRY_PAGE_BYTES, FERRY_LEND, 0);
    put_token(token[1]);
    release_tokens();
    token[1] = take_loan(second).payload.token;
    expect_pattern((void *)second, FERRY_PAGE_BYTES, second);
    put_token(token[1]);
    put_token(token[1]);
    release_tokens();
    expect_homes(1);
}

int main(int argc, char **argv)
{
    expect_arguments(argc, 1, "relend PEER");
    peer = peer_of(argv[1])->id;
    raw_begin();
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    for (int i = 0; i < GREETINGS; i++) {
        struct ferry_desc desc = take_message();

        if (desc.mode == FERRY_LEND || desc.mode == FERRY_COPY)
            put_token(desc.payload.token);
    }
    release_tokens();
    in_circles();
    tokens_twice();
    for (int i = 0; i < PAGES_ROUND; i++)
        expect_payload_status("a loan", new_page(), FERRY_PAGE_BYTES, FERRY_LEND, 0);
    return 0;
}
