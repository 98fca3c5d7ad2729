/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of both public headers in one program, which is linked to both public
 * libraries. */
#include <ferry/ferry.h>
#include <ferry/guest.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>

#include "headers.h"

/* A name that stood in both headers would not compile, one in both libraries would be one
 * function. */
static void the_host_and_the_guest_fit_into_one_program(void **state)
{
    int (*const host_send)(struct ferry_link *, const struct ferry_message *, uint64_t) =
        ferry_link_send;
    int64_t (*const guest_send)(const struct ferry_msg *, enum ferry_when) = ferry_send;
    int (*const host_free)(struct ferry_link *, void *, size_t) = ferry_link_free;
    int (*const guest_free)(void *, size_t) = ferry_free;
    void *out;

    (void)state;
    assert_ptr_not_equal((void *)host_send, (void *)guest_send);
    assert_ptr_not_equal((void *)host_free, (void *)guest_free);
    assert_null(ferry_control());
    assert_int_equal(ferry_output(&out, 1) > 0, 1);
}

static void the_macros_say_which_release_it_is(void **state)
{
    char text[32];

    (void)state;
    snprintf(text, sizeof text, "%d.%d.%d", FERRY_VERSION_MAJOR, FERRY_VERSION_MINOR,
             FERRY_VERSION_PATCH);
    assert_string_equal(text, ferry_version());
}

#ifdef WITH_CXX
static void cxx_sees_the_same(void **state)
{
    (void)state;
    assert_string_equal(headers_cxx_version(), ferry_version());
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_host_and_the_guest_fit_into_one_program),
        cmocka_unit_test(the_macros_say_which_release_it_is),
#ifdef WITH_CXX
        cmocka_unit_test(cxx_sees_the_same),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
