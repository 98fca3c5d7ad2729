// SPDX-License-Identifier: BSD-2-Clause
#include <stdexcept>
#include <string>

struct Odd : std::runtime_error {
    explicit Odd(int n) : std::runtime_error("odd"), number(n)
    {
    }
    int number;
};

void throw_odd(int n);
void pass_through(void (*call)(int), int n);
